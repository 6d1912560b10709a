// Kullback-Leibler divergence by nearest neighbours (Wang, Kulkarni & Verdu 2009, eq. 17 with k = 1) between S generated
// weight vectors w [S]-strided and S draws of the prior. The draws are never stored: each walk over the weights regenerates
// them, four consecutive elements of a draw from one counter.
#include "quads.cuh"

enum { PAIR_THREADS = 128, PAIR_WARPS = PAIR_THREADS / 32, TILE = 8 };

// Sums of |w_i - w_j|^2, i < j, then of |p_i - w_j|^2: places of one list.
DEVICE u32 place_of_weights(u32 i, u32 j) { return j * (j - 1) / 2 + i; }
DEVICE u32 place_of_prior(u32 samples, u32 i, u32 j) { return samples * (samples - 1) / 2 + i * samples + j; }

// Element `place` of distances [2, S, S] from the list of sums, which `sum` gives; the diagonal between weights is 0.
template <class Sum> DEVICE double distance_of(u32 samples, u32 place, Sum sum) {
    const u32 i = place / samples % samples, j = place % samples;
    if (place >= samples * samples) return sum(place_of_prior(samples, i, j));
    return i == j ? 0.0 : sum(place_of_weights(minimum(i, j), maximum(i, j)));
}

DEVICE void add_square(float& sum, float4 a, float4 b) {
    sum = fused_multiply_add(a.x - b.x, a.x - b.x, sum);
    sum = fused_multiply_add(a.y - b.y, a.y - b.y, sum);
    sum = fused_multiply_add(a.z - b.z, a.z - b.z, sum);
    sum = fused_multiply_add(a.w - b.w, a.w - b.w, sum);
}

// Sums of COUNT values over the lanes of a warp: v[m] of a lane becomes the sum of value 32 m + (lane, its five bits reversed).
// Each exchange, over DISTANCE lanes, halves the values that a lane is left with.
template <int COUNT, int DISTANCE, int SIZE> DEVICE void fold_warp(float (&v)[SIZE]) {
    const bool upper = threadIdx.x & DISTANCE;
#pragma unroll
    for (int m = 0; m < (COUNT + 1) / 2; m++) {
        const float low = v[2 * m], high = 2 * m + 1 < COUNT ? v[2 * m + 1] : 0.0f;
        v[m] = (upper ? high : low) + __shfl_xor_sync(0xffffffffu, upper ? low : high, DISTANCE);
    }
    if constexpr (DISTANCE > 1) fold_warp<(COUNT + 1) / 2, DISTANCE / 2>(v);
}

DEVICE u32 reversed_lane() {
    const u32 lane = threadIdx.x % 32;
    return (lane & 1) << 4 | (lane & 2) << 2 | (lane & 4) | (lane & 8) >> 2 | lane >> 4;
}

// Sums of COUNT <= 128 values over the block; thread t receives that of value t. Reached by every thread.
template <int COUNT> DEVICE double fold_block(float (&v)[COUNT]) {
    SHARED(float, warp_sums, [PAIR_WARPS][COUNT]);
    fold_warp<COUNT, 16>(v);
#pragma unroll
    for (int m = 0; m < (COUNT + 31) / 32; m++) {
        const u32 value = 32 * m + reversed_lane();
        if (value < COUNT) warp_sums[threadIdx.x / 32][value] = v[m];
    }
    __syncthreads();
    double sum = 0.0;
    if (threadIdx.x < COUNT)
        for (int warp = 0; warp < PAIR_WARPS; warp++) sum += warp_sums[warp][threadIdx.x];
    return sum;
}

// Calls `body` with each of this thread's quads.
template <class Body> DEVICE void each_quad(PairwiseDims d, u32 per_thread, Body body) {
    const u32 quads = quads_of(d);
    for (u32 turn = 0; turn < per_thread; turn++) {
        const u64 index = ((u64)blockIdx.x * per_thread + turn) * PAIR_THREADS + threadIdx.x;
        if (index < quads) body(quad_of(d, (u32)index));
    }
}

