// Random numbers of the step's streams: four elements of a counter per thread.
#include "random.cuh"

// y[i] = shift + scale * value for the elements of this thread's counters; `draw` gives four values of a counter.
template <class Draw> DEVICE void fill_noise(NoiseDims d, Out<float> y, Draw draw) {
    const bool wide = !y.add && (u64)y.data % 16 == 0;
    each_element(divide_up(d.elements, 4), [&](u32 block) {
        const float4 v = draw(block);
        const float4 scaled = make_float4(d.shift + d.scale * v.x, d.shift + d.scale * v.y, d.shift + d.scale * v.z,
                                          d.shift + d.scale * v.w);
        if (wide && block < d.elements / 4) {
            ((float4*)y.data)[block] = scaled;
            return;
        }
        for (u32 lane = 0; lane < 4; lane++)
            if (4 * block + lane < d.elements) y.put(4 * block + lane, lane_of(scaled, lane));
    });
}

// words -> y
extern "C" __global__ void __launch_bounds__(256) normal(NoiseDims d, In<u32> words, Out<float> y) {
    const Stream stream = stream_of_words(words.data, d.stream);
    fill_noise(d, y, [&](u32 block) { return stream_normals(stream, block); });
}

// words -> y
extern "C" __global__ void __launch_bounds__(256) uniform(NoiseDims d, In<u32> words, Out<float> y) {
    const Stream stream = stream_of_words(words.data, d.stream);
    fill_noise(d, y, [&](u32 block) {
        const uint4 bits = stream_bits(stream, block);
        return make_float4(uniform_of(bits.x), uniform_of(bits.y), uniform_of(bits.z), uniform_of(bits.w));
    });
}
