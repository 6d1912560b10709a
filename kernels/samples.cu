// The sample axis: conditioning a generator's input on slices, means over samples.
#include "dims.cuh"

// z [S, k] -> y [S, C, k + C], y[s,c,:] = [z[s,:], e_c]
extern "C" __global__ void __launch_bounds__(256) concat_one_hot(OneHotDims d, In<float> z, Out<float> y) {
    const u32 width = d.noise + d.conditions;
    each_element(d.samples * d.conditions * width, [&](u32 i) {
        const u32 column = i % width, row = i / width;
        const u32 sample = row / d.conditions, condition = row % d.conditions;
        const float one_hot = column - d.noise == condition ? 1.0f : 0.0f;
        y.put(i, column < d.noise ? z.data[sample * d.noise + column] : one_hot);
    });
}

// dy [S, C, k + C] -> dz [S, k], the sum over conditions. A block: 32 columns of one sample, 8 rows at a time.
extern "C" __global__ void __launch_bounds__(256) concat_one_hot_grad(OneHotDims d, In<float> dy, Out<float> dz) {
    SHARED(float, partial, [8][32]);
    const u32 lane = threadIdx.x % 32, part = threadIdx.x / 32, sample = blockIdx.y;
    const u32 column = blockIdx.x * 32 + lane, width = d.noise + d.conditions;
    float sum = 0.0f;
    if (column < d.noise)
        for (u32 row = part; row < d.conditions; row += 8)
            sum += dy.data[(u64)(sample * d.conditions + row) * width + column];
    partial[part][lane] = sum;
    __syncthreads();
    if (part == 0 && column < d.noise) {
        for (u32 other = 1; other < 8; other++) sum += partial[other][lane];
        dz.put(sample * d.noise + column, sum);
    }
}

DEVICE float sample_mean(SampleDims d, In<float> x, u32 i) {
    float sum = 0.0f;
    for (u32 sample = 0; sample < d.samples; sample++) sum += x.data[(u64)sample * d.inner + i];
    return divide(sum, (float)d.samples);
}

// x [S, inner] -> y = x - mean over samples
extern "C" __global__ void __launch_bounds__(256) center_samples(SampleDims d, In<float> x, Out<float> y) {
    each_element(d.inner, [&](u32 i) {
        const float mean = sample_mean(d, x, i);
        for (u32 sample = 0; sample < d.samples; sample++) {
            const u32 element = sample * d.inner + i;
            y.put(element, x.data[element] - mean);
        }
    });
}

// x [S, inner] -> y [inner], mean over samples
extern "C" __global__ void __launch_bounds__(256) mean_samples(SampleDims d, In<float> x, Out<float> y) {
    each_element(d.inner, [&](u32 i) { y.put(i, sample_mean(d, x, i)); });
}

// dy [inner] -> dx [S, inner], dx[s,i] = dy[i] / S
extern "C" __global__ void __launch_bounds__(256) mean_samples_grad(SampleDims d, In<float> dy, Out<float> dx) {
    each_element(d.samples * d.inner, [&](u32 i) { dx.put(i, divide(dy.data[i % d.inner], (float)d.samples)); });
}
