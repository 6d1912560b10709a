// How moments are stored: as float, or as bf16 that is rounded at random (src/random/rounding.rs, the same bits).
#pragma once
#include "random.cuh"

// VECTOR neighbouring elements.
template <class T, int VECTOR> struct alignas(sizeof(T) * VECTOR) Pack {
    T at[VECTOR];
};

// Where the random numbers of a call's moments begin: src/backend/cuda/optim.rs.
struct Rounding {
    u64 first;  // place of the first weight in its buffer
    u32 stream, unused;
};

// x, so that nothing derived from it (the keys of ten rounds) is kept in registers from one use to the next.
#if defined(__CUDACC__)
DEVICE u32 derived_anew(u32 x) {
    asm volatile("" : "+r"(x));
    return x;
}
#else
DEVICE u32 derived_anew(u32 x) { return x; }
#endif

// One of the two bf16 next to x, the upper one for (x - lower) / (upper - lower) of all 2^16 values of `random`. Beyond the
// largest finite one the nearest decides; what is not a number stays none.
DEVICE u16 round_at_random(float x, u32 random) {
    const u32 bits = bits_of(x), size = bits & 0x7fffffffu;
    const u32 rounded = bits + (size < 0x7f7f0000u ? random : 0x8000u);
    return (u16)((size > 0x7f800000u ? bits | 0x00400000u : rounded) >> 16);
}

DEVICE float moment_value(float x) { return x; }
DEVICE float moment_value(u16 x) { return from_bf16(x); }
DEVICE void store_moment(float& place, float x, u32) { place = x; }
DEVICE void store_moment(u16& place, float x, u32 random) { place = round_at_random(x, random); }

// Random words of the moments of neighbouring weights: the lower half of a weight's word rounds its first moment, the upper
// half its second.
template <class Moment> struct RandomWords;
template <> struct RandomWords<float> {
    METHOD bool begins_counter() const { return true; }
    template <int VECTOR> METHOD void draw(u64, u32 (&words)[VECTOR]) const {
#pragma unroll
        for (int c = 0; c < VECTOR; c++) words[c] = 0;
    }
};
template <> struct RandomWords<u16> {
    Stream stream;
    u64 first;
    // True when the fours of the call's weights are the fours of counters, as packs of 2 and 4 want.
    METHOD bool begins_counter() const { return first % 4 == 0; }
    template <int VECTOR> METHOD void draw(u64 element, u32 (&words)[VECTOR]) const {
        const u64 place = first + element;
        Stream here = stream;
        if (VECTOR < 4) here.key0 = derived_anew(stream.key0), here.key1 = derived_anew(stream.key1);
        const uint4 all = stream_bits(here, (u32)(place / 4));
        const u32 lane = (u32)(place % 4);
        if constexpr (VECTOR == 4) {
            words[0] = all.x, words[1] = all.y, words[2] = all.z, words[3] = all.w;
        } else if constexpr (VECTOR == 2) {
            words[0] = lane < 2 ? all.x : all.z;
            words[1] = lane < 2 ? all.y : all.w;
        } else {
            words[0] = lane == 0 ? all.x : lane == 1 ? all.y : lane == 2 ? all.z : all.w;
        }
    }
};

DEVICE RandomWords<u16> random_words(Rounding rounding, const u32* words) {
    return {stream_of_words(words, rounding.stream), rounding.first};
}
