// Gradient of the filters on the tensor cores: dw[o, (c, tap)] = sum over pixels of dy[o, pixel] x[pixel + tap, c]. Rows of the
// product are outputs, columns 8 channels of one tap, the inner axis is the pixels of a tile: a step is 8 (tf32) or 16
// (bf16) of them. dy is staged as [outputs, pixels], x as in conv2d_mma.cuh.
#pragma once
#include "conv2d_mma.cuh"
#include "conv2d_weight.cuh"

// src/backend/cuda/conv2d_tensor_weight.rs: `TensorWeight`.
struct TensorWeight {
    // Of the forward convolution; the tile is `images` images or a band of one.
    Correlation geometry;
    TensorCut cut;
    // Images of a block's chunk; height and width of dy as stored.
    u32 chunk_images, dy_height, dy_width;
    // Groups of 8 channels of the tensor and of a block; blocks that they make.
    u32 groups, block_groups, group_blocks;
    // Warps along the columns (the others split the steps), outputs of a block, vectors from row to row of dy (odd).
    u32 column_warps, block_outputs, gradient_vectors;
    // Steps of a tile.
    u32 steps;
};

// Stages dy of a tile as rows of rounded pixels; pixels that do not exist are zero.
template <bool BF16, bool POOLED>
DEVICE void stage_rows(const TensorWeight& d, Source<POOLED> dy, u32 first_image, u32 image_end, u32 first_row, u32 first_output,
                       u32 outputs, u32* rows) {
    constexpr u32 PACK = BF16 ? 2 : 1;
    constexpr u32 LOADS = 8;  // in flight
    const Correlation& g = d.geometry;
    const u32 stored = d.dy_height * d.dy_width;
    const u32 words = d.steps * 8;
    for (u32 i = threadIdx.x; i < words; i += blockDim.x) {
        u64 start[PACK];
        Place place[PACK];
#pragma unroll
        for (u32 p = 0; p < PACK; p++) {
            const u32 pixel = i * PACK + p;
            const u32 row = first_row + pixel / g.out_width % g.rows;
            const u32 image = first_image + pixel / (g.out_width * g.rows);
            place[p] = find_place<POOLED>(row, pixel % g.out_width, 1, d.dy_height, d.dy_width);
            place[p].inside = place[p].inside && image < image_end && pixel < g.images * g.rows * g.out_width;
            start[p] = ((u64)image * g.outputs + first_output) * stored + place[p].index;
        }
#pragma unroll LOADS / PACK
        for (u32 o = 0; o < outputs; o++) {
            float values[2];
#pragma unroll
            for (u32 p = 0; p < PACK; p++) values[p] = place[p].inside ? dy.at(start[p] + (u64)o * stored, place[p].window) : 0.0f;
            rows[o * d.gradient_vectors * 4 + i] = BF16 ? to_bf16x2(values[0], values[PACK - 1]) : to_tf32(values[0]);
        }
    }
}

