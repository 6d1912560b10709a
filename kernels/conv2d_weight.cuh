// Gradient of the filters in fp32: dw[o, c, i, j] = sum over n, p, q of
// dy[n, o, p, q] x[n, c, p stride + i - pad, q stride + j - pad].
// Blocks take chunks of images; a second launch adds the chunks in order.
#pragma once
#include "conv2d.cuh"

enum { WEIGHT_THREADS = 256, WEIGHT_OUTPUTS = 8, MOST_TAPS = 5 };

// src/backend/cuda/conv2d.rs: `WeightGradient`. `geometry` is that of the forward convolution with a tile of one image or a
// band of it; its `outputs` and `channels` are the whole tensors', `groups` and `chunk` what a block handles.
struct WeightGradient {
    Correlation geometry;
    // Images of a block's chunk; blocks that the channels are cut into; taps of one thread (a filter's row, or 1).
    u32 chunk_images, channel_blocks, taps;
    // Height and width of dy as stored: halved by a fused pool.
    u32 dy_height, dy_width;
};

DEVICE float sum_of_chunks(const float* partials, u32 chunks, u32 elements, u32 i) {
    float sum = 0.0f;
    for (u32 chunk = 0; chunk < chunks; chunk++) sum += partials[(u64)chunk * elements + i];
    return sum;
}

// Stages dy of one tile as [pixels][padded outputs].
template <bool POOLED>
DEVICE void stage_gradient(const WeightGradient& d, Source<POOLED> dy, u32 image, u32 first_row, u32 pixels, u32 first_output,
                           u32 outputs, u32 padded, float* staged) {
    const Correlation& g = d.geometry;
    const u32 stored = d.dy_height * d.dy_width;
    for (u32 pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) {
        const u32 row = first_row + pixel / g.out_width;
        const Place place = find_place<POOLED>(row, pixel % g.out_width, 1, d.dy_height, d.dy_width);
        const u64 start = ((u64)image * g.outputs + first_output) * stored + place.index;
#pragma unroll 4
        for (u32 o = 0; o < outputs; o++) {
            const bool inside = place.inside && first_output + o < g.outputs;
            staged[pixel * padded + o] = inside ? dy.at(start + (u64)o * stored, place.window) : 0.0f;
        }
    }
}

// sums [outputs, taps] += dy times patches over every `splits`-th pixel.
template <int TAPS>
DEVICE void accumulate_weights(float (&sums)[WEIGHT_OUTPUTS][MOST_TAPS], const float* region, const float* gradient,
                               const u32* offsets, u32 first, u32 pixels, u32 splits, u32 padded) {
#pragma unroll 2
    for (u32 pixel = first; pixel < pixels; pixel += splits) {
        const float4 low = *(const float4*)(gradient + pixel * padded);
        const float4 high = *(const float4*)(gradient + pixel * padded + 4);
        const float slopes[WEIGHT_OUTPUTS] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        const float* const patch = region + offsets[pixel];
#pragma unroll
        for (u32 j = 0; j < TAPS; j++) {
            const float value = patch[j];
#pragma unroll
            for (u32 o = 0; o < WEIGHT_OUTPUTS; o++) sums[o][j] = fused_multiply_add(slopes[o], value, sums[o][j]);
        }
    }
}

