// Convolution with weights per sample in fp32, and its gradients.
#include "conv2d_exact.cuh"
#include "conv2d_weight.cuh"

// x, w, b -> y
extern "C" __global__ void __launch_bounds__(EXACT_THREADS, 2)
    conv2d(Correlation d, Function f, In<float> x, In<float> w, In<float> b, Out<float> y) {
    DYNAMIC_SHARED(float, shared);
    float* const result = y.data + (u64)blockIdx.z * d.batch * d.outputs * d.out_height * d.out_width;
    const float* const bias = b.block(blockIdx.z);
    correlate<false, false>(d, x, In<u8>{}, w, shared, [&](auto& sums, Tile tile, u32 slot, u32 lanes, u32 output) {
        each_result<false>(d, tile, slot, lanes, output, [&](u64 index, u32 p, u32 o) {
            y.put(result + index, apply(f, sums[p][o] + (d.bias ? bias[output + o] : 0.0f)));
        });
    });
}

// dy, w -> dx
extern "C" __global__ void __launch_bounds__(EXACT_THREADS, 2)
    conv2d_grad_input(Correlation d, In<float> dy, In<float> w, Out<float> dx) {
    DYNAMIC_SHARED(float, shared);
    float* const result = dx.data + (u64)blockIdx.z * d.batch * d.outputs * d.out_height * d.out_width;
    correlate<false, false>(d, dy, In<u8>{}, w, shared, [&](auto& sums, Tile tile, u32 slot, u32 lanes, u32 output) {
        each_result<false>(d, tile, slot, lanes, output,
                           [&](u64 index, u32 p, u32 o) { dx.put(result + index, sums[p][o]); });
    });
}

// x, dy -> dw of this block's images, at (chunk * samples + sample) blocks of dw
extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS)
    conv2d_grad_weight(WeightGradient d, In<float> x, In<float> dy, Out<float> dw) {
    DYNAMIC_SHARED(float, shared);
    weight_gradient<false>(d, x, dy, In<u8>{}, dw, shared);
}

// partials [chunks, samples, len] -> dw, their sum over chunks
extern "C" __global__ void __launch_bounds__(256) conv2d_sum_chunks(u32 chunks, u32 elements, const float* partials, Out<float> dw) {
    each_element(elements, [&](u32 i) { dw.put(i, sum_of_chunks(partials, chunks, elements, i)); });
}