// A block's sums -> partials [sums, blocks]; a lone block writes the distances at once.
template <int S>
DEVICE void distance_partials(PairwiseDims d, u32 per_thread, In<float> w, const u32* words, double* partials,
                              Out<double> distances) {
    const int pairs = S * (S - 1) / 2, count = pairs + S * S;
    SHARED(double, totals, [count]);
    const Stream stream = stream_of_words(words, d.stream);
    float sums[count];
#pragma unroll
    for (int at = 0; at < count; at++) sums[at] = 0.0f;
    each_quad(d, per_thread, [&](Quad quad) {
        float4 own[S];
#pragma unroll
        for (int j = 0; j < S; j++) own[j] = load_quad(d, quad, w.block(j));
#pragma unroll
        for (int j = 1; j < S; j++)
#pragma unroll
            for (int i = 0; i < j; i++) add_square(sums[j * (j - 1) / 2 + i], own[i], own[j]);
#pragma unroll
        for (int i = 0; i < S; i++) {
            const float4 prior = prior_quad(d, stream, i, quad);
#pragma unroll
            for (int j = 0; j < S; j++) add_square(sums[pairs + i * S + j], prior, own[j]);
        }
    });
    const double sum = fold_block(sums);
    if (gridDim.x > 1) {
        if (threadIdx.x < count) partials[(u64)threadIdx.x * gridDim.x + blockIdx.x] = sum;
    } else {
        if (threadIdx.x < count) totals[threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.x < 2 * S * S)
            distances.put(threadIdx.x, distance_of(S, threadIdx.x, [&](u32 at) { return totals[at]; }));
    }
}

// w, words -> partials or distances.
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_2(PairwiseDims d, u32 per_thread, In<float> w, In<u32> words, double* partials, Out<double> distances) {
    distance_partials<2>(d, per_thread, w, words.data, partials, distances);
}
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_3(PairwiseDims d, u32 per_thread, In<float> w, In<u32> words, double* partials, Out<double> distances) {
    distance_partials<3>(d, per_thread, w, words.data, partials, distances);
}
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_4(PairwiseDims d, u32 per_thread, In<float> w, In<u32> words, double* partials, Out<double> distances) {
    distance_partials<4>(d, per_thread, w, words.data, partials, distances);
}
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_5(PairwiseDims d, u32 per_thread, In<float> w, In<u32> words, double* partials, Out<double> distances) {
    distance_partials<5>(d, per_thread, w, words.data, partials, distances);
}
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_6(PairwiseDims d, u32 per_thread, In<float> w, In<u32> words, double* partials, Out<double> distances) {
    distance_partials<6>(d, per_thread, w, words.data, partials, distances);
}
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_7(PairwiseDims d, u32 per_thread, In<float> w, In<u32> words, double* partials, Out<double> distances) {
    distance_partials<7>(d, per_thread, w, words.data, partials, distances);
}
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_8(PairwiseDims d, u32 per_thread, In<float> w, In<u32> words, double* partials, Out<double> distances) {
    distance_partials<8>(d, per_thread, w, words.data, partials, distances);
}

// The same for any S, -> partials: block y the tile of 8 rows (weights for z = 0, draws for z = 1) by 8 columns (weights).
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_tiled(PairwiseDims d, u32 per_thread, In<float> w, In<u32> words, double* partials) {
    const u32 tiles = divide_up(d.samples, TILE), row = blockIdx.y / tiles * TILE, column = blockIdx.y % tiles * TILE;
    const Stream stream = stream_of_words(words.data, d.stream);
    const bool of_prior = blockIdx.z == 1;
    float sums[TILE * TILE];
#pragma unroll
    for (int at = 0; at < TILE * TILE; at++) sums[at] = 0.0f;
    each_quad(d, per_thread, [&](Quad quad) {
        float4 own[TILE];
#pragma unroll
        for (int j = 0; j < TILE; j++) own[j] = load_quad(d, quad, w.block(minimum(column + j, d.samples - 1)));
#pragma unroll
        for (int i = 0; i < TILE; i++) {
            const u32 from = minimum(row + i, d.samples - 1);
            const float4 other = of_prior ? prior_quad(d, stream, from, quad) : load_quad(d, quad, w.block(from));
#pragma unroll
            for (int j = 0; j < TILE; j++) add_square(sums[i * TILE + j], other, own[j]);
        }
    });
    const double sum = fold_block(sums);
    const u32 i = row + threadIdx.x / TILE, j = column + threadIdx.x % TILE;
    if (threadIdx.x >= TILE * TILE || i >= d.samples || j >= d.samples || (!of_prior && i >= j)) return;
    const u32 place = of_prior ? place_of_prior(d.samples, i, j) : place_of_weights(i, j);
    partials[(u64)place * gridDim.x + blockIdx.x] = sum;
}

