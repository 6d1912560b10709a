// Weights of a part in fours, with the prior draws at their places (kernels of the divergences). Fours begin where a counter of
// draw 0 does, so that each counter is drawn once where the draws' starts are multiples of four apart.
#pragma once
#include "random.cuh"

// Weights first to first + 3; those below 0 or past the end are no weights.
struct Quad {
    long long first;
    bool whole;
};

DEVICE u32 quads_of(PairwiseDims d) { return (u32)(((u64)d.first % 4 + d.weights + 3) / 4); }

DEVICE Quad quad_of(PairwiseDims d, u32 index) {
    const long long first = 4 * (long long)index - d.first % 4;
    return {first, first >= 0 && first + 4 <= (long long)d.weights};
}

DEVICE bool is_weight(PairwiseDims d, long long at) { return at >= 0 && at < (long long)d.weights; }

// The quad's elements of a row of weights, 0 where there is no weight.
DEVICE float4 load_quad(PairwiseDims d, Quad quad, const float* row) {
    const float* place = row + quad.first;
    if (quad.whole && (u64)place % 16 == 0) return *(const float4*)place;
    float v[4];
#pragma unroll
    for (int lane = 0; lane < 4; lane++) v[lane] = is_weight(d, quad.first + lane) ? place[lane] : 0.0f;
    return make_float4(v[0], v[1], v[2], v[3]);
}

// Writes the quad's elements of a row that begins at `row`.
DEVICE void store_quad(PairwiseDims d, Quad quad, const Out<float>& out, float* row, float4 v) {
    float* place = row + quad.first;
    if (quad.whole && !out.add && (u64)place % 16 == 0) {
        *(float4*)place = v;
        return;
    }
#pragma unroll
    for (int lane = 0; lane < 4; lane++)
        if (is_weight(d, quad.first + lane)) out.put(place + lane, lane_of(v, lane));
}

// Prior draw `draw` at the quad's weights, 0 where there is no weight.
DEVICE float4 prior_quad(PairwiseDims d, Stream stream, u32 draw, Quad quad) {
    const float4 n = stream_normals_from(stream, (u64)draw * d.total + (u64)(d.first + quad.first));
    float v[4];
#pragma unroll
    for (int lane = 0; lane < 4; lane++)
        v[lane] = quad.whole || is_weight(d, quad.first + lane) ? d.prior_scale * lane_of(n, lane) : 0.0f;
    return make_float4(v[0], v[1], v[2], v[3]);
}

// sum += factor * (a - b)
DEVICE void add_difference(float4& sum, float factor, float4 a, float4 b) {
    sum.x = fused_multiply_add(factor, a.x - b.x, sum.x);
    sum.y = fused_multiply_add(factor, a.y - b.y, sum.y);
    sum.z = fused_multiply_add(factor, a.z - b.z, sum.z);
    sum.w = fused_multiply_add(factor, a.w - b.w, sum.w);
}
