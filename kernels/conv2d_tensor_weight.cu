// Gradient of the filters on the tensor cores, for blocks of up to 32 and up to 64 outputs, in tf32 and bf16.
#include "conv2d_mma_weight.cuh"

// x, dy, argmax (of a fused pool) -> partial sums
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_grad_weight_tf32_32(TensorWeight d, In<float> x, In<float> dy, In<u8> argmax, float* partials) {
    DYNAMIC_SHARED(uint4, shared);
    weight_tiles<false, 2, 8>(d, x, dy, argmax, partials, shared);
}

// x, dy, argmax (of a fused pool) -> partial sums
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_grad_weight_tf32_64(TensorWeight d, In<float> x, In<float> dy, In<u8> argmax, float* partials) {
    DYNAMIC_SHARED(uint4, shared);
    weight_tiles<false, 4, 4>(d, x, dy, argmax, partials, shared);
}

// x, dy, argmax (of a fused pool) -> partial sums
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_grad_weight_bf16_32(TensorWeight d, In<float> x, In<float> dy, In<u8> argmax, float* partials) {
    DYNAMIC_SHARED(uint4, shared);
    weight_tiles<true, 2, 8>(d, x, dy, argmax, partials, shared);
}

// x, dy, argmax (of a fused pool) -> partial sums
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_grad_weight_bf16_64(TensorWeight d, In<float> x, In<float> dy, In<u8> argmax, float* partials) {
    DYNAMIC_SHARED(uint4, shared);
    weight_tiles<true, 4, 4>(d, x, dy, argmax, partials, shared);
}

// partials -> dw; with a fused pool also dy, argmax -> db, one block for each output of each sample behind `weight_blocks`.
extern "C" __global__ void __launch_bounds__(256)
    conv2d_sum_partials(TensorWeight d, u32 parts, u32 elements, u32 weight_blocks, const float* partials, In<float> dy,
                        In<u8> argmax, Out<float> dw, Out<float> db) {
    if (blockIdx.x < weight_blocks)
        for (u64 i = (u64)blockIdx.x * 256 + threadIdx.x; i < elements; i += (u64)weight_blocks * 256)
            sum_partials_of(d, parts, partials, dw, (u32)i);
    const u32 row = blockIdx.x - minimum(blockIdx.x, weight_blocks);
    const bool is_bias = blockIdx.x >= weight_blocks;
    pool_bias_gradient(row, is_bias, d.geometry.outputs, d.geometry.batch, d.dy_height * d.dy_width, dy, argmax, db);
}
