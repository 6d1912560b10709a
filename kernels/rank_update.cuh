// Weight gradient of rank N <= 16, optimiser and input gradient in one pass over w [O, I] and its moments:
// dw = dy^T x is formed in registers and never stored, dx[n,i] (+)= sum_o dy[n,o] w[o,i] uses w before the update.
//
// A block: 128 threads, as `lanes` columns of VECTOR weights times 128 / lanes rows. A thread keeps x of its columns and the
// sums of dx in registers and walks down its rows, two at a time: 2 * 3 loads of VECTOR weights are in flight.
#pragma once
#include "moments.cuh"
#include "update_rule.cuh"

enum { RANK_THREADS = 128, RANK_UNROLL = 2 };

struct RankDims {
    u32 rows, inputs, outputs;
    u32 lanes;           // threads along the columns of a block: a power of two
    u32 rows_per_part;   // rows of w that one thread walks
    u32 input_gradient;  // 1: partial sums of dx are wanted
};

// Packs of 8 and 16 bytes pass the caches by: nobody reads them again in this step.
template <class T, int VECTOR> DEVICE Pack<T, VECTOR> load_pack(const T* p) {
    if constexpr (sizeof(T) == 4 && VECTOR == 4) {
        const float4 v = load_streaming((const float4*)p);
        return {{v.x, v.y, v.z, v.w}};
    } else if constexpr (sizeof(T) == 2 && VECTOR == 4) {
        const uint2 v = load_streaming((const uint2*)p);
        return {{(u16)v.x, (u16)(v.x >> 16), (u16)v.y, (u16)(v.y >> 16)}};
    } else {
        return *(const Pack<T, VECTOR>*)p;
    }
}
template <class T, int VECTOR> DEVICE void store_pack(T* p, const Pack<T, VECTOR>& pack) {
    if constexpr (sizeof(T) == 4 && VECTOR == 4) {
        store_streaming((float4*)p, make_float4(pack.at[0], pack.at[1], pack.at[2], pack.at[3]));
    } else if constexpr (sizeof(T) == 2 && VECTOR == 4) {
        const u32 low = pack.at[0] | (u32)pack.at[1] << 16, high = pack.at[2] | (u32)pack.at[3] << 16;
        store_streaming((uint2*)p, make_uint2(low, high));
    } else {
        *(Pack<T, VECTOR>*)p = pack;
    }
}

// What one thread holds: x and the sums of dx of its columns.
template <int ROWS, int VECTOR> struct Columns {
    Pack<float, VECTOR> x[ROWS], sums[ROWS];
};

// One row of w: forms its gradient, adds to dx, updates.
template <int OPTIMIZER, class Moment, int ROWS, int VECTOR>
DEVICE void update_row(UpdateRule rule, Columns<ROWS, VECTOR>& columns, const float (&dy)[ROWS], Pack<float, VECTOR>& w,
                       Pack<Moment, VECTOR>& m, Pack<Moment, VECTOR>& v, const u32 (&words)[VECTOR]) {
#pragma unroll
    for (int c = 0; c < VECTOR; c++) {
        float gradient = 0.0f;
#pragma unroll
        for (int n = 0; n < ROWS; n++) {
            gradient = fused_multiply_add(dy[n], columns.x[n].at[c], gradient);
            columns.sums[n].at[c] = fused_multiply_add(dy[n], w.at[c], columns.sums[n].at[c]);
        }
        float m_value = moment_value(m.at[c]), v_value = moment_value(v.at[c]);
        update_parameter<OPTIMIZER>(rule, gradient, w.at[c], m_value, v_value);
        store_moment(m.at[c], m_value, words[c] & 0xffffu);
        store_moment(v.at[c], v_value, words[c] >> 16);
    }
}

// partials [parts, N, I]: part p holds the sums of dx over rows [p * rows_per_part, (p + 1) * rows_per_part).
template <int OPTIMIZER, int ROWS, int VECTOR, class Moment>
DEVICE void rank_update(RankDims d, Optimizer optimizer, RandomWords<Moment> random, const float* x, const float* dy,
                        const float* scalars, float* w, Moment* m, Moment* v, float* partials) {
    const u32 column = (blockIdx.y * d.lanes + threadIdx.x % d.lanes) * VECTOR;
    const u32 part = blockIdx.x * (RANK_THREADS / d.lanes) + threadIdx.x / d.lanes;
    const u32 first = part * d.rows_per_part, end = minimum(first + d.rows_per_part, d.outputs);
    if (column >= d.inputs) return;
    const UpdateRule rule = update_rule<OPTIMIZER>(optimizer, scalars);
    Columns<ROWS, VECTOR> columns;
#pragma unroll
    for (int n = 0; n < ROWS; n++)
#pragma unroll
        for (int c = 0; c < VECTOR; c++) {
            columns.x[n].at[c] = n < (int)d.rows ? x[(u64)n * d.inputs + column + c] : 0.0f;
            columns.sums[n].at[c] = 0.0f;
        }
    for (u32 row = first; row < end; row += RANK_UNROLL) {
        Pack<float, VECTOR> w_pack[RANK_UNROLL];
        Pack<Moment, VECTOR> m_pack[RANK_UNROLL], v_pack[RANK_UNROLL];
        float slopes[RANK_UNROLL][ROWS];
#pragma unroll
        for (int u = 0; u < RANK_UNROLL; u++) {
            if (row + u >= end) break;
            const u64 at = (u64)(row + u) * d.inputs + column;
            w_pack[u] = load_pack<float, VECTOR>(w + at);
            v_pack[u] = load_pack<Moment, VECTOR>(v + at);
            m_pack[u] = OPTIMIZER == ADAM ? load_pack<Moment, VECTOR>(m + at) : v_pack[u];
#pragma unroll
            for (int n = 0; n < ROWS; n++) slopes[u][n] = n < (int)d.rows ? dy[(u64)n * d.outputs + row + u] : 0.0f;
        }
#pragma unroll
        for (int u = 0; u < RANK_UNROLL; u++) {
            if (row + u >= end) break;
            const u64 at = (u64)(row + u) * d.inputs + column;
            u32 words[VECTOR];
            random.draw(at, words);
            update_row<OPTIMIZER>(rule, columns, slopes[u], w_pack[u], m_pack[u], v_pack[u], words);
            store_pack(w + at, w_pack[u]);
            store_pack(v + at, v_pack[u]);
            if (OPTIMIZER == ADAM) store_pack(m + at, m_pack[u]);
        }
    }
    if (!d.input_gradient || first >= d.outputs) return;
#pragma unroll
    for (int n = 0; n < ROWS; n++) {
        if (n >= (int)d.rows) break;
#pragma unroll
        for (int c = 0; c < VECTOR; c++)
            partials[((u64)part * d.rows + n) * d.inputs + column + c] = columns.sums[n].at[c];
    }
}
