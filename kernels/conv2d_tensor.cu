// Convolution with weights per sample and the gradient of its input on the tensor cores, alone and fused with bias, 2x2 max
// pool and ReLU. Each comes for blocks of up to 32 and up to 64 outputs, in tf32 and bf16.
#include "conv2d_mma.cuh"

template <bool BF16, int MI, int NI>
DEVICE void forward(const Correlation& d, const TensorCut& cut, Function f, In<float> x, In<float> b, const Out<float>& y,
                    const uint4* packed, uint4* shared) {
    float sums[MI][NI][4];
    correlate_tiles<BF16, MI, NI, false>(d, cut, x, In<u8>{}, packed, shared, sums);
    float* const result = y.data + (u64)blockIdx.z * d.batch * d.outputs * d.out_height * d.out_width;
    const float* const bias = b.block(blockIdx.z);
    each_tile_result(d, cut, sums, [&](u64 index, u32 output, float sum) {
        y.put(result + index, apply(f, sum + (d.bias ? bias[output] : 0.0f)));
    });
}

template <bool BF16, int MI, int NI>
DEVICE void pool_forward(const Correlation& d, const TensorCut& cut, In<float> x, In<float> b, const Out<float>& y,
                         const Out<u8>& argmax, const uint4* packed, uint4* shared) {
    float sums[MI][NI][4];
    correlate_tiles<BF16, MI, NI, true>(d, cut, x, In<u8>{}, packed, shared, sums);
    const u64 start = (u64)blockIdx.z * d.batch * d.outputs * d.out_height * d.out_width;
    const float* const bias = b.block(blockIdx.z);
    each_tile_window(d, cut, sums, [&](u64 index, u32 output, const float (&pixels)[4]) {
        u32 place;
        const float best = pool_window(pixels, d.bias ? bias[output] : 0.0f, place);
        y.put(y.data + start + index, best);
        argmax.data[start + index] = (u8)place;
    });
}

template <bool BF16, int MI, int NI>
DEVICE void grad_input(const Correlation& d, const TensorCut& cut, In<float> dy, In<u8> argmax, const Out<float>& dx,
                       const uint4* packed, uint4* shared) {
    float sums[MI][NI][4];
    correlate_tiles<BF16, MI, NI, false>(d, cut, dy, argmax, packed, shared, sums);
    float* const result = dx.data + (u64)blockIdx.z * d.batch * d.outputs * d.out_height * d.out_width;
    each_tile_result(d, cut, sums, [&](u64 index, u32, float sum) { dx.put(result + index, sum); });
}

// w -> packed
extern "C" __global__ void __launch_bounds__(256)
    conv2d_pack_tf32(Correlation d, TensorCut cut, u32 count, In<float> w, uint4* packed) {
    pack_filters<false>(d, cut, w, packed, count);
}

// w -> packed
extern "C" __global__ void __launch_bounds__(256)
    conv2d_pack_bf16(Correlation d, TensorCut cut, u32 count, In<float> w, uint4* packed) {
    pack_filters<true>(d, cut, w, packed, count);
}

// x, b, packed filters -> y
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_tf32_32(Correlation d, TensorCut cut, Function f, In<float> x, In<float> b, Out<float> y, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    forward<false, 4, 4>(d, cut, f, x, b, y, packed, shared);
}

// x, b, packed filters -> y
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_tf32_64(Correlation d, TensorCut cut, Function f, In<float> x, In<float> b, Out<float> y, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    forward<false, 2, 8>(d, cut, f, x, b, y, packed, shared);
}

// x, b, packed filters -> y
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_bf16_32(Correlation d, TensorCut cut, Function f, In<float> x, In<float> b, Out<float> y, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    forward<true, 4, 4>(d, cut, f, x, b, y, packed, shared);
}

// x, b, packed filters -> y
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_bf16_64(Correlation d, TensorCut cut, Function f, In<float> x, In<float> b, Out<float> y, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    forward<true, 2, 8>(d, cut, f, x, b, y, packed, shared);
}

// x, b, packed filters -> y, argmax
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_pool_tf32_32(Correlation d, TensorCut cut, In<float> x, In<float> b, Out<float> y, Out<u8> argmax, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    pool_forward<false, 4, 4>(d, cut, x, b, y, argmax, packed, shared);
}

// x, b, packed filters -> y, argmax
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_pool_tf32_64(Correlation d, TensorCut cut, In<float> x, In<float> b, Out<float> y, Out<u8> argmax, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    pool_forward<false, 2, 8>(d, cut, x, b, y, argmax, packed, shared);
}

// x, b, packed filters -> y, argmax
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_pool_bf16_32(Correlation d, TensorCut cut, In<float> x, In<float> b, Out<float> y, Out<u8> argmax, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    pool_forward<true, 4, 4>(d, cut, x, b, y, argmax, packed, shared);
}

// x, b, packed filters -> y, argmax
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_pool_bf16_64(Correlation d, TensorCut cut, In<float> x, In<float> b, Out<float> y, Out<u8> argmax, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    pool_forward<true, 2, 8>(d, cut, x, b, y, argmax, packed, shared);
}

// dy, argmax (of a fused pool), packed filters -> dx
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_grad_input_tf32_32(Correlation d, TensorCut cut, In<float> dy, In<u8> argmax, Out<float> dx, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    grad_input<false, 4, 4>(d, cut, dy, argmax, dx, packed, shared);
}

// dy, argmax (of a fused pool), packed filters -> dx
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_grad_input_tf32_64(Correlation d, TensorCut cut, In<float> dy, In<u8> argmax, Out<float> dx, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    grad_input<false, 2, 8>(d, cut, dy, argmax, dx, packed, shared);
}

// dy, argmax (of a fused pool), packed filters -> dx
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_grad_input_bf16_32(Correlation d, TensorCut cut, In<float> dy, In<u8> argmax, Out<float> dx, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    grad_input<true, 4, 4>(d, cut, dy, argmax, dx, packed, shared);
}

// dy, argmax (of a fused pool), packed filters -> dx
extern "C" __global__ void __launch_bounds__(MMA_THREADS, 2)
    conv2d_grad_input_bf16_64(Correlation d, TensorCut cut, In<float> dy, In<u8> argmax, Out<float> dx, const uint4* packed) {
    DYNAMIC_SHARED(uint4, shared);
    grad_input<true, 2, 8>(d, cut, dy, argmax, dx, packed, shared);
}
