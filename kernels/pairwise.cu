// Kullback-Leibler divergence by nearest neighbours (Wang, Kulkarni & Verdu 2009, eq. 17 with k = 1) between S generated
// weight vectors w [S]-strided and S draws of the prior. The draws are never stored: each walk over the weights regenerates
// them, four consecutive elements of a draw from one counter.
#include "random.cuh"

enum { PAIR_THREADS = 256, PAIR_SAMPLES = 16, QUADS_PER_THREAD = 8 };

// The quads of draw `i` that hold weights of this part: quad q holds elements 4 q to 4 q + 3 of the stream, and weight d of
// draw i is element i * total + first + d.
struct Quads {
    u64 start;   // stream element of the part's first weight
    u64 first;   // first quad
    u32 count;
};
DEVICE Quads quads_of(PairwiseDims d, u32 draw) {
    const u64 start = (u64)draw * d.total + d.first;
    const u64 first = start / 4;
    return {start, first, (u32)((start + d.weights + 3) / 4 - first)};
}

// Sums of this block over a chunk of the quads of draw i = blockIdx.y: squares[0][j] = |w_i - w_j|^2, squares[1][j] =
// |p_i - w_j|^2, -> partials F64 [chunks, S, 2, S].
template <int SAMPLES> DEVICE void distance_partials(PairwiseDims d, In<float> w, const u32* words, double* partials) {
    SHARED(double, warp_sums, [2 * SAMPLES][PAIR_THREADS / 32]);
    const u32 draw = blockIdx.y;
    const Stream stream = stream_of_words(words, d.stream);
    const Quads quads = quads_of(d, draw);
    float squares[2][SAMPLES];
#pragma unroll
    for (int j = 0; j < SAMPLES; j++) squares[0][j] = squares[1][j] = 0.0f;
    for (u32 turn = 0; turn < QUADS_PER_THREAD; turn++) {
        const u32 q = (blockIdx.x * QUADS_PER_THREAD + turn) * PAIR_THREADS + threadIdx.x;
        if (q >= quads.count) break;
        const float4 normals = stream_normals(stream, (u32)(quads.first + q));
        for (u32 lane = 0; lane < 4; lane++) {
            const u64 element = 4 * (quads.first + q) + lane;
            if (element < quads.start || element >= quads.start + d.weights) continue;
            const u32 weight = (u32)(element - quads.start);
            const float prior = d.prior_scale * lane_of(normals, lane), own = w.block(draw)[weight];
#pragma unroll
            for (int j = 0; j < SAMPLES; j++) {
                if (j >= (int)d.samples) break;
                const float other = w.block(j)[weight];
                squares[0][j] = fused_multiply_add(own - other, own - other, squares[0][j]);
                squares[1][j] = fused_multiply_add(prior - other, prior - other, squares[1][j]);
            }
        }
    }
    const u32 warp = threadIdx.x / 32;
#pragma unroll
    for (int j = 0; j < SAMPLES; j++) {
        const double to_weight = warp_sum((double)squares[0][j]), to_prior = warp_sum((double)squares[1][j]);
        if (threadIdx.x % 32 == 0) {
            warp_sums[j][warp] = to_weight;
            warp_sums[SAMPLES + j][warp] = to_prior;
        }
    }
    __syncthreads();
    if (threadIdx.x >= 2 * SAMPLES) return;
    const u32 kind = threadIdx.x / SAMPLES, j = threadIdx.x % SAMPLES;
    if (j >= d.samples) return;
    double sum = 0.0;
    for (u32 part = 0; part < PAIR_THREADS / 32; part++) sum += warp_sums[threadIdx.x][part];
    partials[((u64)blockIdx.x * d.samples + draw) * 2 * d.samples + kind * d.samples + j] = sum;
}

extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_8(PairwiseDims d, In<float> w, In<u32> words, double* partials) {
    distance_partials<8>(d, w, words.data, partials);
}
extern "C" __global__ void __launch_bounds__(PAIR_THREADS)
    pairwise_distances_16(PairwiseDims d, In<float> w, In<u32> words, double* partials) {
    distance_partials<16>(d, w, words.data, partials);
}

