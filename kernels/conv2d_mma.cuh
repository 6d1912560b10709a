// Correlations on the tensor cores, in tf32 or bf16. A vector is 16 bytes: 4 tf32 or 8 bf16 channels of one pixel, rounded
// when the region is staged as [images, rows, columns, vectors]. A step of the inner product is two vectors (k = 8 or 16):
// vector number k of a pixel's patch stands at the pixel's place plus entry k of a table over (tap, vector), so that both
// formats load the same way. Filters come packed in the order in which the lanes consume them.
#pragma once
#include "conv2d.cuh"

// src/backend/cuda/conv2d_tensor.rs: `TensorCut`.
struct TensorCut {
    // Vectors of a pixel in one chunk of channels, their distance from pixel to pixel (odd: no bank conflicts).
    u32 vectors, pixel_vectors;
    // Chunks of channels, steps of one chunk, taps of a filter.
    u32 chunks, steps, taps;
    // Tiles of 8 outputs of a block.
    u32 tiles;
    // 1 when the columns of a filter count as channels (source channel c, column j: channel c K + j) and taps are its rows.
    u32 expanded;
};

enum { STAGES = 3, STAGE_STEPS = 4, MMA_THREADS = 256 };

template <bool BF16> struct Format { enum { VECTOR = BF16 ? 8 : 4 }; };

DEVICE uint4 round_vector(const float (&v)[4]) { return make_uint4(to_tf32(v[0]), to_tf32(v[1]), to_tf32(v[2]), to_tf32(v[3])); }
DEVICE uint4 round_vector(const float (&v)[8]) {
    return make_uint4(to_bf16x2(v[0], v[1]), to_bf16x2(v[2], v[3]), to_bf16x2(v[4], v[5]), to_bf16x2(v[6], v[7]));
}

template <bool BF16> DEVICE void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    const u32 b[2] = {b0, b1};
    if (BF16) multiply_bf16(d, a, b);
    else multiply_tf32(d, a, b);
}

// Stages vectors [first, first + vectors) of the pixels of a region, `images` of `batch_end` at most.
template <bool BF16, bool POOLED>
DEVICE void stage_vectors(const Correlation& d, const TensorCut& cut, Source<POOLED> source, u32 first_image, u32 batch_end,
                          u32 row, u32 first, uint4* region) {
    constexpr u32 V = Format<BF16>::VECTOR;
    [[maybe_unused]] constexpr u32 LOADS = 16;  // in flight
    const u32 pixels = d.images * d.region_height * d.region_width;
    const u32 stored = d.height * d.width;
    Walk walk(threadIdx.x, blockDim.x, d.region_height, d.region_width);
    for (u32 i = threadIdx.x; i < pixels; i += blockDim.x) {
        const u32 image = first_image + walk.image;
        const u32 r = row + walk.row - d.pad;
        const u32 column = walk.column - d.pad;
        const Place place = find_place<POOLED>(r, column, d.dilation, d.height, d.width);
        const u64 start = (u64)image * d.channels * stored;
        const bool row_inside = image < batch_end && r < d.height;
        const bool inside = image < batch_end && place.inside;
        walk.next(d.region_height, d.region_width);
#pragma unroll LOADS / V
        for (u32 v = 0; v < cut.vectors; v++) {
            float values[V];
#pragma unroll
            for (u32 e = 0; e < V; e++) {
                const u32 channel = (first + v) * V + e;
                if (cut.expanded) {
                    const u32 j = channel % d.kernel;
                    const u32 c = channel / d.kernel;
                    const bool here = row_inside && c < d.channels && column + j < d.width;
                    values[e] = here ? source.at(start + (u64)c * stored + (place.index + j), 0) : 0.0f;
                } else {
                    const u64 index = start + (u64)channel * stored + place.index;
                    values[e] = inside && channel < d.channels ? source.at(index, place.window) : 0.0f;
                }
            }
            region[i * cut.pixel_vectors + v] = round_vector(values);
        }
    }
}

