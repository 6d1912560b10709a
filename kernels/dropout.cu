// Elements kept at random.
#include "random.cuh"

// x, words -> y = x / keep where the element's uniform number is below keep, else 0. Four elements of a counter per thread.
extern "C" __global__ void __launch_bounds__(256) dropout(DropoutDims d, In<float> x, In<u32> words, Out<float> y) {
    const Stream stream = stream_of_words(words.data, d.stream);
    const float factor = 1.0f / d.keep;
    const bool wide = !y.add && (u64)x.data % 16 == 0 && (u64)y.data % 16 == 0;
    each_element(divide_up(d.elements, 4), [&](u32 block) {
        const uint4 bits = stream_bits(stream, block);
        const float4 mask =
            make_float4(uniform_of(bits.x) < d.keep ? factor : 0.0f, uniform_of(bits.y) < d.keep ? factor : 0.0f,
                        uniform_of(bits.z) < d.keep ? factor : 0.0f, uniform_of(bits.w) < d.keep ? factor : 0.0f);
        if (wide && block < d.elements / 4) {
            const float4 v = ((const float4*)x.data)[block];
            ((float4*)y.data)[block] = make_float4(v.x * mask.x, v.y * mask.y, v.z * mask.z, v.w * mask.w);
            return;
        }
        for (u32 lane = 0; lane < 4; lane++) {
            const u32 i = 4 * block + lane;
            if (i < d.elements) y.put(i, x.at(i) * lane_of(mask, lane));
        }
    });
}
