// Variances of many tensors from their logarithms, with an upper bound. Four elements a thread.
#include "fours.cuh"
#include "group.cuh"

// Tables of parts, by value: src/backend/cuda/capped_variances.rs.
struct CappedPart {
    const float* v;
    float* capped;
    float* variance;
    u32 elements, first_block;
};
struct CappedParts { CappedPart parts[MOST_PARTS]; };
struct CappedGradPart {
    const float* v;
    const float* variance;
    const float* dvariance;
    const float* dcapped;  // null where the logarithm has no gradient
    float* dv;
    u32 elements, add, first_block, unused;
};
struct CappedGradParts { CappedGradPart parts[MOST_PARTS]; };

enum { CAPPED_THREADS = 128 };

// x, but not above the bound; NaN stays NaN.
DEVICE float capped(float x, float bound) { return x > bound ? bound : x; }

// v -> log variance, at most `bound`, and e^ that
extern "C" __global__ void __launch_bounds__(CAPPED_THREADS) capped_variances(u32 count, float bound, CappedParts table) {
    const CappedPart part = table.parts[part_of_block(table.parts, count)];
    const u32 four = (blockIdx.x - part.first_block) * CAPPED_THREADS + threadIdx.x;
    if (four < divide_up(part.elements, 4)) {
        const float4 v = load_four(part.v, 4 * four, part.elements);
        const float4 c = make_float4(capped(v.x, bound), capped(v.y, bound), capped(v.z, bound), capped(v.w, bound));
        store_four(part.capped, 4 * four, part.elements, 0, c);
        const float4 e = make_float4(exponential(c.x), exponential(c.y), exponential(c.z), exponential(c.w));
        store_four(part.variance, 4 * four, part.elements, 0, e);
    }
}

// dv = 0 above the bound, else variance dvariance + d log variance
extern "C" __global__ void __launch_bounds__(CAPPED_THREADS) capped_variances_grad(u32 count, float bound, CappedGradParts table) {
    const CappedGradPart part = table.parts[part_of_block(table.parts, count)];
    const u32 four = (blockIdx.x - part.first_block) * CAPPED_THREADS + threadIdx.x;
    if (four < divide_up(part.elements, 4)) {
        const float4 v = load_four(part.v, 4 * four, part.elements);
        const float4 e = load_four(part.variance, 4 * four, part.elements);
        const float4 de = load_four(part.dvariance, 4 * four, part.elements);
        float4 d = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (part.dcapped) d = load_four(part.dcapped, 4 * four, part.elements);
        const float4 dv = make_float4(
            v.x > bound ? 0.0f : fused_multiply_add(e.x, de.x, d.x), v.y > bound ? 0.0f : fused_multiply_add(e.y, de.y, d.y),
            v.z > bound ? 0.0f : fused_multiply_add(e.z, de.z, d.z), v.w > bound ? 0.0f : fused_multiply_add(e.w, de.w, d.w));
        store_four(part.dv, 4 * four, part.elements, part.add, dv);
    }
}
