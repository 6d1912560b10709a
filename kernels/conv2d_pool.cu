// Convolution, bias, 2x2 max pool and ReLU in one pass in fp32, and their gradients. A thread holds the four pixels of a
// window; the convolution's output and its gradient never reach global memory.
#include "conv2d_exact.cuh"
#include "conv2d_weight.cuh"

// x, w, b -> y, argmax
extern "C" __global__ void __launch_bounds__(EXACT_THREADS, 2)
    conv2d_pool(Correlation d, In<float> x, In<float> w, In<float> b, Out<float> y, Out<u8> argmax) {
    DYNAMIC_SHARED(float, shared);
    const u64 start = (u64)blockIdx.z * d.batch * d.outputs * d.out_height * d.out_width;
    const float* const bias = b.block(blockIdx.z);
    correlate<false, true>(d, x, In<u8>{}, w, shared, [&](auto& sums, Tile tile, u32 slot, u32 lanes, u32 output) {
        each_result<true>(d, tile, slot, lanes, output, [&](u64 index, u32, u32 o) {
            const float pixels[4] = {sums[0][o], sums[1][o], sums[2][o], sums[3][o]};
            u32 place;
            const float best = pool_window(pixels, d.bias ? bias[output + o] : 0.0f, place);
            y.put(y.data + start + index, best);
            argmax.data[start + index] = (u8)place;
        });
    });
}

// dy, argmax, w -> dx
extern "C" __global__ void __launch_bounds__(EXACT_THREADS, 2)
    conv2d_pool_grad_input(Correlation d, In<float> dy, In<u8> argmax, In<float> w, Out<float> dx) {
    DYNAMIC_SHARED(float, shared);
    float* const result = dx.data + (u64)blockIdx.z * d.batch * d.outputs * d.out_height * d.out_width;
    correlate<true, false>(d, dy, argmax, w, shared, [&](auto& sums, Tile tile, u32 slot, u32 lanes, u32 output) {
        each_result<false>(d, tile, slot, lanes, output,
                           [&](u64 index, u32 p, u32 o) { dx.put(result + index, sums[p][o]); });
    });
}

// x, dy, argmax -> dw of this block's images, at (chunk * samples + sample) blocks of dw
extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS)
    conv2d_pool_grad_weight(WeightGradient d, In<float> x, In<float> dy, In<u8> argmax, Out<float> dw) {
    DYNAMIC_SHARED(float, shared);
    weight_gradient<true>(d, x, dy, argmax, dw, shared);
}

// partials [chunks, samples, filters] -> dw, their sum over chunks; dy, argmax -> db, the sum of dy over open windows.
// Blocks below `weight_blocks` do the former (none when one chunk was written in place), one block for each output of each
// sample the latter.
extern "C" __global__ void __launch_bounds__(256)
    conv2d_pool_sum_chunks(Correlation d, u32 chunks, u32 elements, u32 weight_blocks, const float* partials, In<float> dy,
                           In<u8> argmax, Out<float> dw, Out<float> db) {
    if (blockIdx.x < weight_blocks)
        for (u64 i = (u64)blockIdx.x * 256 + threadIdx.x; i < elements; i += (u64)weight_blocks * 256)
            dw.put((u32)i, sum_of_chunks(partials, chunks, elements, (u32)i));
    const u32 row = blockIdx.x - minimum(blockIdx.x, weight_blocks);
    const bool is_bias = blockIdx.x >= weight_blocks;
    pool_bias_gradient(row, is_bias, d.outputs, d.batch, d.out_height * d.out_width, dy, argmax, db);
}
