// A bias per output channel of x [S, N, O, inner], and its gradient.
#include "dims.cuh"

// y[s,n,o,:] = x[s,n,o,:] + b[s,o], b [S]-strided
extern "C" __global__ void __launch_bounds__(256) bias(BiasDims d, In<float> x, In<float> b, Out<float> y) {
    const u32 row = d.channels * d.inner, sample = d.rows * row;
    each_element(d.samples * sample, [&](u32 i) { y.put(i, x.data[i] + b.block(i / sample)[i % row / d.inner]); });
}

// dy -> db [S]-strided [O], the sum over rows and inner elements. For rows of one element per channel: a block sums 32
// channels of one sample, 8 rows at a time.
extern "C" __global__ void __launch_bounds__(256) bias_grad_rows(BiasDims d, In<float> dy, Out<float> db) {
    SHARED(float, partial, [8][32]);
    const u32 lane = threadIdx.x % 32, part = threadIdx.x / 32, sample = blockIdx.y;
    const u32 channel = blockIdx.x * 32 + lane;
    float sum = 0.0f;
    if (channel < d.channels)
        for (u32 row = part; row < d.rows; row += 8) sum += dy.data[(u64)(sample * d.rows + row) * d.channels + channel];
    partial[part][lane] = sum;
    __syncthreads();
    if (part == 0 && channel < d.channels) {
        for (u32 other = 1; other < 8; other++) sum += partial[other][lane];
        db.put(db.block(sample) + channel, sum);
    }
}

// The same for channels of several elements: a block sums one channel of one sample.
extern "C" __global__ void __launch_bounds__(256) bias_grad_planes(BiasDims d, In<float> dy, Out<float> db) {
    const u32 channel = blockIdx.x, sample = blockIdx.y;
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < d.rows * d.inner; i += 256) {
        const u32 row = sample * d.rows + i / d.inner;
        sum += dy.data[((u64)row * d.channels + channel) * d.inner + i % d.inner];
    }
    sum = block_sum<8>(sum);
    if (threadIdx.x == 0) db.put(db.block(sample) + channel, sum);
}
