// Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011), bit for bit the integers of src/random.rs.
#pragma once
#include "dims.cuh"

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