// The vector, relative to a pixel's first, of number `k` of its patch; numbers past the end meet filters of zero.
DEVICE u32 patch_vector(const Correlation& d, const TensorCut& cut, u32 k) {
    const u32 tap = k / cut.vectors;
    if (tap >= cut.taps) return 0;
    const u32 row = cut.expanded ? tap : tap / d.kernel;
    const u32 column = cut.expanded ? 0 : tap % d.kernel;
    return (row * d.region_width + column) * cut.pixel_vectors + k % cut.vectors;
}

// Filter element of an output for a channel and a tap of the packed order, 0 beyond the tensor's edges.
DEVICE float filter_at(const Correlation& d, const TensorCut& cut, const float* w, u32 output, u32 channel, u32 tap) {
    const u32 area = d.kernel * d.kernel;
    const u32 c = cut.expanded ? channel / d.kernel : channel;
    const u32 t = cut.expanded ? tap * d.kernel + channel % d.kernel : tap;
    if (output >= d.outputs || c >= d.channels || tap >= cut.taps) return 0.0f;
    return d.flipped ? w[((u64)c * d.outputs + output) * area + area - 1 - t] : w[((u64)output * d.channels + c) * area + t];
}

// w -> packed [samples][output blocks][chunks][steps][pairs of tiles][lanes] of 16 bytes: the two halves of one step for two
// tiles of 8 outputs. Grid: (.., samples).
template <bool BF16> DEVICE void pack_filters(const Correlation& d, const TensorCut& cut, In<float> w, uint4* packed, u32 count) {
    constexpr u32 V = Format<BF16>::VECTOR;
    const u32 pairs = divide_up(cut.tiles, 2);
    const float* const filters = w.block(blockIdx.y);
    each_element(count, [&](u32 i) {
        const u32 lane = i % 32;
        const u32 pair = i / 32 % pairs;
        const u32 step = i / 32 / pairs % cut.steps;
        const u32 chunk = i / 32 / pairs / cut.steps % cut.chunks;
        const u32 block = i / 32 / pairs / cut.steps / cut.chunks;
        u32 words[4];
#pragma unroll
        for (u32 word = 0; word < 4; word++) {
            const u32 tile = pair * 2 + word / 2;
            const u32 output = tile < cut.tiles ? (block * cut.tiles + tile) * 8 + lane / 4 : d.outputs;
            const u32 k = step * 2 + word % 2;
            const u32 channel = (chunk * cut.vectors + k % cut.vectors) * V;
            const u32 tap = k / cut.vectors;
            if (BF16) {
                words[word] = to_bf16x2(filter_at(d, cut, filters, output, channel + lane % 4 * 2, tap),
                                        filter_at(d, cut, filters, output, channel + lane % 4 * 2 + 1, tap));
            } else {
                words[word] = to_tf32(filter_at(d, cut, filters, output, channel + lane % 4, tap));
            }
        }
        packed[(u64)blockIdx.y * count + i] = make_uint4(words[0], words[1], words[2], words[3]);
    });
}

// Offset in the region of row `row` (0 to 15) of m-tile `index`. A tile is 16 pixels in order, or of windows 8 columns of
// two pixel rows: rows g and g + 8 are neighbours below each other, rows g and g ^ 1 beside each other.
template <bool WINDOWS> DEVICE u32 tile_row_offset(const Correlation& d, u32 index, u32 row) {
    const u32 width = d.out_width * (WINDOWS ? 2 : 1);
    const u32 last = d.images * d.rows * width - 1;
    const u32 slot = minimum(WINDOWS ? index * 8 + row % 8 : index * 16 + row, last);
    const u32 line = slot / width % d.rows;
    const u32 pixel_row = WINDOWS ? line * 2 + row / 8 : line;
    return (slot / (width * d.rows) * d.region_height + pixel_row * d.stride) * d.region_width + slot % width * d.stride;
}

