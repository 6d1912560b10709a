// A random subset of the weights: the first M places of a permutation of 0..D that each step draws anew (src/random.rs).
#include "random.cuh"

// Fourth counter word of the keys of subsets; noise has 0 there, batches 1.
enum { SUBSET = 2 };

// Place of a chosen element in this part; `weights` or more when another part has it.
DEVICE u32 place_of(SubsetDims d, const u32* words, u32 number) {
    const uint4 key = philox4x32_10(make_uint4(words[WORD_STEP], d.stream, 0, SUBSET), words[WORD_SEED_LOW],
                                    words[WORD_SEED_HIGH]);
    return permute(key.x, key.y, d.total, number) - d.first;
}

// w [S]-strided, words -> y [S, M], 0 where another part has the element
extern "C" __global__ void __launch_bounds__(256) subset(SubsetDims d, In<float> w, In<u32> words, Out<float> y) {
    each_element(d.chosen, [&](u32 number) {
        const u32 place = place_of(d, words.data, number);
#pragma unroll 1
        for (u32 s = 0; s < d.samples; s++)
            y.put(y.data + (u64)s * d.chosen + number, place < d.weights ? w.block(s)[place] : 0.0f);
    });
}

// dy [S, M], words -> dw [S]-strided, at the chosen places only
extern "C" __global__ void __launch_bounds__(256) subset_grad(SubsetDims d, In<float> dy, In<u32> words, Out<float> dw) {
    each_element(d.chosen, [&](u32 number) {
        const u32 place = place_of(d, words.data, number);
        if (place >= d.weights) return;
#pragma unroll 1
        for (u32 s = 0; s < d.samples; s++) dw.put(dw.block(s) + place, dy.data[(u64)s * d.chosen + number]);
    });
}