// Grid: (group blocks times output blocks, chunks, samples). Partial sums go to [chunks times warps that split the steps]
// [samples][outputs][taps][groups of 8 channels].
template <bool BF16, int MI, int NI>
DEVICE void weight_tiles(const TensorWeight& d, In<float> x, In<float> dy, In<u8> argmax, float* partials, uint4* shared) {
    constexpr u32 GROUP = BF16 ? 1 : 2;
    const Correlation& g = d.geometry;
    const TensorCut& cut = d.cut;
    const u32 lane = threadIdx.x % 32;
    const u32 warp = threadIdx.x / 32;
    const u32 column = warp % d.column_warps * NI;
    const u32 split = warp / d.column_warps;
    const u32 splits = blockDim.x / 32 / d.column_warps;
    const u32 first_group = blockIdx.x % d.group_blocks * d.block_groups;
    const u32 first_output = blockIdx.x / d.group_blocks * d.block_outputs;
    const u32 outputs = minimum(d.block_outputs, g.outputs - first_output);
    const u32 tiles = minimum(d.block_groups, d.groups - first_group) * cut.taps;
    u32* const table = (u32*)shared;
    const u32 pixels = d.steps * (BF16 ? 16 : 8);
    uint4* const gradient = shared + divide_up(pixels, 4);
    uint4* const region = gradient + d.block_outputs * d.gradient_vectors;
    for (u32 pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) {
        const u32 image = pixel / (g.out_width * g.rows);
        const u32 row = pixel / g.out_width % g.rows;
        const u32 place = (image * g.region_height + row * g.stride) * g.region_width + pixel % g.out_width * g.stride;
        table[pixel] = image < g.images ? place * cut.pixel_vectors : 0;
    }
    u32 places[NI];
#pragma unroll
    for (u32 n = 0; n < NI; n++) {
        const u32 tile = minimum(column + (BF16 ? n / 2 * 2 + lane / 16 : n), tiles - 1);
        const u32 tap = tile % cut.taps;
        const u32 row = cut.expanded ? tap : tap / g.kernel;
        places[n] = (row * g.region_width + (cut.expanded ? 0 : tap % g.kernel)) * cut.pixel_vectors + tile / cut.taps * GROUP;
    }
    const uint4* rows[MI];
    float sums[MI][NI][4];
#pragma unroll
    for (u32 m = 0; m < MI; m++) {
        rows[m] = gradient + minimum(m * 16 + lane % 16, outputs - 1) * d.gradient_vectors + lane / 16;
#pragma unroll
        for (u32 n = 0; n < NI; n++)
#pragma unroll
            for (u32 e = 0; e < 4; e++) sums[m][n][e] = 0.0f;
    }
    const Source<false> images = {x.data + (g.shared ? 0 : (u64)blockIdx.z * g.batch * g.channels * g.height * g.width), nullptr};
    const u64 start = (u64)blockIdx.z * g.batch * g.outputs * d.dy_height * d.dy_width;
    const u32 end = minimum((blockIdx.y + 1) * d.chunk_images, g.batch);
    for (u32 image = blockIdx.y * d.chunk_images; image < end; image += g.images) {
        for (u32 row = 0; row < g.out_height; row += g.rows) {
            __syncthreads();
            stage_vectors<BF16>(g, cut, images, image, end, row * g.stride, first_group * GROUP, region);
            if (argmax.data != nullptr) {
                const Source<true> slopes = {dy.data + start, argmax.data + start};
                stage_rows<BF16>(d, slopes, image, end, row, first_output, outputs, (u32*)gradient);
            } else {
                const Source<false> slopes = {dy.data + start, nullptr};
                stage_rows<BF16>(d, slopes, image, end, row, first_output, outputs, (u32*)gradient);
            }
            __syncthreads();
            for (u32 step = split; step < d.steps; step += splits) {
                u32 a[MI][4];
#pragma unroll
                for (u32 m = 0; m < MI; m++) load_matrix_x4(a[m], rows[m] + 2 * step);
                if (BF16) {
                    const uint4* const patch = region + table[step * 16 + lane % 16];
#pragma unroll
                    for (u32 n = 0; n < NI; n += 2) {
                        u32 b[4];
                        load_matrix_x4_transposed(b, patch + places[n]);
#pragma unroll
                        for (u32 m = 0; m < MI; m++) multiply<BF16>(sums[m][n], a[m], b[0], b[1]);
#pragma unroll
                        for (u32 m = 0; m < MI; m++) multiply<BF16>(sums[m][n + 1], a[m], b[2], b[3]);
                    }
                } else {
                    const u32* const low = (const u32*)(region + table[step * 8 + lane % 4]) + lane / 4;
                    const u32* const high = (const u32*)(region + table[step * 8 + lane % 4 + 4]) + lane / 4;
#pragma unroll
                    for (u32 n = 0; n < NI; n++) {
                        const u32 b0 = low[places[n] * 4];
                        const u32 b1 = high[places[n] * 4];
#pragma unroll
                        for (u32 m = 0; m < MI; m++) multiply<BF16>(sums[m][n], a[m], b0, b1);
                    }
                }
            }
        }
    }
    const u32 row_length = cut.taps * d.groups * 8;
    float* const target = partials + ((u64)(blockIdx.y * splits + split) * g.samples + blockIdx.z) * g.outputs * row_length;
#pragma unroll
    for (u32 m = 0; m < MI; m++) {
#pragma unroll
        for (u32 n = 0; n < NI; n++) {
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                const u32 output = m * 16 + half * 8 + lane / 4;
                const u32 tile = column + n;
                if (output >= outputs || tile >= tiles) continue;
                const u32 place = (tile % cut.taps * d.groups + first_group + tile / cut.taps) * 8 + lane % 4 * 2;
                *(float2*)(target + (u64)(first_output + output) * row_length + place) =
                    make_float2(sums[m][n][half * 2], sums[m][n][half * 2 + 1]);
            }
        }
    }
}

// Adds the partial sums of filter element i in their order and puts it in its place.
DEVICE void sum_partials_of(const TensorWeight& d, u32 parts, const float* partials, const Out<float>& dw, u32 i) {
    const Correlation& g = d.geometry;
    const u32 area = g.kernel * g.kernel;
    const u32 inner = d.groups * 8;
    const u32 row = i / (inner * d.cut.taps);
    const u32 tap = i / inner % d.cut.taps;
    const u32 channel = i % inner;
    const u32 c = d.cut.expanded ? channel / g.kernel : channel;
    const u32 t = d.cut.expanded ? tap * g.kernel + channel % g.kernel : tap;
    if (c >= g.channels) return;
    const float sum = sum_of_chunks(partials, parts, g.samples * g.outputs * inner * d.cut.taps, i);
    dw.put(dw.block(row / g.outputs) + ((u64)(row % g.outputs) * g.channels + c) * area + t, sum);
}
