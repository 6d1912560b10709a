// Gaussian weights whose means are scaled by multipliers of their inputs or outputs: S samples of many tensors in one launch.
// Element i of a tensor has multiplier i / inner % channels.
#include "fours.cuh"
#include "group.cuh"

// Tables of parts, by value: src/backend/cuda/scaled.rs.
struct ScaledPart {
    const float* mean;
    const float* z;
    const float* log_variance;  // null without noise
    float* y;
    u32 elements, channels, inner, stream, first_block, unused;
};
struct ScaledParts { ScaledPart parts[MOST_PARTS]; };
struct ScaledGradPart {
    const float* mean;
    const float* z;
    const float* dy;
    float* out;
    u32 elements, channels, inner, add, first_block, unused;
};
struct ScaledGradParts { ScaledGradPart parts[MOST_PARTS]; };

enum { SCALED_THREADS = 128, SUMMED_THREADS = 256, SUMMED_ROWS = SUMMED_THREADS / 32 };

// Multipliers of elements `first` to `first` + 3; those behind the last element are of no use.
template <class Part> DEVICE float4 multipliers(const Part& part, const float* z, u32 first) {
    float v[4];
#pragma unroll
    for (u32 lane = 0; lane < 4; lane++) v[lane] = z[(first + lane) / part.inner % part.channels];
    return make_float4(v[0], v[1], v[2], v[3]);
}

// y[s] = z[s] mean, plus sigma * eps[s] where there is noise. A thread: four elements of a part, all samples.
extern "C" __global__ void __launch_bounds__(SCALED_THREADS)
    scaled_samples(u32 count, u32 samples, In<u32> words, ScaledParts table) {
    const ScaledPart part = table.parts[part_of_block(table.parts, count)];
    const u32 fours = divide_up(part.elements, 4), four = (blockIdx.x - part.first_block) * SCALED_THREADS + threadIdx.x;
    if (four < fours) {
        const float4 mean = load_four(part.mean, 4 * four, part.elements);
        float4 sigma = make_float4(0.0f, 0.0f, 0.0f, 0.0f), n = sigma;
        Stream stream = {0, 0, 0, 0};
        if (part.log_variance) {
            const float4 v = load_four(part.log_variance, 4 * four, part.elements);
            sigma = make_float4(exponential(0.5f * v.x), exponential(0.5f * v.y), exponential(0.5f * v.z),
                                exponential(0.5f * v.w));
            stream = stream_of_words(words.data, part.stream);
        }
        for (u32 s = 0; s < samples; s++) {
            const float4 z = multipliers(part, part.z + (u64)s * part.channels, 4 * four);
            if (part.log_variance) n = stream_normals(stream, s * fours + four);
            const float4 y = make_float4(fused_multiply_add(sigma.x, n.x, z.x * mean.x), fused_multiply_add(sigma.y, n.y, z.y * mean.y),
                                         fused_multiply_add(sigma.z, n.z, z.z * mean.z), fused_multiply_add(sigma.w, n.w, z.w * mean.w));
            store_four(part.y + (u64)s * part.elements, 4 * four, part.elements, 0, y);
        }
    }
}

// dmean = sum over samples of dy z
extern "C" __global__ void __launch_bounds__(SCALED_THREADS)
    scaled_samples_grad_mean(u32 count, u32 samples, ScaledGradParts table) {
    const ScaledGradPart part = table.parts[part_of_block(table.parts, count)];
    const u32 four = (blockIdx.x - part.first_block) * SCALED_THREADS + threadIdx.x;
    if (four < divide_up(part.elements, 4)) {
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        for (u32 s = 0; s < samples; s++) {
            const float4 dy = load_four(part.dy + (u64)s * part.elements, 4 * four, part.elements);
            const float4 z = multipliers(part, part.z + (u64)s * part.channels, 4 * four);
            sum = make_float4(fused_multiply_add(dy.x, z.x, sum.x), fused_multiply_add(dy.y, z.y, sum.y),
                              fused_multiply_add(dy.z, z.z, sum.z), fused_multiply_add(dy.w, z.w, sum.w));
        }
        store_four(part.out, 4 * four, part.elements, part.add, sum);
    }
}

// dz = sum of dy mean over the weights of a multiplier. blockIdx.y: sample. With inner = 1, a block handles 32 neighbouring
// multipliers, one a lane, and each of its warps every eighth row; else one multiplier.
extern "C" __global__ void __launch_bounds__(SUMMED_THREADS) scaled_samples_grad_multiplier(u32 count, ScaledGradParts table) {
    SHARED(float, partial, [SUMMED_ROWS][32]);
    const ScaledGradPart part = table.parts[part_of_block(table.parts, count)];
    const u32 block = blockIdx.x - part.first_block, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 outer = part.elements / (part.channels * part.inner);
    const float* dy = part.dy + (u64)blockIdx.y * part.elements;
    const bool columns = part.inner == 1;
    const u32 channel = columns ? 32 * block + lane : block;
    float sum = 0.0f;
    if (columns && channel < part.channels) {
        for (u32 row = warp; row < outer; row += SUMMED_ROWS) {
            const u32 i = row * part.channels + channel;
            sum = fused_multiply_add(dy[i], part.mean[i], sum);
        }
    }
    if (!columns) {
        for (u32 k = threadIdx.x; k < outer * part.inner; k += SUMMED_THREADS) {
            const u32 i = (k / part.inner * part.channels + channel) * part.inner + k % part.inner;
            sum = fused_multiply_add(dy[i], part.mean[i], sum);
        }
        sum = warp_sum(sum);
    }
    partial[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && channel < part.channels && (columns || lane == 0)) {
        for (u32 other = 1; other < SUMMED_ROWS; other++) sum += partial[other][lane];
        float* place = part.out + (u64)blockIdx.y * part.channels + channel;
        *place = part.add ? *place + sum : sum;
    }
}
