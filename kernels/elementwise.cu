// Functions of one tensor and of two, constants, sums. Regions hold `elements` in all; some are [S]-strided (kind.rs).
#include "group.cuh"
#include "sums.cuh"

// Lists of tensors, by value: src/backend/cuda/elementwise.rs.
enum { ELEMENTS_OF_THREAD = 4, SCALED_PER_BLOCK = 256 * ELEMENTS_OF_THREAD };
struct ScaledPart {
    In<float> x;
    Out<float> y;
    float factor;
    u32 elements, first_block, unused;
};
struct ScaledParts { ScaledPart parts[MOST_PARTS]; };
struct SummedPart {
    In<float> x;
    u32 elements, unused;
};
struct SummedParts { SummedPart part[MOST_PARTS]; };

extern "C" __global__ void __launch_bounds__(256) unary(u32 elements, Function f, In<float> x, Out<float> y) {
    each_element(elements, [&](u32 i) { y.put(i, apply(f, x.at(i))); });
}

extern "C" __global__ void __launch_bounds__(256)
    unary_grad(u32 elements, Function f, In<float> source, In<float> dy, Out<float> dx) {
    each_element(elements, [&](u32 i) { dx.put(i, apply_gradient(f, source.at(i), dy.at(i))); });
}

extern "C" __global__ void __launch_bounds__(256)
    add(u32 elements, float beta, In<float> a, In<float> b, Out<float> y) {
    each_element(elements, [&](u32 i) { y.put(i, fused_multiply_add(beta, b.at(i), a.at(i))); });
}

extern "C" __global__ void __launch_bounds__(256) multiply(u32 elements, In<float> a, In<float> b, Out<float> y) {
    each_element(elements, [&](u32 i) { y.put(i, a.at(i) * b.at(i)); });
}

extern "C" __global__ void __launch_bounds__(256) scale(u32 elements, float factor, In<float> x, Out<float> y) {
    each_element(elements, [&](u32 i) { y.put(i, factor * x.at(i)); });
}

// y = factor x of each part, SCALED_PER_BLOCK elements of one of them to a block.
DEVICE void scale_parts(u32 count, const ScaledParts& table, float factor) {
    const ScaledPart part = table.parts[part_of_block(table.parts, count)];
    const u32 first = (blockIdx.x - part.first_block) * SCALED_PER_BLOCK + threadIdx.x;
    const float product = part.factor * factor;
    float values[ELEMENTS_OF_THREAD];
#pragma unroll
    for (u32 k = 0; k < ELEMENTS_OF_THREAD; k++) values[k] = first + 256 * k < part.elements ? part.x.at(first + 256 * k) : 0.0f;
#pragma unroll
    for (u32 k = 0; k < ELEMENTS_OF_THREAD; k++)
        if (first + 256 * k < part.elements) part.y.put(first + 256 * k, product * values[k]);
}

extern "C" __global__ void __launch_bounds__(256) scale_group(u32 count, ScaledParts table) {
    scale_parts(count, table, 1.0f);
}

extern "C" __global__ void __launch_bounds__(256) scale_by_scalar(u32 count, In<float> scalar, ScaledParts table) {
    scale_parts(count, table, scalar.data[0]);
}

extern "C" __global__ void __launch_bounds__(256) fill(u32 elements, float value, Out<float> y) {
    each_element(elements, [&](u32 i) { y.put(i, value); });
}

extern "C" __global__ void __launch_bounds__(256) sum_grad(u32 elements, In<float> dy, Out<float> dx) {
    const float value = dy.data[0];
    each_element(elements, [&](u32 i) { dx.put(i, value); });
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS)
    sum_partials(u32 elements, u32 per_block, In<float> x, double* partials) {
    partial_sums(elements, per_block, partials, [&](u32 i) { return (double)x.at(i); });
}

// blockIdx.y: part; blocks behind the end of theirs sum nothing.
extern "C" __global__ void __launch_bounds__(SUM_THREADS)
    half_squared_norm_partials(u32 per_block, SummedParts parts, double* partials) {
    const SummedPart& part = parts.part[blockIdx.y];
    partial_sums(part.elements, per_block, partials + (u64)blockIdx.y * gridDim.x, [&](u32 i) {
        const double value = part.x.at(i);
        return 0.5 * value * value;
    });
}

// partials [count] -> y (1 element), their sum
extern "C" __global__ void __launch_bounds__(SUM_THREADS) sum(u32 count, const double* partials, Out<float> y) {
    double total = 0.0;
    for (u32 i = threadIdx.x; i < count; i += SUM_THREADS) total += partials[i];
    total = block_sum<SUM_THREADS / 32>(total);
    if (threadIdx.x == 0) y.put(0u, (float)total);
}
