// Independent Gaussian weights: S samples of many tensors in one launch, whose noise the gradient draws again, and the divergence
// from the prior. A thread handles four neighbouring elements of a part, of all samples: one counter for each sample.
#include "fours.cuh"
#include "group.cuh"
#include "sums.cuh"

// Tables of parts, by value: src/backend/cuda/gaussian.rs.
struct SampledPart {
    const float* mean;
    const float* log_variance;
    float* y;
    u32 elements, stream, first_block, unused;
};
struct SampledParts { SampledPart parts[MOST_PARTS]; };
struct GradPart {
    const float* mean;  // null for samples, whose gradient does not need it
    const float* log_variance;
    const float* dy;  // null for the divergence
    float* dmean;
    float* dlog_variance;
    u32 elements, stream, add_mean, add_log_variance, first_block, unused;
};
struct GradParts { GradPart parts[MOST_PARTS]; };
struct DivergentPart {
    const float* mean;
    const float* log_variance;
    u32 elements, unused;
};
struct DivergentParts { DivergentPart parts[MOST_PARTS]; };

enum { GAUSSIAN_THREADS = 128 };

// sigma = e^(log variance / 2)
DEVICE float4 deviations(float4 v) {
    return make_float4(exponential(0.5f * v.x), exponential(0.5f * v.y), exponential(0.5f * v.z), exponential(0.5f * v.w));
}

// This thread's four of a part, or a number past the last.
template <class Part> DEVICE u32 four_of_thread(const Part& part) {
    return (blockIdx.x - part.first_block) * GAUSSIAN_THREADS + threadIdx.x;
}

// eps of this four of a sample whose counters begin at `start`; `aligned`: that of the sample's first element, for all.
DEVICE float4 noise_of(Stream stream, u32 aligned, u32 start, u32 four) {
    const float4 n = stream_normals(stream, aligned ? start : start + four);
    return aligned ? make_float4(n.x, n.x, n.x, n.x) : n;
}

// y[s] = mean + sigma * eps[s]
extern "C" __global__ void __launch_bounds__(GAUSSIAN_THREADS)
    gaussian_samples(u32 count, u32 samples, u32 aligned, In<u32> words, SampledParts table) {
    const SampledPart part = table.parts[part_of_block(table.parts, count)];
    const u32 fours = divide_up(part.elements, 4), four = four_of_thread(part);
    if (four < fours) {
        const Stream stream = stream_of_words(words.data, part.stream);
        const float4 mean = load_four(part.mean, 4 * four, part.elements);
        const float4 sigma = deviations(load_four(part.log_variance, 4 * four, part.elements));
        for (u32 s = 0; s < samples; s++) {
            const float4 n = noise_of(stream, aligned, s * fours, four);
            const float4 y = make_float4(fused_multiply_add(sigma.x, n.x, mean.x), fused_multiply_add(sigma.y, n.y, mean.y),
                                         fused_multiply_add(sigma.z, n.z, mean.z), fused_multiply_add(sigma.w, n.w, mean.w));
            store_four(part.y + (u64)s * part.elements, 4 * four, part.elements, 0, y);
        }
    }
}

// dmean = sum over samples of dy, dlog variance = sigma / 2 * sum over samples of dy eps
extern "C" __global__ void __launch_bounds__(GAUSSIAN_THREADS)
    gaussian_samples_grad(u32 count, u32 samples, u32 aligned, In<u32> words, GradParts table) {
    const GradPart part = table.parts[part_of_block(table.parts, count)];
    const u32 fours = divide_up(part.elements, 4), four = four_of_thread(part);
    if (four < fours) {
        const Stream stream = stream_of_words(words.data, part.stream);
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f), product = sum;
        for (u32 s = 0; s < samples; s++) {
            const float4 dy = load_four(part.dy + (u64)s * part.elements, 4 * four, part.elements);
            const float4 n = noise_of(stream, aligned, s * fours, four);
            sum = make_float4(sum.x + dy.x, sum.y + dy.y, sum.z + dy.z, sum.w + dy.w);
            product = make_float4(fused_multiply_add(dy.x, n.x, product.x), fused_multiply_add(dy.y, n.y, product.y),
                                  fused_multiply_add(dy.z, n.z, product.z), fused_multiply_add(dy.w, n.w, product.w));
        }
        const float4 sigma = deviations(load_four(part.log_variance, 4 * four, part.elements));
        const float4 dv = make_float4(0.5f * sigma.x * product.x, 0.5f * sigma.y * product.y, 0.5f * sigma.z * product.z,
                                      0.5f * sigma.w * product.w);
        store_four(part.dmean, 4 * four, part.elements, part.add_mean, sum);
        store_four(part.dlog_variance, 4 * four, part.elements, part.add_log_variance, dv);
    }
}

// Partial sums of ((mean^2 + sigma^2) / prior_scale^2 - 1 - log variance) / 2 + ln prior_scale. blockIdx.y: part; blocks behind the
// end of theirs sum nothing.
extern "C" __global__ void __launch_bounds__(SUM_THREADS)
    gaussian_kl_partials(u32 per_block, double precision, double logarithm_of_scale, DivergentParts table, double* partials) {
    const DivergentPart& part = table.parts[blockIdx.y];
    partial_sums(part.elements, per_block, partials + (u64)blockIdx.y * gridDim.x, [&](u32 i) {
        const double mean = part.mean[i], v = part.log_variance[i];
        const double variance = exponential(part.log_variance[i]);
        return 0.5 * ((mean * mean + variance) * precision - 1.0 - v) + logarithm_of_scale;
    });
}

// dmean = dkl mean / prior_scale^2, dlog variance = dkl (sigma^2 / prior_scale^2 - 1) / 2
extern "C" __global__ void __launch_bounds__(GAUSSIAN_THREADS)
    gaussian_kl_grad(u32 count, float precision, In<float> dkl, GradParts table) {
    const GradPart part = table.parts[part_of_block(table.parts, count)];
    const u32 four = four_of_thread(part);
    if (four < divide_up(part.elements, 4)) {
        const float4 mean = load_four(part.mean, 4 * four, part.elements);
        const float4 v = load_four(part.log_variance, 4 * four, part.elements);
        const float factor = dkl.data[0] * precision, half = 0.5f * dkl.data[0];
        const float4 dmean = make_float4(factor * mean.x, factor * mean.y, factor * mean.z, factor * mean.w);
        const float4 dv = make_float4(half * fused_multiply_add(exponential(v.x), precision, -1.0f),
                                      half * fused_multiply_add(exponential(v.y), precision, -1.0f),
                                      half * fused_multiply_add(exponential(v.z), precision, -1.0f),
                                      half * fused_multiply_add(exponential(v.w), precision, -1.0f));
        store_four(part.dmean, 4 * four, part.elements, part.add_mean, dmean);
        store_four(part.dlog_variance, 4 * four, part.elements, part.add_log_variance, dv);
    }
}
