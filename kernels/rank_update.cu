// Rank updates with fp32 moments, and the sum of the input gradient's parts.
#include "rank_update.cuh"

// partials [parts, N * I] -> dx [N, I], the sum over parts in a fixed order. A block: 32 elements, 8 parts at a time.
extern "C" __global__ void __launch_bounds__(256)
    linear_rank_update_sum(u32 parts, u32 elements, const float* partials, Out<float> dx) {
    SHARED(float, sums, [8][32]);
    const u32 lane = threadIdx.x % 32, group = threadIdx.x / 32, element = blockIdx.x * 32 + lane;
    float sum = 0.0f;
    if (element < elements)
        for (u32 part = group; part < parts; part += 8) sum += partials[(u64)part * elements + element];
    sums[group][lane] = sum;
    __syncthreads();
    if (group > 0 || element >= elements) return;
    for (u32 other = 1; other < 8; other++) sum += sums[other][lane];
    dx.put(element, sum);
}

// x [N, I], dy [N, O], scalars -> w, m, v in place, partials. The number is the most rows N that the kernel takes.
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_1(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                              Out<float> m, Out<float> v, float* partials) {
    rank_update<ADAM, 1, 4>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_2(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                              Out<float> m, Out<float> v, float* partials) {
    rank_update<ADAM, 2, 4>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_5(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                              Out<float> m, Out<float> v, float* partials) {
    rank_update<ADAM, 5, 4>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_8(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                              Out<float> m, Out<float> v, float* partials) {
    rank_update<ADAM, 8, 4>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_16(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                               Out<float> m, Out<float> v, float* partials) {
    rank_update<ADAM, 16, 2>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_scalar(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                                   Out<float> m, Out<float> v, float* partials) {
    rank_update<ADAM, 16, 1>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_1(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                                 Out<float> v, float* partials) {
    rank_update<RMS_PROP, 1, 4>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, (float*)nullptr,
                                v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_2(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                                 Out<float> v, float* partials) {
    rank_update<RMS_PROP, 2, 4>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, (float*)nullptr,
                                v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_5(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                                 Out<float> v, float* partials) {
    rank_update<RMS_PROP, 5, 4>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, (float*)nullptr,
                                v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_8(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                                 Out<float> v, float* partials) {
    rank_update<RMS_PROP, 8, 4>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, (float*)nullptr,
                                v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_16(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                                  Out<float> v, float* partials) {
    rank_update<RMS_PROP, 16, 2>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, (float*)nullptr,
                                 v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_scalar(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w,
                                      Out<float> v, float* partials) {
    rank_update<RMS_PROP, 16, 1>(d, o, RandomWords<float>{}, x.data, dy.data, scalars.data, w.data, (float*)nullptr,
                                 v.data, partials);
}
