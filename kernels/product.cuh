// Matrix products of linear maps: c [m, n] = sum over terms of a [m, k] b [k, n], where each operand lies in memory with
// its inner axis (k) contiguous or with its lines (m or n) contiguous.
//
// A product has terms * ceil(k / depth) steps. A block computes one tile of c over the steps of its split; with more than
// one split the tiles go to `partials` [splits, blocks, m, n], and `linear_sum_splits` adds them in order.
// Grid: x tiles of c (m fastest), y splits, z blocks (samples).
#pragma once
#include "dims.cuh"

struct Product {
    u32 m, n, k, terms;
    u32 a_shared, b_shared;  // 1: one operand for all samples
};
DEVICE Product forward_product(const LinearDims& d) { return {d.rows, d.outputs, d.inputs, 1, d.shared_input, 0}; }
DEVICE Product grad_input_product(const LinearDims& d) {
    return {d.rows, d.inputs, d.outputs, d.shared_input ? d.samples : 1, 0, 0};
}
DEVICE Product grad_weight_product(const LinearDims& d) { return {d.outputs, d.inputs, d.rows, 1, 0, d.shared_input}; }

// Sample s of a region of [S] blocks of `len` elements with or without gaps.
DEVICE const float* sample_of(const In<float>& region, u32 s, u64 len) {
    return region.data + s * (region.len == region.stride ? len : (u64)region.stride);
}
DEVICE float* sample_of(const Out<float>& region, u32 s, u64 len) {
    return region.data + s * (region.len == region.stride ? len : (u64)region.stride);
}
DEVICE bool is_aligned(const void* p, u32 bytes) { return ((u64)p & (bytes - 1)) == 0; }

// One operand of one sample: `lines` along m or n. INNER: its inner axis is contiguous.
template <bool INNER> struct Operand {
    const float* data;
    u32 lines, inner;

    // The elements of the contiguous axis, and of the other.
    METHOD u32 row() const { return INNER ? inner : lines; }
    METHOD u32 rows() const { return INNER ? lines : inner; }
    // Four neighbours can be loaded at once, and are all inside or all outside.
    METHOD bool in_quads() const { return row() % 4 == 0 && is_aligned(data, 16); }
};

template <bool INNER>
DEVICE Operand<INNER> operand(const In<float>& region, u32 s, u32 shared, u32 lines, u32 inner) {
    return {sample_of(region, shared ? 0 : s, (u64)lines * inner), lines, inner};
}

// What becomes of a sum: c = f(sum + bias of its column).
struct Finish {
    Function function;
    const float* bias;  // [n], or null
    METHOD float apply_to(float sum, u32 column) const { return apply(function, bias ? sum + bias[column] : sum); }
};
DEVICE Finish plain() { return {{IDENTITY, 0.0f, 0.0f}, nullptr}; }
DEVICE Finish forward_finish(const LinearDims& d, Function f, const In<float>& bias) {
    return {f, d.bias ? sample_of(bias, blockIdx.z, d.outputs) : nullptr};
}

// Where this block's tile goes.
struct Target {
    float* data;  // [m, n]
    u32 m, n;
    u32 add;
    bool partial;  // a split's sum, to be finished later
    Finish finish;

    METHOD void put(u32 row, u32 column, float sum) const {
        if (row >= m || column >= n) return;
        float* place = data + (u64)row * n + column;
        const float value = partial ? sum : finish.apply_to(sum, column);
        *place = add ? *place + value : value;
    }
    // `COUNT` neighbours from `column` on, a multiple of COUNT; `whole`: see in_groups.
    template <int COUNT> METHOD void put_group(u32 row, u32 column, const float* sums, bool whole) const {
        if (!whole || add) {
#pragma unroll
            for (int j = 0; j < COUNT; j++) put(row, column + j, sums[j]);
        } else if (row < m && column < n) {
            float values[COUNT];
#pragma unroll
            for (int j = 0; j < COUNT; j++) values[j] = partial ? sums[j] : finish.apply_to(sums[j], column + j);
            float* place = data + (u64)row * n + column;
            if (COUNT == 4) *reinterpret_cast<float4*>(place) = make_float4(values[0], values[1], values[2], values[COUNT - 1]);
            else *reinterpret_cast<float2*>(place) = make_float2(values[0], values[1]);
        }
    }
    METHOD bool in_groups(u32 count) const { return n % count == 0 && is_aligned(data, 4 * count); }
};

DEVICE Target target(const Product& p, const Out<float>& c, float* partials, Finish finish) {
    const u64 len = (u64)p.m * p.n;
    if (gridDim.y > 1) return {partials + ((u64)blockIdx.y * gridDim.z + blockIdx.z) * len, p.m, p.n, 0, true, finish};
    return {sample_of(c, blockIdx.z, len), p.m, p.n, c.add, false, finish};
}

// Steps of this block, and the sample and inner index of the first.
struct Steps {
    u32 count, sample, inner;
};
DEVICE Steps steps_of(const Product& p, u32 depth, u32 steps_per_split) {
    const u32 per_term = divide_up(p.k, depth), first = blockIdx.y * steps_per_split;
    const u32 count = minimum(steps_per_split, p.terms * per_term - first);
    return {count, blockIdx.z + first / per_term, first % per_term * depth};
}
// Goes on by one step, into the next term behind the end of one.
DEVICE void advance(Steps& steps, u32 depth, u32 k) {
    steps.inner += depth;
    if (steps.inner >= k) steps.inner = 0, steps.sample++;
}