// The inner product of one block: sums [m-tiles, n-tiles] of a warp. Grid: (tiles, output blocks, samples).
template <bool BF16, int MI, int NI, bool WINDOWS>
DEVICE void correlate_tiles(const Correlation& d, const TensorCut& cut, In<float> values, In<u8> argmax, const uint4* packed,
                            uint4* shared, float (&sums)[MI][NI][4]) {
    const Tile tile = tile_of(d, blockIdx.x);
    const u32 lane = threadIdx.x % 32;
    const u32 warp = threadIdx.x / 32;
    const u32 pairs = divide_up(cut.tiles, 2);
    const u32 stage_vectors_count = STAGE_STEPS * pairs * 32;
    uint4* const region = shared + STAGES * stage_vectors_count;
    u32* const table = (u32*)(region + d.images * d.region_height * d.region_width * cut.pixel_vectors);
    for (u32 k = threadIdx.x; k < 2 * cut.steps; k += blockDim.x) table[k] = patch_vector(d, cut, k);
    const uint4* rows[MI];
#pragma unroll
    for (u32 m = 0; m < MI; m++) {
        rows[m] = region + tile_row_offset<WINDOWS>(d, warp * MI + m, lane % 16) * cut.pixel_vectors;
#pragma unroll
        for (u32 n = 0; n < NI; n++)
#pragma unroll
            for (u32 e = 0; e < 4; e++) sums[m][n][e] = 0.0f;
    }
    const u32 chunk_stages = divide_up(cut.steps, STAGE_STEPS);
    const u32 stages = d.summed * cut.chunks * chunk_stages;
    const u64 sample_vectors = (u64)cut.chunks * cut.steps * pairs * 32;
    const auto fetch = [&](u32 stage) {
        if (stage < stages) {
            const u32 first = stage % chunk_stages * STAGE_STEPS;
            const u32 chunk = stage / chunk_stages;
            const u32 sample = d.summed > 1 ? chunk / cut.chunks : blockIdx.z;
            const uint4* const source = packed + ((u64)sample * gridDim.y + blockIdx.y) * sample_vectors
                + (u64)(chunk % cut.chunks * cut.steps + first) * pairs * 32;
            const u32 count = minimum((u32)STAGE_STEPS, cut.steps - first) * pairs * 32;
            uint4* const target = shared + stage % STAGES * stage_vectors_count;
            for (u32 i = threadIdx.x; i < count; i += blockDim.x) copy_async<16>(target + i, source + i, 16);
        }
        copy_async_commit();
    };
#pragma unroll
    for (u32 stage = 0; stage < STAGES - 1; stage++) fetch(stage);
    const u64 source_sample = (u64)d.batch * d.channels * d.height * d.width;
    const u32 row = tile.first_row * (WINDOWS ? 2 : 1) * d.stride;
    for (u32 stage = 0; stage < stages; stage++) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        fetch(stage + STAGES - 1);
        if (stage % chunk_stages == 0) {
            const u32 chunk = stage / chunk_stages;
            const u64 start = d.shared ? 0 : (d.summed > 1 ? chunk / cut.chunks : blockIdx.z) * source_sample;
            const u32 first = chunk % cut.chunks * cut.vectors;
            if (argmax.data != nullptr) {
                const Source<true> source = {values.data + start, argmax.data + start};
                stage_vectors<BF16>(d, cut, source, tile.first_image, d.batch, row, first, region);
            } else {
                const Source<false> source = {values.data + start, nullptr};
                stage_vectors<BF16>(d, cut, source, tile.first_image, d.batch, row, first, region);
            }
            __syncthreads();
        }
        const u32 first = stage % chunk_stages * STAGE_STEPS;
        const u32 count = minimum((u32)STAGE_STEPS, cut.steps - first);
        const uint4* filters = shared + stage % STAGES * stage_vectors_count + lane;
#pragma unroll 2
        for (u32 step = 0; step < count; step++) {
            const u32 offset = table[2 * (first + step) + lane / 16];
            u32 a[MI][4];
#pragma unroll
            for (u32 m = 0; m < MI; m++) load_matrix_x4(a[m], rows[m] + offset);
            // Past the last pair its filters count again, for sums that nobody stores: no branch keeps loads from running ahead.
            uint4 b[NI / 2];
#pragma unroll
            for (u32 pair = 0; pair < NI / 2; pair++) b[pair] = filters[(step * pairs + minimum(pair, pairs - 1)) * 32];
#pragma unroll
            for (u32 pair = 0; pair < NI / 2; pair++) {
#pragma unroll
                for (u32 m = 0; m < MI; m++) multiply<BF16>(sums[m][2 * pair], a[m], b[pair].x, b[pair].y);
#pragma unroll
                for (u32 m = 0; m < MI; m++) multiply<BF16>(sums[m][2 * pair + 1], a[m], b[pair].z, b[pair].w);
            }
        }
    }
}

