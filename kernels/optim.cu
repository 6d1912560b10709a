// Optimiser steps over flat ranges of parameters, in place.
#include "update_rule.cuh"

// g, scalars -> w, m (Adam), v. Four elements per thread where all four arrays start on 16 bytes.
template <int OPTIMIZER>
DEVICE void step_elements(u32 elements, UpdateRule rule, const float* g, float* w, float* m, float* v) {
    const u64 moments = OPTIMIZER == ADAM ? (u64)m : 0;
    const bool wide = (((u64)g | (u64)w | moments | (u64)v) & 15) == 0;
    const u32 quads = wide ? elements / 4 : 0;
    each_element(quads, [&](u32 i) {
        const float4 g4 = ((const float4*)g)[i];
        float4 w4 = ((float4*)w)[i], v4 = ((float4*)v)[i], m4 = OPTIMIZER == ADAM ? ((float4*)m)[i] : v4;
        update_parameter<OPTIMIZER>(rule, g4.x, w4.x, m4.x, v4.x);
        update_parameter<OPTIMIZER>(rule, g4.y, w4.y, m4.y, v4.y);
        update_parameter<OPTIMIZER>(rule, g4.z, w4.z, m4.z, v4.z);
        update_parameter<OPTIMIZER>(rule, g4.w, w4.w, m4.w, v4.w);
        ((float4*)w)[i] = w4;
        ((float4*)v)[i] = v4;
        if (OPTIMIZER == ADAM) ((float4*)m)[i] = m4;
    });
    each_element(elements - 4 * quads, [&](u32 rest) {
        const u32 i = 4 * quads + rest;
        float unused = 0.0f;
        update_parameter<OPTIMIZER>(rule, g[i], w[i], OPTIMIZER == ADAM ? m[i] : unused, v[i]);
    });
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_step_adam(u32 elements, Optimizer optimizer, In<float> g, In<float> scalars, Out<float> w, Out<float> m,
                        Out<float> v) {
    step_elements<ADAM>(elements, update_rule<ADAM>(optimizer, scalars.data), g.data, w.data, m.data, v.data);
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_step_rmsprop(u32 elements, Optimizer optimizer, In<float> g, In<float> scalars, Out<float> w, Out<float> v) {
    const UpdateRule rule = update_rule<RMS_PROP>(optimizer, scalars.data);
    step_elements<RMS_PROP>(elements, rule, g.data, w.data, nullptr, v.data);
}

// g clipped to [-bound, bound] in place; NaN stays NaN.
extern "C" __global__ void __launch_bounds__(256) clip_by_value(u32 elements, float bound, Out<float> g) {
    each_element(elements, [&](u32 i) {
        const float value = g.data[i];
        g.data[i] = value > bound ? bound : value < -bound ? -bound : value;
    });
}
