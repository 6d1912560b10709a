// Standardised crops of images: cut, flip, contrast, mean 0 and standard deviation 1.
#include "random.cuh"

enum { MOST_CHANNELS = 4, AUGMENT_WARPS = 4, AUGMENT_THREADS = AUGMENT_WARPS * 32 };

// Where an image is cut (row and column of the crop's first pixel, negative in the padding) and how it is changed.
struct View {
    int top, left;
    bool flip;
    float contrast;
};

// One of the places of a crop along an axis of `pixels`, from random bits.
DEVICE int place_of(AugmentDims d, u32 bits, u32 pixels) {
    return (int)multiply_high(bits, pixels + 2 * d.pad - d.side + 1) - (int)d.pad;
}

// The four words of the row's counter give top, left, flip and contrast.
DEVICE View view_of(AugmentDims d, const u32* words, u32 row) {
    if (!d.random) return {(int)(d.height - d.side) / 2, (int)(d.width - d.side) / 2, false, 1.0f};
    const uint4 bits = stream_bits(stream_of_words(words, d.stream), row);
    return {place_of(d, bits.x, d.height), place_of(d, bits.y, d.width), bits.z >> 31 == 1,
            fused_multiply_add(d.contrast_width, uniform_of(bits.w), d.contrast_low)};
}

// Element i of the crop of a channel [H, W]; zero outside.
DEVICE float pixel(AugmentDims d, View v, const float* channel, u32 i) {
    const int side = (int)d.side, column = (int)i % side;
    const int from_row = (int)i / side + v.top, from_column = (v.flip ? side - 1 - column : column) + v.left;
    const bool inside = from_row >= 0 && from_row < (int)d.height && from_column >= 0 && from_column < (int)d.width;
    return inside ? channel[from_row * (int)d.width + from_column] : 0.0f;
}

// Sum over the block, the same in every thread. A further call overwrites `total` behind the barrier of its block sum.
DEVICE float sum_for_all(float x) {
    SHARED(float, total, [1]);
    const float sum = block_sum<AUGMENT_WARPS>(x);
    if (threadIdx.x == 0) total[0] = sum;
    __syncthreads();
    return total[0];
}

// x [N, C, H, W], words -> y [N, C, side, side]. A block per image. With v the crop and m the mean of its channel,
// z = contrast (v - m) + m - mean of all, y = z / max(standard deviation of z, 1 / (255 sqrt(C side^2))).
extern "C" __global__ void __launch_bounds__(AUGMENT_THREADS)
    augment(AugmentDims d, In<float> x, In<u32> words, Out<float> y) {
    SHARED(float, means, [MOST_CHANNELS]);
    const u32 row = blockIdx.x, plane = d.side * d.side, area = d.height * d.width;
    const View view = view_of(d, words.data, row);
    const float* image = x.data + (u64)row * d.channels * area;
    float mean = 0.0f;
    for (u32 c = 0; c < d.channels; c++) {
        float sum = 0.0f;
        for (u32 i = threadIdx.x; i < plane; i += AUGMENT_THREADS) sum += pixel(d, view, image + c * area, i);
        const float of_channel = divide(sum_for_all(sum), (float)(int)plane);
        if (threadIdx.x == 0) means[c] = of_channel;
        mean += of_channel;
    }
    mean = divide(mean, (float)(int)d.channels);
    __syncthreads();
    const auto centred = [&](u32 c, u32 i) {
        return fused_multiply_add(view.contrast, pixel(d, view, image + c * area, i) - means[c], means[c] - mean);
    };
    float squares = 0.0f;
    for (u32 c = 0; c < d.channels; c++)
        for (u32 i = threadIdx.x; i < plane; i += AUGMENT_THREADS) {
            const float z = centred(c, i);
            squares = fused_multiply_add(z, z, squares);
        }
    const float elements = (float)(int)(d.channels * plane);
    const float least = divide(1.0f, 255.0f * square_root(elements));
    const float deviation = maximum(square_root(divide(sum_for_all(squares), elements)), least);
    for (u32 c = 0; c < d.channels; c++)
        for (u32 i = threadIdx.x; i < plane; i += AUGMENT_THREADS)
            y.put(y.data + ((u64)row * d.channels + c) * plane + i, divide(centred(c, i), deviation));
}