// partials [sums, count] -> distances [2, S, S]: a warp per distance. Those between weights are one sum for both sides, so that
// the matrix is symmetric to the last bit.
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances(PairwiseDims d, u32 count, const double* partials, Out<double> distances) {
    const u32 places = 2 * d.samples * d.samples, place = blockIdx.x * PAIR_WARPS + threadIdx.x / 32;
    const double total = distance_of(d.samples, minimum(place, places - 1), [&](u32 at) {
        double sum = 0.0;
        for (u32 i = threadIdx.x % 32; i < count; i += 32) sum += partials[(u64)at * count + i];
        return warp_sum(sum);
    });
    if (threadIdx.x % 32 == 0 && place < places) distances.put(place, total);
}

// Added to squared distances under the root, to distances in a quotient and to the quotient under the logarithm.
#define KL_EPSILON 1e-8

// ln(x) for x >= 1e-8, infinity or NaN: x = 2^k m with m in [sqrt(1/2), sqrt(2)], ln m = 2 artanh((m - 1) / (m + 1)) by its
// series.
DEVICE double logarithm_f64(double x) {
    union { double value; u64 bits; } split = {x};
    int exponent = (int)(split.bits >> 52) - 1023;
    if (exponent == 1024) return x;
    split.bits = (split.bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull;
    if (split.value > 1.4142135623730951) {
        split.value *= 0.5;
        exponent++;
    }
    const double s = (split.value - 1.0) / (split.value + 1.0), square = s * s;
    double series = 0.0;
#pragma unroll
    for (int term = 21; term >= 1; term -= 2) series = series * square + 1.0 / term;
    return exponent * 0.69314718055994530942 + 2.0 * s * series;
}

struct Neighbour {
    u32 index;
    double squared;
};

// Index and value of the smallest of squared distances [S, S] to w_j, other than that of `skipped`; the first of equals.
DEVICE Neighbour nearest(u32 samples, const double* squares, u32 skipped, u32 j) {
    Neighbour best = {0, 1.0 / 0.0};
    for (u32 i = 0; i < samples; i++) {
        const double squared = squares[i * samples + j];
        if (i != skipped && (squared < best.squared || squared != squared)) best = {i, squared};
    }
    return best;
}

// distances F64 [parts, 2, S, S] -> kl, partner U32 [2, S], slope [2, S]. One block; 16 S^2 bytes of shared memory hold the sums
// over parts. A lane of the first warp per sample.
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    nearest_neighbour_kl(NearestDims d, In<double> distances, Out<float> kl, Out<u32> partner, Out<float> slope) {
    DYNAMIC_SHARED(double, squares);
    const u32 pairs = d.samples * d.samples;
    for (u32 place = threadIdx.x; place < 2 * pairs; place += PAIR_THREADS) {
        double sum = 0.0;
#pragma unroll 8
        for (u32 part = 0; part < d.parts; part++) sum += distances.data[(u64)part * 2 * pairs + place];
        squares[place] = sum;
    }
    __syncthreads();
    if (threadIdx.x >= 32) return;
    const double per_sample = (double)d.total / d.samples;
    double sum = 0.0;
    for (u32 j = threadIdx.x; j < d.samples; j += 32) {
        const Neighbour near_w = nearest(d.samples, squares, j, j);
        const Neighbour near_p = nearest(d.samples, squares + pairs, d.samples, j);
        const double rho = square_root(near_w.squared + KL_EPSILON), nu = square_root(near_p.squared + KL_EPSILON);
        const double quotient = nu / (rho + KL_EPSILON);
        sum += per_sample * logarithm_f64(quotient + KL_EPSILON);
        const double d_quotient = per_sample / (quotient + KL_EPSILON);
        partner.put(j, near_w.index);
        partner.put(d.samples + j, near_p.index);
        slope.put(j, (float)(-d_quotient * quotient / (rho + KL_EPSILON) / (2.0 * rho)));
        slope.put(d.samples + j, (float)(d_quotient / (rho + KL_EPSILON) / (2.0 * nu)));
    }
    sum = warp_sum(sum);
    const double samples = d.samples;
    if (threadIdx.x == 0) kl.put(kl.data, (float)(sum + logarithm_f64(samples / (samples - 1.0))));
}

// w, words, partner [2, S], slope [2, S], dkl -> dw_j = 2 dkl * sum of slope * (w_j - other) over the distances that w_j takes part
// in. A thread per quad, S <= 8 samples in registers.
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_grad_8(PairwiseDims d, In<float> w, In<u32> words, In<u32> partner, In<float> slope, In<float> dkl,
                              Out<float> dw) {
    SHARED(float, pulls, [TILE][TILE]);  // of w_j and w_i, i < j, on each other
    SHARED(u32, drawn, [TILE]);          // bit j: draw i is the nearest to w_j
    const u32 own_i = threadIdx.x / TILE, own_j = threadIdx.x % TILE;
    const float twice = 2.0f * dkl.data[0];
    if (own_i < own_j && own_j < d.samples) {
        const float of_j = partner.data[own_j] == own_i ? slope.data[own_j] : 0.0f;
        const float of_i = partner.data[own_i] == own_j ? slope.data[own_i] : 0.0f;
        pulls[own_j][own_i] = twice * (of_j + of_i);
    }
    if (threadIdx.x < d.samples) {
        u32 users = 0;
        for (u32 j = 0; j < d.samples; j++) users |= (u32)(partner.data[d.samples + j] == threadIdx.x) << j;
        drawn[threadIdx.x] = users;
    }
    __syncthreads();
    const u32 index = blockIdx.x * PAIR_THREADS + threadIdx.x;
    if (index >= quads_of(d)) return;
    const Quad quad = quad_of(d, index);
    const Stream stream = stream_of_words(words.data, d.stream);
    float4 own[TILE], sum[TILE];
#pragma unroll
    for (int j = 0; j < TILE; j++) {
        sum[j] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        own[j] = j < (int)d.samples ? load_quad(d, quad, w.block(j)) : sum[j];
    }
#pragma unroll
    for (int j = 1; j < TILE; j++) {
        if (j >= (int)d.samples) break;
#pragma unroll
        for (int i = 0; i < j; i++) {
            const float pull = pulls[j][i];
            if (pull == 0.0f) continue;
            add_difference(sum[j], pull, own[j], own[i]);
            add_difference(sum[i], pull, own[i], own[j]);
        }
    }
#pragma unroll 1
    for (u32 i = 0; i < d.samples; i++) {
        if (drawn[i] == 0) continue;
        const float4 prior = prior_quad(d, stream, i, quad);
#pragma unroll
        for (int j = 0; j < TILE; j++)
            if (drawn[i] >> j & 1) add_difference(sum[j], twice * slope.data[d.samples + j], own[j], prior);
    }
#pragma unroll
    for (int j = 0; j < TILE; j++)
        if (j < (int)d.samples) store_quad(d, quad, dw, dw.block(j), sum[j]);
}

// The same for any S: a thread per quad of sample j = blockIdx.y.
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_grad(PairwiseDims d, In<float> w, In<u32> words, In<u32> partner, In<float> slope, In<float> dkl,
                            Out<float> dw) {
    const u32 index = blockIdx.x * PAIR_THREADS + threadIdx.x, j = blockIdx.y;
    if (index >= quads_of(d)) return;
    const Quad quad = quad_of(d, index);
    const Stream stream = stream_of_words(words.data, d.stream);
    const float twice = 2.0f * dkl.data[0];
    const float4 own = load_quad(d, quad, w.block(j));
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    add_difference(sum, twice * slope.data[j], own, load_quad(d, quad, w.block(partner.data[j])));
    for (u32 i = 0; i < d.samples; i++)
        if (partner.data[i] == j) add_difference(sum, twice * slope.data[i], own, load_quad(d, quad, w.block(i)));
    const float4 prior = prior_quad(d, stream, partner.data[d.samples + j], quad);
    add_difference(sum, twice * slope.data[d.samples + j], own, prior);
    store_quad(d, quad, dw, dw.block(j), sum);
}
