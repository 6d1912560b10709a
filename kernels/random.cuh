// Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011), bit for bit the integers of src/random.rs.
#pragma once
#include "dims.cuh"

// log2(x) and 1 / sqrt(x) of normal numbers, without the care that smaller ones need.
#if defined(__CUDACC__)
DEVICE float log2_of_normal(float x) {
    float r;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
DEVICE float reciprocal_root_of_normal(float x) {
    float r;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
#else
DEVICE float log2_of_normal(float x) { return log2_fast(x); }
DEVICE float reciprocal_root_of_normal(float x) { return reciprocal_root(x); }
#endif

// One random stream at one step. Element i is lane i % 4 of counter [i / 4, stream, step, 0].
struct Stream {
    u32 key0, key1, stream, step;
};

DEVICE Stream stream_of_words(const u32* words, u32 stream) {
    return {words[WORD_SEED_LOW], words[WORD_SEED_HIGH], stream, words[WORD_STEP]};
}

DEVICE uint4 philox4x32_10(uint4 c, u32 k0, u32 k1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const u32 high0 = multiply_high(0xD2511F53u, c.x), low0 = 0xD2511F53u * c.x;
        const u32 high1 = multiply_high(0xCD9E8D57u, c.z), low1 = 0xCD9E8D57u * c.z;
        c = make_uint4(high1 ^ c.y ^ k0, low1, high0 ^ c.w ^ k1, low0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

// Random words of elements 4 block to 4 block + 3.
DEVICE uint4 stream_bits(Stream s, u32 block) {
    return philox4x32_10(make_uint4(block, s.stream, s.step, 0), s.key0, s.key1);
}

// A number in (0, 1), one of 2^24 equally spaced ones, kept below 1.
DEVICE float uniform_of(u32 bits) {
    return minimum(((float)(int)(bits >> 8) + 0.5f) * 5.9604644775390625e-8f, 0.99999994f);
}

// -2 ln((k + 1/2) / 2^24), k < 2^24. Above 31/32, where the logarithm's absolute error would show, by its series in g = -2 f,
// 1 + f the number, exact.
DEVICE float minus_twice_logarithm(u32 k) {
    const float integer = (float)(int)k;
    const float far = -1.38629436f * log2_of_normal(fused_multiply_add(integer, 5.9604644775390625e-8f, 2.98023223876953125e-8f));
    const float g = fused_multiply_add(integer - 16777216.0f, -1.1920928955078125e-7f, -5.9604644775390625e-8f);
    const float tail = fused_multiply_add(g, fused_multiply_add(g, 0.03125f, 0.0833333333f), 0.25f);
    return k >= 0xf80000u ? fused_multiply_add(g * g, tail, g) : far;
}

// Two normals from two random words by Box-Muller: sqrt(-2 ln u0) times cos and sin of 2 pi u1, absolute error below 1e-6 of the
// root. The angle is taken in (-pi, pi), half a turn back: cos and sin change their sign.
DEVICE float2 box_muller(u32 bits0, u32 bits1) {
    const float squared = minus_twice_logarithm(bits0 >> 8);
    const float radius = -squared * reciprocal_root_of_normal(squared);
    const float angle = fused_multiply_add((float)((int)(bits1 >> 8) - (1 << 23)), 3.74507030e-7f, 1.87253515e-7f);
    return make_float2(radius * cosine_fast(angle), radius * sine_fast(angle));
}

// Elements 4 block to 4 block + 3 of N(0, 1).
DEVICE float4 stream_normals(Stream s, u32 block) {
    const uint4 bits = stream_bits(s, block);
    const float2 first = box_muller(bits.x, bits.y), second = box_muller(bits.z, bits.w);
    return make_float4(first.x, first.y, second.x, second.y);
}

// Elements `first` to `first` + 3 of N(0, 1), from two counters unless `first` begins one.
DEVICE float4 stream_normals_from(Stream s, u64 first) {
    const u32 block = (u32)(first / 4), phase = (u32)(first % 4);
    float4 low = make_float4(0.0f, 0.0f, 0.0f, 0.0f), v = low;
#pragma unroll 1
    for (u32 next = 0; next <= (phase > 0); next++) {
        low = v;
        v = stream_normals(s, block + next);
    }
    if (phase == 1) return make_float4(low.y, low.z, low.w, v.x);
    if (phase == 2) return make_float4(low.z, low.w, v.x, v.y);
    if (phase == 3) return make_float4(low.w, v.x, v.y, v.z);
    return v;
}

DEVICE float lane_of(float4 v, u32 lane) { return lane == 0 ? v.x : lane == 1 ? v.y : lane == 2 ? v.z : v.w; }

// A bijection of 0..4^half, with the multiply-and-xor round of Philox 2x32.
DEVICE u32 feistel(u32 k0, u32 k1, u32 half, u32 value) {
    const u32 mask = (1u << half) - 1;
    u32 left = value >> half, right = value & mask;
    for (int round = 0; round < 10; round++) {
        const u32 mixed = multiply_high(0xD2511F53u, right ^ k0) ^ (0xD2511F53u * (right ^ k0)) ^ k1;
        const u32 old_left = left;
        left = right;
        right = old_left ^ (mixed & mask);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return left << half | right;
}

// Where element i of 0..n goes in the permutation that the key names (src/random/permute.rs).
DEVICE u32 permute(u32 k0, u32 k1, u32 n, u32 i) {
    u32 bits = 8;
    while (bits < 32 && (n - 1) >> bits) bits++;
    const u32 half = (bits + 1) / 2;
    u32 value = feistel(k0, k1, half, i);
    while (value >= n) value = feistel(k0, k1, half, value);
    return value;
}
