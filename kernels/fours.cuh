// Vectors in fours of neighbouring elements, as a counter gives them: the last four may be short, and vectors need not be aligned.
#pragma once
#include "random.cuh"

// Elements `first` to `first` + 3 of `elements`, 0 behind the last.
DEVICE float4 load_four(const float* data, u32 first, u32 elements) {
    const float* place = data + first;
    if (elements - first >= 4 && (u64)place % 16 == 0) return *(const float4*)place;
    float v[4];
#pragma unroll
    for (u32 lane = 0; lane < 4; lane++) v[lane] = lane < elements - first ? place[lane] : 0.0f;
    return make_float4(v[0], v[1], v[2], v[3]);
}

DEVICE void store_four(float* data, u32 first, u32 elements, u32 add, float4 v) {
    float* place = data + first;
    if (elements - first >= 4 && !add && (u64)place % 16 == 0) {
        *(float4*)place = v;
        return;
    }
#pragma unroll
    for (u32 lane = 0; lane < 4; lane++)
        if (lane < elements - first) place[lane] = add ? place[lane] + lane_of(v, lane) : lane_of(v, lane);
}
