// Weight gradient of rank N <= 16, optimiser and input gradient in one pass over w [O, I] and its moments:
// dw = dy^T x is formed in registers and never stored, dx[n,i] (+)= sum_o dy[n,o] w[o,i] uses w before the update.
//
// A block: 128 threads, as `lanes` columns of VECTOR weights times 128 / lanes rows. A thread keeps x of its columns and the
// sums of dx in registers and walks down its rows, two at a time: 2 * 3 loads of VECTOR weights are in flight.
#include "update_rule.cuh"

enum { RANK_THREADS = 128, RANK_UNROLL = 2 };

struct RankDims {
    u32 rows, inputs, outputs;
    u32 lanes;           // threads along the columns of a block: a power of two
    u32 rows_per_part;   // rows of w that one thread walks
    u32 input_gradient;  // 1: partial sums of dx are wanted
};

// VECTOR neighbouring elements.
template <int VECTOR> struct alignas(4 * VECTOR) Pack {
    float at[VECTOR];
};

template <int VECTOR> DEVICE Pack<VECTOR> load_pack(const float* p) {
    if constexpr (VECTOR == 4) {
        const float4 v = load_streaming((const float4*)p);
        return {{v.x, v.y, v.z, v.w}};
    } else {
        return *(const Pack<VECTOR>*)p;
    }
}
template <int VECTOR> DEVICE void store_pack(float* p, const Pack<VECTOR>& pack) {
    if constexpr (VECTOR == 4) {
        store_streaming((float4*)p, make_float4(pack.at[0], pack.at[1], pack.at[2], pack.at[3]));
    } else {
        *(Pack<VECTOR>*)p = pack;
    }
}

// What one thread holds: x and the sums of dx of its columns.
template <int ROWS, int VECTOR> struct Columns {
    Pack<VECTOR> x[ROWS], sums[ROWS];
};

// One row of w: forms its gradient, adds to dx, updates.
template <int OPTIMIZER, int ROWS, int VECTOR>
DEVICE void update_row(UpdateRule rule, Columns<ROWS, VECTOR>& columns, const float (&dy)[ROWS], Pack<VECTOR>& w,
                       Pack<VECTOR>& m, Pack<VECTOR>& v) {
#pragma unroll
    for (int c = 0; c < VECTOR; c++) {
        float gradient = 0.0f;
#pragma unroll
        for (int n = 0; n < ROWS; n++) {
            gradient = fused_multiply_add(dy[n], columns.x[n].at[c], gradient);
            columns.sums[n].at[c] = fused_multiply_add(dy[n], w.at[c], columns.sums[n].at[c]);
        }
        update_parameter<OPTIMIZER>(rule, gradient, w.at[c], m.at[c], v.at[c]);
    }
}

// partials [parts, N, I]: part p holds the sums of dx over rows [p * rows_per_part, (p + 1) * rows_per_part).
template <int OPTIMIZER, int ROWS, int VECTOR>
DEVICE void rank_update(RankDims d, Optimizer optimizer, const float* x, const float* dy, const float* scalars, float* w,
                        float* m, float* v, float* partials) {
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
        Pack<VECTOR> w_pack[RANK_UNROLL], m_pack[RANK_UNROLL], v_pack[RANK_UNROLL];
        float slopes[RANK_UNROLL][ROWS];
#pragma unroll
        for (int u = 0; u < RANK_UNROLL; u++) {
            if (row + u >= end) break;
            const u64 at = (u64)(row + u) * d.inputs + column;
            w_pack[u] = load_pack<VECTOR>(w + at);
            v_pack[u] = load_pack<VECTOR>(v + at);
            m_pack[u] = OPTIMIZER == ADAM ? load_pack<VECTOR>(m + at) : v_pack[u];
#pragma unroll
            for (int n = 0; n < ROWS; n++) slopes[u][n] = n < (int)d.rows ? dy[(u64)n * d.outputs + row + u] : 0.0f;
        }
#pragma unroll
        for (int u = 0; u < RANK_UNROLL; u++) {
            if (row + u >= end) break;
            const u64 at = (u64)(row + u) * d.inputs + column;
            update_row<OPTIMIZER>(rule, columns, slopes[u], w_pack[u], m_pack[u], v_pack[u]);
            store_pack<VECTOR>(w + at, w_pack[u]);
            store_pack<VECTOR>(v + at, v_pack[u]);
            if (OPTIMIZER == ADAM) store_pack<VECTOR>(m + at, m_pack[u]);
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
    linear_rank_update_adam_1(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> m, Out<float> v,
                              float* partials) {
    rank_update<ADAM, 1, 4>(d, o, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_2(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> m, Out<float> v,
                              float* partials) {
    rank_update<ADAM, 2, 4>(d, o, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_5(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> m, Out<float> v,
                              float* partials) {
    rank_update<ADAM, 5, 4>(d, o, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_8(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> m, Out<float> v,
                              float* partials) {
    rank_update<ADAM, 8, 4>(d, o, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_16(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> m, Out<float> v,
                               float* partials) {
    rank_update<ADAM, 16, 2>(d, o, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_adam_scalar(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> m, Out<float> v,
                                   float* partials) {
    rank_update<ADAM, 16, 1>(d, o, x.data, dy.data, scalars.data, w.data, m.data, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_1(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> v,
                                 float* partials) {
    rank_update<RMS_PROP, 1, 4>(d, o, x.data, dy.data, scalars.data, w.data, nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_2(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> v,
                                 float* partials) {
    rank_update<RMS_PROP, 2, 4>(d, o, x.data, dy.data, scalars.data, w.data, nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_5(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> v,
                                 float* partials) {
    rank_update<RMS_PROP, 5, 4>(d, o, x.data, dy.data, scalars.data, w.data, nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_8(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> v,
                                 float* partials) {
    rank_update<RMS_PROP, 8, 4>(d, o, x.data, dy.data, scalars.data, w.data, nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_16(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> v,
                                  float* partials) {
    rank_update<RMS_PROP, 16, 2>(d, o, x.data, dy.data, scalars.data, w.data, nullptr, v.data, partials);
}
extern "C" __global__ void __launch_bounds__(RANK_THREADS)
    linear_rank_update_rmsprop_scalar(RankDims d, Optimizer o, In<float> x, In<float> dy, In<float> scalars, Out<float> w, Out<float> v,
                                      float* partials) {
    rank_update<RMS_PROP, 16, 1>(d, o, x.data, dy.data, scalars.data, w.data, nullptr, v.data, partials);
}