// Calls `put(index in [batch, outputs, out_height, out_width], output, sum)` for the results of a warp.
template <int MI, int NI, class Put>
DEVICE void each_tile_result(const Correlation& d, const TensorCut& cut, const float (&sums)[MI][NI][4], Put put) {
    const Tile tile = tile_of(d, blockIdx.x);
    const u32 lane = threadIdx.x % 32;
    const u32 area = d.out_height * d.out_width;
#pragma unroll
    for (u32 m = 0; m < MI; m++) {
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            const u32 slot = (threadIdx.x / 32 * MI + m) * 16 + half * 8 + lane / 4;
            const u32 image = slot / (d.out_width * d.rows);
            const u32 row = slot / d.out_width % d.rows;
            if (image >= tile.images || row >= tile.rows) continue;
            const u64 start = (u64)(tile.first_image + image) * d.outputs * area
                + (tile.first_row + row) * d.out_width + slot % d.out_width;
#pragma unroll
            for (u32 n = 0; n < NI; n++) {
#pragma unroll
                for (u32 e = 0; e < 2; e++) {
                    const u32 output = (blockIdx.y * cut.tiles + n) * 8 + lane % 4 * 2 + e;
                    if (n < cut.tiles && output < d.outputs) put(start + (u64)output * area, output, sums[m][n][half * 2 + e]);
                }
            }
        }
    }
}

// Calls `put(index, output, the window's pixels)`. Lanes of even rows take the even output of a pair, their neighbours in
// odd rows the odd one; they exchange the pixels that the other needs.
template <int MI, int NI, class Put>
DEVICE void each_tile_window(const Correlation& d, const TensorCut& cut, const float (&sums)[MI][NI][4], Put put) {
    const Tile tile = tile_of(d, blockIdx.x);
    const u32 lane = threadIdx.x % 32;
    const u32 odd = lane / 4 % 2;
    const u32 area = d.out_height * d.out_width;
#pragma unroll
    for (u32 m = 0; m < MI; m++) {
        const u32 slot = ((threadIdx.x / 32 * MI + m) * 8 + lane / 4) / 2;
        const u32 image = slot / (d.out_width * d.rows);
        const u32 row = slot / d.out_width % d.rows;
        const bool inside = image < tile.images && row < tile.rows;
        const u64 start = (u64)(tile.first_image + image) * d.outputs * area
            + (tile.first_row + row) * d.out_width + slot % d.out_width;
#pragma unroll
        for (u32 n = 0; n < NI; n++) {
            if (n >= cut.tiles) break;
            const float* const d4 = sums[m][n];
            const float upper = __shfl_xor_sync(0xffffffffu, odd ? d4[0] : d4[1], 4);
            const float lower = __shfl_xor_sync(0xffffffffu, odd ? d4[2] : d4[3], 4);
            const float pixels[4] = {odd ? upper : d4[0], odd ? d4[1] : upper, odd ? lower : d4[2], odd ? d4[3] : lower};
            const u32 output = (blockIdx.y * cut.tiles + n) * 8 + lane % 4 * 2 + odd;
            if (inside && output < d.outputs) put(start + (u64)output * area, output, pixels);
        }
    }
}
