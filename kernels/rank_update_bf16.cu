// Rank updates with bf16 moments: x [N, I], dy [N, O], scalars, words -> w, m, v in place, partials. The number is the most rows
// N that the kernel takes.
#include "rank_update.cuh"

extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_1_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                   In<float> scalars, In<u32> words, Out<float> w, Out<u16> m, Out<u16> v,
                                   float* partials) {
    rank_update<ADAM, 1, 4>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data, m.data,
                            v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_2_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                   In<float> scalars, In<u32> words, Out<float> w, Out<u16> m, Out<u16> v,
                                   float* partials) {
    rank_update<ADAM, 2, 4>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data, m.data,
                            v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_5_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                   In<float> scalars, In<u32> words, Out<float> w, Out<u16> m, Out<u16> v,
                                   float* partials) {
    rank_update<ADAM, 5, 4>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data, m.data,
                            v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_8_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                   In<float> scalars, In<u32> words, Out<float> w, Out<u16> m, Out<u16> v,
                                   float* partials) {
    rank_update<ADAM, 8, 4>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data, m.data,
                            v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_16_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                    In<float> scalars, In<u32> words, Out<float> w, Out<u16> m, Out<u16> v,
                                    float* partials) {
    rank_update<ADAM, 16, 2>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data, m.data,
                             v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_scalar_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                        In<float> scalars, In<u32> words, Out<float> w, Out<u16> m, Out<u16> v,
                                        float* partials) {
    rank_update<ADAM, 16, 1>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data, m.data,
                             v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_1_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                      In<float> scalars, In<u32> words, Out<float> w, Out<u16> v, float* partials) {
    rank_update<RMS_PROP, 1, 4>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data,
                                (u16*)nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_2_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                      In<float> scalars, In<u32> words, Out<float> w, Out<u16> v, float* partials) {
    rank_update<RMS_PROP, 2, 4>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data,
                                (u16*)nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_5_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                      In<float> scalars, In<u32> words, Out<float> w, Out<u16> v, float* partials) {
    rank_update<RMS_PROP, 5, 4>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data,
                                (u16*)nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_8_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                      In<float> scalars, In<u32> words, Out<float> w, Out<u16> v, float* partials) {
    rank_update<RMS_PROP, 8, 4>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data,
                                (u16*)nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_16_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                       In<float> scalars, In<u32> words, Out<float> w, Out<u16> v, float* partials) {
    rank_update<RMS_PROP, 16, 2>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data,
                                 (u16*)nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_scalar_bf16(RankDims d, Optimizer o, Rounding rounding, In<float> x, In<float> dy,
                                           In<float> scalars, In<u32> words, Out<float> w, Out<u16> v, float* partials) {
    rank_update<RMS_PROP, 16, 1>(d, o, random_words(rounding, words.data), x.data, dy.data, scalars.data, w.data,
                                 (u16*)nullptr, v.data, partials);
}
