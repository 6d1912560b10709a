// Optimiser steps over flat ranges of parameters, in place.
#include "moments.cuh"
#include "update_rule.cuh"

// One parameter with its stored moments.
template <int OPTIMIZER, class Moment>
DEVICE void step_element(UpdateRule rule, float g, float& w, Moment& m, Moment& v, u32 word) {
    float m_value = moment_value(m), v_value = moment_value(v);
    update_parameter<OPTIMIZER>(rule, g, w, m_value, v_value);
    store_moment(v, v_value, word >> 16);
    if (OPTIMIZER == ADAM) store_moment(m, m_value, word & 0xffffu);
}

// g, scalars -> w, m (Adam), v. Four elements per thread where four of each array can be read at once.
template <int OPTIMIZER, class Moment>
DEVICE void step_elements(u32 elements, UpdateRule rule, RandomWords<Moment> random, const float* g, float* w, Moment* m,
                          Moment* v) {
    typedef Pack<float, 4> Four;
    typedef Pack<Moment, 4> FourMoments;
    const u64 moments = (OPTIMIZER == ADAM ? (u64)m : 0) | (u64)v;
    const bool wide = ((u64)g | (u64)w) % sizeof(Four) == 0 && moments % sizeof(FourMoments) == 0 && random.begins_counter();
    const u32 quads = wide ? elements / 4 : 0;
    each_element(quads, [&](u32 i) {
        const Four g4 = ((const Four*)g)[i];
        Four w4 = ((Four*)w)[i];
        FourMoments v4 = ((FourMoments*)v)[i], m4 = OPTIMIZER == ADAM ? ((FourMoments*)m)[i] : v4;
        u32 words[4];
        random.draw(4 * (u64)i, words);
#pragma unroll
        for (int c = 0; c < 4; c++) step_element<OPTIMIZER>(rule, g4.at[c], w4.at[c], m4.at[c], v4.at[c], words[c]);
        ((Four*)w)[i] = w4;
        ((FourMoments*)v)[i] = v4;
        if (OPTIMIZER == ADAM) ((FourMoments*)m)[i] = m4;
    });
    each_element(elements - 4 * quads, [&](u32 rest) {
        const u32 i = 4 * quads + rest;
        Moment unused = v[i];
        u32 words[1];
        random.draw(i, words);
        step_element<OPTIMIZER>(rule, g[i], w[i], OPTIMIZER == ADAM ? m[i] : unused, v[i], words[0]);
    });
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_step_adam(u32 elements, Optimizer optimizer, In<float> g, In<float> scalars, Out<float> w, Out<float> m,
                        Out<float> v) {
    const UpdateRule rule = update_rule<ADAM>(optimizer, scalars.data);
    step_elements<ADAM>(elements, rule, RandomWords<float>{}, g.data, w.data, m.data, v.data);
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_step_rmsprop(u32 elements, Optimizer optimizer, In<float> g, In<float> scalars, Out<float> w, Out<float> v) {
    const UpdateRule rule = update_rule<RMS_PROP>(optimizer, scalars.data);
    step_elements<RMS_PROP>(elements, rule, RandomWords<float>{}, g.data, w.data, (float*)nullptr, v.data);
}

// The same with bf16 moments: g, scalars, words -> w, m (Adam), v.
extern "C" __global__ void __launch_bounds__(256)
    optimizer_step_adam_bf16(u32 elements, Optimizer optimizer, Rounding rounding, In<float> g, In<float> scalars,
                             In<u32> words, Out<float> w, Out<u16> m, Out<u16> v) {
    const UpdateRule rule = update_rule<ADAM>(optimizer, scalars.data);
    step_elements<ADAM>(elements, rule, random_words(rounding, words.data), g.data, w.data, m.data, v.data);
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_step_rmsprop_bf16(u32 elements, Optimizer optimizer, Rounding rounding, In<float> g, In<float> scalars,
                                In<u32> words, Out<float> w, Out<u16> v) {
    const UpdateRule rule = update_rule<RMS_PROP>(optimizer, scalars.data);
    step_elements<RMS_PROP>(elements, rule, random_words(rounding, words.data), g.data, w.data, (u16*)nullptr, v.data);
}

// g clipped to [-bound, bound] in place; NaN stays NaN.
extern "C" __global__ void __launch_bounds__(256) clip_by_value(u32 elements, float bound, Out<float> g) {
    each_element(elements, [&](u32 i) {
        const float value = g.data[i];
        g.data[i] = value > bound ? bound : value < -bound ? -bound : value;
    });
}
