// Rounds numbers as moments are rounded (tests/kernels/rounding.rs): both sides must give the same bits.
#include "moments.cuh"

extern "C" __global__ void echo_rounded(u32 elements, Rounding rounding, const u32* words, const float* x, u16* low, u16* high) {
    const RandomWords<u16> random = random_words(rounding, words);
    each_element(elements, [&](u32 i) {
        u32 word[1];
        random.draw(i, word);
        low[i] = round_at_random(x[i], word[0] & 0xffffu);
        high[i] = round_at_random(x[i], word[0] >> 16);
    });
}
