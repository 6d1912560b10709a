// The nearest-neighbour estimator of pairwise.cu for each weight alone, summed over weights:
// kl = sum over d of (1/S) sum_j ln(nu / (rho + e) + e) + ln(S / (S - 1)), rho and nu the distances of w_j to the nearest other
// sample and to the nearest prior draw, sqrt(difference^2 + e), e = 1e-8. One thread per weight, all samples in registers.
#include "random.cuh"

enum { WEIGHT_THREADS = 128 };
#define KL_EPSILON 1e-8f

// sqrt(x^2 + e): never zero.
DEVICE float distance(float x) { return square_root(fused_multiply_add(x, x, KL_EPSILON)); }
DEVICE float magnitude(float x) { return float_of(bits_of(x) & 0x7fffffffu); }
DEVICE float infinity() { return float_of(0x7f800000u); }

// Samples and prior draws of one weight.
template <int SAMPLES> struct Weight {
    float w[SAMPLES], p[SAMPLES];
};

template <int SAMPLES>
DEVICE Weight<SAMPLES> load_weight(PairwiseDims d, In<float> w, Stream stream, u32 weight) {
    Weight<SAMPLES> values;
#pragma unroll
    for (int i = 0; i < SAMPLES; i++) {
        const bool used = i < (int)d.samples;
        values.w[i] = used ? w.block(i)[weight] : 0.0f;
        values.p[i] = used ? d.prior_scale * stream_normal(stream, (u64)i * d.total + d.first + weight) : 0.0f;
    }
    return values;
}

// Distances of w_j to the nearest other sample and to the nearest draw. NaN differences count as infinite.
template <int SAMPLES> DEVICE float2 nearest(PairwiseDims d, const Weight<SAMPLES>& values, int j, float own) {
    float near_w = infinity(), near_p = infinity();
#pragma unroll
    for (int i = 0; i < SAMPLES; i++) {
        if (i >= (int)d.samples) break;
        const float to_w = magnitude(own - values.w[i]), to_p = magnitude(own - values.p[i]);
        if (i != j && to_w < near_w) near_w = to_w;
        if (to_p < near_p) near_p = to_p;
    }
    return make_float2(near_w, near_p);
}

// -> partials F64 [blocks], sums of (1/S) sum_j ln(...)
template <int SAMPLES> DEVICE void kl_partials(PairwiseDims d, In<float> w, const u32* words, double* partials) {
    const Stream stream = stream_of_words(words, d.stream);
    const u32 weight = blockIdx.x * WEIGHT_THREADS + threadIdx.x;
    double sum = 0.0;
    if (weight < d.weights) {
        const Weight<SAMPLES> values = load_weight<SAMPLES>(d, w, stream, weight);
#pragma unroll
        for (int j = 0; j < SAMPLES; j++) {
            if (j >= (int)d.samples) break;
            const float2 near = nearest(d, values, j, values.w[j]);
            sum += logarithm(divide(distance(near.y), distance(near.x) + KL_EPSILON) + KL_EPSILON);
        }
    }
    sum = block_sum<WEIGHT_THREADS / 32>(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum / d.samples;
}

extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS)
    per_weight_kl_8(PairwiseDims d, In<float> w, In<u32> words, double* partials) {
    kl_partials<8>(d, w, words.data, partials);
}
extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS)
    per_weight_kl_16(PairwiseDims d, In<float> w, In<u32> words, double* partials) {
    kl_partials<16>(d, w, words.data, partials);
}

// partials [count] -> kl (1 element), with weights * ln(S / (S - 1)); `constant` is that term.
extern "C" __global__ void __launch_bounds__(256)
    per_weight_kl(u32 count, double constant, const double* partials, Out<float> kl) {
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < count; i += 256) sum += partials[i];
    sum = block_sum<8>(sum);
    if (threadIdx.x == 0) kl.put(kl.data, (float)(sum + constant));
}

// w, words, dkl -> dw [S]-strided. Sample j and its nearest neighbours pull each other; the first of equals is the nearest.
template <int SAMPLES>
DEVICE void kl_gradient(PairwiseDims d, In<float> w, const u32* words, float dkl, Out<float> dw) {
    const u32 weight = blockIdx.x * WEIGHT_THREADS + threadIdx.x;
    if (weight >= d.weights) return;
    const Weight<SAMPLES> values = load_weight<SAMPLES>(d, w, stream_of_words(words, d.stream), weight);
    const float factor = divide(dkl, (float)d.samples);
    float gradient[SAMPLES];
#pragma unroll
    for (int j = 0; j < SAMPLES; j++) gradient[j] = 0.0f;
#pragma unroll
    for (int j = 0; j < SAMPLES; j++) {
        if (j >= (int)d.samples) break;
        const float own = values.w[j];
        const float2 near = nearest(d, values, j, own);
        const float rho = distance(near.x), nu = distance(near.y), inverse = divide(1.0f, rho + KL_EPSILON);
        const float quotient = nu * inverse, d_quotient = divide(factor, quotient + KL_EPSILON);
        const float slope_w = divide(-d_quotient * quotient * inverse, rho), slope_p = divide(d_quotient * inverse, nu);
        bool open_w = true, open_p = true;
#pragma unroll
        for (int i = 0; i < SAMPLES; i++) {
            if (i >= (int)d.samples) break;
            const float to_w = own - values.w[i], to_p = own - values.p[i];
            if (i != j && open_w && magnitude(to_w) == near.x) {
                open_w = false;
                gradient[j] += slope_w * to_w;
                gradient[i] -= slope_w * to_w;
            }
            if (open_p && magnitude(to_p) == near.y) {
                open_p = false;
                gradient[j] += slope_p * to_p;
            }
        }
    }
#pragma unroll
    for (int j = 0; j < SAMPLES; j++)
        if (j < (int)d.samples) dw.put(dw.block(j) + weight, gradient[j]);
}

extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS)
    per_weight_kl_grad_8(PairwiseDims d, In<float> w, In<u32> words, In<float> dkl, Out<float> dw) {
    kl_gradient<8>(d, w, words.data, dkl.data[0], dw);
}
extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS)
    per_weight_kl_grad_16(PairwiseDims d, In<float> w, In<u32> words, In<float> dkl, Out<float> dw) {
    kl_gradient<16>(d, w, words.data, dkl.data[0], dw);
}