// A unit is 8 outputs and `taps` taps of a filter's row; a block's threads are splits of its pixels times its units.
// Grid: (channel blocks times output blocks, chunks of images, samples).
template <bool POOLED>
DEVICE void weight_gradient(const WeightGradient& d, In<float> x, In<float> dy, In<u8> argmax, Out<float> dw, float* shared) {
    const Correlation& g = d.geometry;
    const u32 taps = g.kernel * g.kernel;
    const u32 rows = taps / d.taps;
    const u32 first_channel = blockIdx.x % d.channel_blocks * g.chunk;
    const u32 first_output = blockIdx.x / d.channel_blocks * g.groups * WEIGHT_OUTPUTS;
    const u32 channels = minimum(g.chunk, g.channels - first_channel);
    const u32 outputs = g.groups * WEIGHT_OUTPUTS;
    const u32 padded = outputs + 4;
    const u32 units = g.groups * g.chunk * rows;
    const u32 splits = blockDim.x / units;
    const u32 unit = threadIdx.x % units;
    const u32 split = threadIdx.x / units;
    const u32 line = unit % (g.chunk * rows);
    const u32 channel = line / rows;
    const u32 tap = line % rows * d.taps;
    const u32 group = unit / (g.chunk * rows) * WEIGHT_OUTPUTS;
    const u32 most_pixels = g.rows * g.out_width;
    const u32 area = g.region_height * g.region_width;
    u32* const offsets = (u32*)shared;
    float* const gradient = shared + (most_pixels + 3) / 4 * 4;
    float* const region = gradient + most_pixels * padded;
    for (u32 pixel = threadIdx.x; pixel < most_pixels; pixel += blockDim.x)
        offsets[pixel] = (pixel / g.out_width * g.region_width + pixel % g.out_width) * g.stride;
    const u32 corner = channel * area + tap / g.kernel * g.region_width + tap % g.kernel;
    float sums[WEIGHT_OUTPUTS][MOST_TAPS];
#pragma unroll
    for (u32 o = 0; o < WEIGHT_OUTPUTS; o++)
#pragma unroll
        for (u32 j = 0; j < MOST_TAPS; j++) sums[o][j] = 0.0f;
    const Source<false> images = {x.data + (g.shared ? 0 : (u64)blockIdx.z * g.batch * g.channels * g.height * g.width), nullptr};
    const u64 start = (u64)blockIdx.z * g.batch * g.outputs * d.dy_height * d.dy_width;
    const Source<POOLED> slopes = {dy.data + start, POOLED ? argmax.data + start : nullptr};
    const u32 end = minimum((blockIdx.y + 1) * d.chunk_images, g.batch);
    for (u32 image = blockIdx.y * d.chunk_images; image < end; image++) {
        for (u32 row = 0; row < g.out_height; row += g.rows) {
            const u32 pixels = minimum(g.rows, g.out_height - row) * g.out_width;
            __syncthreads();
            stage_planes(g, images, image, row * g.stride, first_channel, channels, region);
            stage_gradient(d, slopes, image, row, pixels, first_output, outputs, padded, gradient);
            __syncthreads();
            if (split >= splits || channel >= channels) continue;
            const float* const corners = region + corner;
            const float* const slope = gradient + group;
            if (d.taps == 5) accumulate_weights<5>(sums, corners, slope, offsets, split, pixels, splits, padded);
            else if (d.taps == 3) accumulate_weights<3>(sums, corners, slope, offsets, split, pixels, splits, padded);
            else accumulate_weights<1>(sums, corners, slope, offsets, split, pixels, splits, padded);
        }
    }
    // Sums of the splits, in their order, in place of gradients and region.
    float* const totals = gradient;
    __syncthreads();
    if (split < splits) {
#pragma unroll
        for (u32 o = 0; o < WEIGHT_OUTPUTS; o++)
#pragma unroll
            for (u32 j = 0; j < MOST_TAPS; j++)
                if (j < d.taps) totals[((o * d.taps + j) * units + unit) * splits + split] = sums[o][j];
    }
    __syncthreads();
    float* const target = dw.block(blockIdx.z) + (u64)blockIdx.y * g.samples * dw.stride;
    for (u32 i = threadIdx.x; i < outputs * channels * taps; i += blockDim.x) {
        const u32 o = i / (channels * taps);
        const u32 inner = i % (channels * taps);
        if (first_output + o >= g.outputs) continue;
        const u32 t = inner % taps;
        const u32 source = (o / WEIGHT_OUTPUTS * g.chunk + inner / taps) * rows + t / d.taps;
        float sum = 0.0f;
        for (u32 s = 0; s < splits; s++)
            sum += totals[((o % WEIGHT_OUTPUTS * d.taps + t % d.taps) * units + source) * splits + s];
        dw.put(target + ((u64)(first_output + o) * g.channels + first_channel) * taps + inner, sum);
    }
}

// db of output `row` of [samples, outputs]: the sum of dy over open windows. Every thread of the block comes here.
DEVICE void pool_bias_gradient(u32 row, bool present, u32 outputs, u32 batch, u32 area, In<float> dy,
                               In<u8> argmax, const Out<float>& db) {
    const u32 sample = row / outputs;
    const u32 output = row % outputs;
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < (present ? batch * area : 0); i += 256) {
        const u64 index = (((u64)sample * batch + i / area) * outputs + output) * area + i % area;
        if (argmax.data[index] < 4) sum += dy.data[index];
    }
    sum = block_sum<8>(sum);
    if (threadIdx.x == 0 && present) db.put(db.block(sample) + output, sum);
}