// partials [chunks, S, 2, S] -> distances [2, S, S]: one thread per distance. Those between weights are taken from one side, so
// that the matrix is symmetric to the last bit.
extern "C" __global__ void __launch_bounds__(256)
    pairwise_distances(PairwiseDims d, u32 chunks, const double* partials, Out<double> distances) {
    const u32 pairs = d.samples * d.samples;
    each_element(2 * pairs, [&](u32 place) {
        const u32 kind = place / pairs, i = place % pairs / d.samples, j = place % d.samples;
        const u32 from = kind == 0 ? minimum(i, j) : i, to = kind == 0 ? maximum(i, j) : j;
        double sum = 0.0;
        for (u32 chunk = 0; chunk < chunks; chunk++)
            sum += partials[((u64)chunk * d.samples + from) * 2 * d.samples + kind * d.samples + to];
        distances.put(place, sum);
    });
}

// Added to squared distances under the root, to distances in a quotient and to the quotient under the logarithm.
#define KL_EPSILON 1e-8

// ln(x) for positive normal x: x = 2^k m with m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1) / (m + 1)) by its series.
DEVICE double logarithm_f64(double x) {
    union { double value; u64 bits; } split = {x};
    int exponent = (int)(split.bits >> 52) - 1023;
    split.bits = (split.bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull;
    if (split.value > 1.4142135623730951) {
        split.value *= 0.5;
        exponent++;
    }
    const double s = (split.value - 1.0) / (split.value + 1.0), square = s * s;
    double series = 0.0;
    for (int term = 21; term >= 1; term -= 2) series = series * square + 1.0 / term;
    return exponent * 0.69314718055994530942 + 2.0 * s * series;
}

struct Neighbour {
    u32 index;
    double squared;
};

// Index and value of the smallest squared distance of kind 0 (to other weights) or 1 (to draws) to w_j; the first of equals.
DEVICE Neighbour nearest(NearestDims d, const double* distances, u32 kind, u32 j) {
    Neighbour best = {0, 1.0 / 0.0};
    for (u32 i = 0; i < d.samples; i++) {
        if (kind == 0 && i == j) continue;
        double squared = 0.0;
        for (u32 part = 0; part < d.parts; part++)
            squared += distances[((u64)(part * 2 + kind) * d.samples + i) * d.samples + j];
        if (squared < best.squared || squared != squared) best = {i, squared};
    }
    return best;
}

// distances F64 [parts, 2, S, S] -> kl, partner U32 [2, S], slope [2, S]. One warp, a lane per sample.
extern "C" __global__ void __launch_bounds__(32)
    nearest_neighbour_kl(NearestDims d, In<double> distances, Out<float> kl, Out<u32> partner, Out<float> slope) {
    const double per_sample = (double)d.total / d.samples;
    double sum = 0.0;
    for (u32 j = threadIdx.x; j < d.samples; j += 32) {
        const Neighbour near_w = nearest(d, distances.data, 0, j), near_p = nearest(d, distances.data, 1, j);
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

// w, words, partner [2, S], slope [2, S], dkl -> dw_j = dkl * sum of slope * d squared distance / d w_j over the distances that
// w_j takes part in. Thread: a quad of the draw nearest to w_j, j = blockIdx.y.
extern "C" __global__ void __launch_bounds__(256)
    pairwise_distances_grad(PairwiseDims d, In<float> w, In<u32> words, In<u32> partner, In<float> slope, In<float> dkl,
                            Out<float> dw) {
    const u32 j = blockIdx.y, draw = partner.data[d.samples + j];
    const Stream stream = stream_of_words(words.data, d.stream);
    const Quads quads = quads_of(d, draw);
    const float twice = 2.0f * dkl.data[0];
    each_element(quads.count, [&](u32 q) {
        const float4 normals = stream_normals(stream, (u32)(quads.first + q));
        for (u32 lane = 0; lane < 4; lane++) {
            const u64 element = 4 * (quads.first + q) + lane;
            if (element < quads.start || element >= quads.start + d.weights) continue;
            const u32 weight = (u32)(element - quads.start);
            const float own = w.block(j)[weight];
            float sum = twice * slope.data[j] * (own - w.block(partner.data[j])[weight]);
            for (u32 i = 0; i < d.samples; i++)
                if (partner.data[i] == j) sum += twice * slope.data[i] * (own - w.block(i)[weight]);
            sum += twice * slope.data[d.samples + j] * (own - d.prior_scale * lane_of(normals, lane));
            dw.put(dw.block(j) + weight, sum);
        }
    });
}
