// The nearest-neighbour estimator of pairwise.cu for each weight alone, summed over weights:
// kl = sum over d of (1/S) sum_j ln(nu / (rho + e) + e) + ln(S / (S - 1)), rho and nu the distances of w_j to the nearest other
// sample and to the nearest prior draw, sqrt(difference^2 + e), e = 1e-8. A thread per quad of weights, all samples and draws in
// registers: the weight at work is the first of each quad, which then turns by one.
#include "quads.cuh"

enum { WEIGHT_THREADS = 128 };
#define KL_EPSILON 1e-8f

DEVICE float magnitude(float x) { return float_of(bits_of(x) & 0x7fffffffu); }
DEVICE float infinity() { return float_of(0x7f800000u); }

// 1 / x of a positive normal number.
DEVICE float reciprocal(float x) {
    const float root = reciprocal_root_of_normal(x);
    return root * root;
}

// sqrt(x^2 + e): never zero.
DEVICE float distance(float x) {
    const float squared = fused_multiply_add(x, x, KL_EPSILON);
    return squared * reciprocal_root_of_normal(squared);
}

// Samples and prior draws of a quad of weights.
template <int SAMPLES> struct Weights {
    float4 w[SAMPLES], p[SAMPLES];
};

template <int SAMPLES> DEVICE void load(Weights<SAMPLES>& values, PairwiseDims d, In<float> w, const u32* words, Quad quad) {
    const Stream stream = stream_of_words(words, d.stream);
#pragma unroll
    for (int i = 0; i < SAMPLES; i++) {
        values.w[i] = values.p[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (i >= (int)d.samples) continue;
        values.w[i] = load_quad(d, quad, w.block(i));
        values.p[i] = prior_quad(d, stream, i, quad);
    }
}

// The quad from its second weight on, then `last`.
DEVICE float4 turned(float4 v, float last) { return make_float4(v.y, v.z, v.w, last); }

// What is nearest to a weight: its index, the difference to it and the size of that. The first of equals.
struct Nearest {
    int index;
    float difference, distance;
    METHOD void approach(int i, float d) {
        const float size = magnitude(d);
        if (size < distance) {
            index = i;
            difference = d;
            distance = size;
        }
    }
};

// The nearest other sample and the nearest draw of the first weight's w_j.
template <int SAMPLES>
DEVICE void find(const Weights<SAMPLES>& values, u32 samples, int j, Nearest& near_w, Nearest& near_p) {
    near_w = near_p = {-1, 0.0f, infinity()};
#pragma unroll
    for (int i = 0; i < SAMPLES; i++) {
        if (i >= (int)samples) break;
        if (i != j) near_w.approach(i, values.w[j].x - values.w[i].x);
        near_p.approach(i, values.w[j].x - values.p[i].x);
    }
}

// -> partials F64 [blocks], sums of sum_j ln(...)
template <int SAMPLES> DEVICE void kl_partials(PairwiseDims d, In<float> w, const u32* words, double* partials) {
    const u32 index = blockIdx.x * WEIGHT_THREADS + threadIdx.x;
    double sum = 0.0;
    if (index < quads_of(d)) {
        const Quad quad = quad_of(d, index);
        Weights<SAMPLES> values;
        load(values, d, w, words, quad);
#pragma unroll 1
        for (int lane = 0; lane < 4; lane++) {
            float of_weight = 0.0f;
#pragma unroll
            for (int j = 0; j < SAMPLES; j++) {
                if (j >= (int)d.samples) break;
                Nearest near_w, near_p;
                find(values, d.samples, j, near_w, near_p);
                const float quotient = distance(near_p.distance) * reciprocal(distance(near_w.distance) + KL_EPSILON);
                of_weight += logarithm(quotient + KL_EPSILON);
            }
            if (is_weight(d, quad.first + lane)) sum += of_weight;
#pragma unroll
            for (int i = 0; i < SAMPLES; i++) {
                values.w[i] = turned(values.w[i], 0.0f);
                values.p[i] = turned(values.p[i], 0.0f);
            }
        }
    }
    sum = block_sum<WEIGHT_THREADS / 32>(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS)
    per_weight_kl_8(PairwiseDims d, In<float> w, In<u32> words, double* partials) {
    kl_partials<8>(d, w, words.data, partials);
}
extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS, 2)
    per_weight_kl_16(PairwiseDims d, In<float> w, In<u32> words, double* partials) {
    kl_partials<16>(d, w, words.data, partials);
}

// partials [count] -> kl (1 element) = their sum / S + constant, which is weights * ln(S / (S - 1)).
extern "C" __global__ void __launch_bounds__(256)
    per_weight_kl(u32 count, u32 samples, double constant, const double* partials, Out<float> kl) {
    double sum = 0.0;
#pragma unroll 4
    for (u32 i = threadIdx.x; i < count; i += 256) sum += partials[i];
    sum = block_sum<8>(sum);
    if (threadIdx.x == 0) kl.put(kl.data, (float)(sum / samples + constant));
}

// Gradients of the first weight: sample j and its nearest other sample pull each other, its nearest draw pulls it.
template <int SAMPLES>
DEVICE void pull(const Weights<SAMPLES>& values, u32 samples, float factor, float (&gradient)[SAMPLES]) {
#pragma unroll
    for (int j = 0; j < SAMPLES; j++) gradient[j] = 0.0f;
#pragma unroll
    for (int j = 0; j < SAMPLES; j++) {
        if (j >= (int)samples) break;
        Nearest near_w, near_p;
        find(values, samples, j, near_w, near_p);
        const float rho = distance(near_w.distance), nu = distance(near_p.distance);
        const float inverse = reciprocal(rho + KL_EPSILON), quotient = nu * inverse;
        const float d_quotient = factor * reciprocal(quotient + KL_EPSILON);
        const float of_w = -d_quotient * quotient * inverse * reciprocal(rho) * near_w.difference;
        const float of_p = d_quotient * inverse * reciprocal(nu) * near_p.difference;
        gradient[j] += of_w + of_p;
#pragma unroll
        for (int i = 0; i < SAMPLES; i++)
            if (i == near_w.index) gradient[i] -= of_w;
    }
}

// w, words, dkl -> dw [S]-strided. The gradients take the places of the weights that have had their turn.
template <int SAMPLES>
DEVICE void kl_gradient(PairwiseDims d, In<float> w, const u32* words, float dkl, Out<float> dw) {
    const u32 index = blockIdx.x * WEIGHT_THREADS + threadIdx.x;
    if (index >= quads_of(d)) return;
    const Quad quad = quad_of(d, index);
    Weights<SAMPLES> values;
    load(values, d, w, words, quad);
    const float factor = divide(dkl, (float)d.samples);
#pragma unroll 1
    for (int lane = 0; lane < 4; lane++) {
        float gradient[SAMPLES];
        pull(values, d.samples, factor, gradient);
#pragma unroll
        for (int i = 0; i < SAMPLES; i++) {
            values.w[i] = turned(values.w[i], gradient[i]);
            values.p[i] = turned(values.p[i], 0.0f);
        }
    }
#pragma unroll
    for (int j = 0; j < SAMPLES; j++)
        if (j < (int)d.samples) store_quad(d, quad, dw, dw.block(j), values.w[j]);
}

extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS)
    per_weight_kl_grad_8(PairwiseDims d, In<float> w, In<u32> words, In<float> dkl, Out<float> dw) {
    kl_gradient<8>(d, w, words.data, dkl.data[0], dw);
}
extern "C" __global__ void __launch_bounds__(WEIGHT_THREADS, 2)
    per_weight_kl_grad_16(PairwiseDims d, In<float> w, In<u32> words, In<float> dkl, Out<float> dw) {
    kl_gradient<16>(d, w, words.data, dkl.data[0], dw);
}
