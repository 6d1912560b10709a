// What a GPU can do at most, for `bbh profile`: a copy, and products in registers. Every kernel writes a result that a test
// compares with its closed form, so that nothing is optimised away.
#include "common.cuh"

enum { CEILING_THREADS = 256 };

// to[i] = from[i] over `quads` groups of four floats, both aligned to 16 bytes: grid-stride, four accesses of 16 bytes in
// flight per thread.
extern "C" __global__ void __launch_bounds__(CEILING_THREADS) ceiling_copy(u32 quads, In<float> from, Out<float> to) {
    enum { IN_FLIGHT = 4 };
    const float4* source = (const float4*)from.data;
    float4* target = (float4*)to.data;
    const u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 first = (u64)blockIdx.x * blockDim.x + threadIdx.x; first < quads; first += IN_FLIGHT * step) {
        float4 values[IN_FLIGHT];
#pragma unroll
        for (u32 i = 0; i < IN_FLIGHT; i++)
            if (first + i * step < quads) values[i] = load_streaming(source + first + i * step);
#pragma unroll
        for (u32 i = 0; i < IN_FLIGHT; i++)
            if (first + i * step < quads) store_streaming(target + first + i * step, values[i]);
    }
}

// Chains x = factor x + addend, 16 in each thread, 8 links in a round; chain c of thread t starts at t % 32 + c.
// to[thread]: sum over the chains.
extern "C" __global__ void __launch_bounds__(CEILING_THREADS)
    ceiling_fp32(u32 rounds, float factor, float addend, Out<float> to) {
    enum { CHAINS = 16, LINKS = 8 };
    float x[CHAINS];
#pragma unroll
    for (u32 c = 0; c < CHAINS; c++) x[c] = (float)(threadIdx.x % 32 + c);
    for (u32 round = 0; round < rounds; round++) {
#pragma unroll
        for (u32 link = 0; link < LINKS; link++)
#pragma unroll
            for (u32 c = 0; c < CHAINS; c++) x[c] = fused_multiply_add(factor, x[c], addend);
    }
    float sum = 0.0f;
#pragma unroll
    for (u32 c = 0; c < CHAINS; c++) sum += x[c];
    to.put(blockIdx.x * CEILING_THREADS + threadIdx.x, sum);
}

enum { TF32, BF16 };

// Products of fragments that stay in registers, into 8 accumulators of a warp, 4 times in a round: d += a b with
// a[r][k] = factor (r + 1), b[k][c] = c + 1, accumulator j starts at addend + j. to[thread]: sum over accumulators and over the
// four elements that a lane holds, rows g and g + 8, columns 2 t and 2 t + 1 (g = lane / 4, t = lane % 4).
template <int MATH> DEVICE void multiply_in_registers(u32 rounds, float factor, float addend, Out<float> to) {
    enum { ACCUMULATORS = 8, REPEATS = 4 };
    const u32 lane = threadIdx.x % 32, g = lane / 4;
    const float upper = factor * (float)(g + 1), lower = factor * (float)(g + 9), column = (float)(g + 1);
    u32 a[4], b[2];
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        const float row = i % 2 ? lower : upper;
        a[i] = MATH == TF32 ? to_tf32(row) : to_bf16x2(row, row);
    }
    b[0] = b[1] = MATH == TF32 ? to_tf32(column) : to_bf16x2(column, column);
    float d[ACCUMULATORS][4];
#pragma unroll
    for (u32 j = 0; j < ACCUMULATORS; j++)
#pragma unroll
        for (u32 i = 0; i < 4; i++) d[j][i] = addend + (float)j;
    for (u32 round = 0; round < rounds; round++) {
#pragma unroll
        for (u32 repeat = 0; repeat < REPEATS; repeat++)
#pragma unroll
            for (u32 j = 0; j < ACCUMULATORS; j++) {
                if (MATH == TF32) multiply_tf32(d[j], a, b);
                else multiply_bf16(d[j], a, b);
            }
    }
    float sum = 0.0f;
#pragma unroll
    for (u32 j = 0; j < ACCUMULATORS; j++)
#pragma unroll
        for (u32 i = 0; i < 4; i++) sum += d[j][i];
    to.put(blockIdx.x * CEILING_THREADS + threadIdx.x, sum);
}

extern "C" __global__ void __launch_bounds__(CEILING_THREADS)
    ceiling_tf32(u32 rounds, float factor, float addend, Out<float> to) {
    multiply_in_registers<TF32>(rounds, factor, addend, to);
}

extern "C" __global__ void __launch_bounds__(CEILING_THREADS)
    ceiling_bf16(u32 rounds, float factor, float addend, Out<float> to) {
    multiply_in_registers<BF16>(rounds, factor, addend, to);
}
