// Correlations in fp32 on the ordinary units. Shared by conv2d.cu and conv2d_pool.cu.
#pragma once
#include "conv2d.cuh"

enum { EXACT_THREADS = 256, EXACT_PIXELS = 4, EXACT_OUTPUTS = 8 };

// Stages the filters of channels [first, first + count) as [count][taps][padded outputs]; a warp reads one output's taps.
DEVICE void stage_filters(const Correlation& d, const float* w, u32 first_output, u32 first, u32 count, u32 padded, float* filters) {
    const u32 taps = d.kernel * d.kernel;
    const u32 inner = count * taps;
    for (u32 o = threadIdx.x / 32; o < padded; o += blockDim.x / 32) {
        const u32 output = first_output + o;
        const u64 start = d.flipped ? (u64)first * d.outputs * taps : (u64)first * taps;
        for (u32 k = threadIdx.x % 32; k < inner; k += 32) {
            u64 index = start;
            if (d.flipped) index += ((u64)(k / taps) * d.outputs + output) * taps + (taps - 1 - k % taps);
            else index += (u64)output * d.channels * taps + k;
            filters[k * padded + o] = output < d.outputs ? w[index] : 0.0f;
        }
    }
}

// sums [pixels, outputs] += region patches times filters over `count` channels. KERNEL 0: any side.
template <int KERNEL>
DEVICE void accumulate(float (&sums)[EXACT_PIXELS][EXACT_OUTPUTS], const u32 (&offsets)[EXACT_PIXELS], const float* region,
                       const float* filters, const Correlation& d, u32 count, u32 padded) {
    const u32 side = KERNEL ? KERNEL : d.kernel;
    const u32 plane = d.images * d.region_height * d.region_width;
    for (u32 c = 0; c < count; c++) {
        for (u32 i = 0; i < side; i++) {
            const float* row = region + c * plane + i * d.region_width;
#pragma unroll
            for (u32 j = 0; j < side; j++) {
                const float4 low = *(const float4*)filters;
                const float4 high = *(const float4*)(filters + 4);
                const float weights[EXACT_OUTPUTS] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
                for (u32 p = 0; p < EXACT_PIXELS; p++) {
                    const float value = row[offsets[p] + j];
#pragma unroll
                    for (u32 o = 0; o < EXACT_OUTPUTS; o++) sums[p][o] = fused_multiply_add(value, weights[o], sums[p][o]);
                }
                filters += padded;
            }
        }
    }
}

// Offset in the region of pixel `place` of slot `slot` of a tile: (image, row, column) of the result, or of windows.
template <bool WINDOWS> DEVICE u32 region_offset(const Correlation& d, u32 slot, u32 place) {
    const u32 column = slot % d.out_width;
    const u32 row = slot / d.out_width % d.rows;
    const u32 image = slot / (d.out_width * d.rows);
    const u32 scale = WINDOWS ? 2 : 1;
    const u32 r = (row * scale + (WINDOWS ? place / 2 : 0)) * d.stride;
    const u32 c = (column * scale + (WINDOWS ? place % 2 : 0)) * d.stride;
    return (image * d.region_height + r) * d.region_width + c;
}

// One tile and one block of 8 `groups` outputs. A thread computes 4 pixels (one window of a fused pool) of 8 outputs, a warp
// 32 neighbours: filters are broadcast, pixels read without bank conflicts. `store(sums, slots, output)` receives the
// thread's sums, the slots of its pixels (slots.count beyond the tile's end) and its first output.
template <bool POOLED, bool WINDOWS, class Store>
DEVICE void correlate(const Correlation& d, In<float> values, In<u8> argmax, In<float> w, float* shared, Store store) {
    const Tile tile = tile_of(d, blockIdx.x);
    const u32 padded = d.groups * EXACT_OUTPUTS + 4;
    const u32 warp = threadIdx.x / 32;
    const u32 first_output = blockIdx.y * d.groups * EXACT_OUTPUTS;
    const u32 group = warp % d.groups * EXACT_OUTPUTS;
    const u32 lane = warp / d.groups * 32 + threadIdx.x % 32;
    const u32 lanes = blockDim.x / d.groups;
    const u32 slots = d.images * d.rows * d.out_width;
    const u32 step = WINDOWS ? 1 : EXACT_PIXELS;
    float* const filters = shared;
    float* const region = shared + d.chunk * d.kernel * d.kernel * padded;
    const u32 row = tile.first_row * (WINDOWS ? 2 : 1) * d.stride;
    const u64 source_image = (u64)d.batch * d.channels * d.height * d.width;
    for (u32 first = 0; first < slots; first += lanes * step) {
        u32 offsets[EXACT_PIXELS];
        float sums[EXACT_PIXELS][EXACT_OUTPUTS];
#pragma unroll
        for (u32 p = 0; p < EXACT_PIXELS; p++) {
            const u32 slot = first + (WINDOWS ? lane : p * lanes + lane);
            offsets[p] = region_offset<WINDOWS>(d, minimum(slot, slots - 1), p);
#pragma unroll
            for (u32 o = 0; o < EXACT_OUTPUTS; o++) sums[p][o] = 0.0f;
        }
        for (u32 turn = 0; turn < d.summed; turn++) {
            const u32 sample = d.summed > 1 ? turn : blockIdx.z;
            const u64 start = d.shared ? 0 : sample * source_image;
            const Source<POOLED> source = {values.data + start, POOLED ? argmax.data + start : nullptr};
            for (u32 c = 0; c < d.channels; c += d.chunk) {
                const u32 count = minimum(d.chunk, d.channels - c);
                __syncthreads();
                stage_planes(d, source, tile.first_image, row, c, count, region);
                stage_filters(d, w.block(sample), first_output, c, count, padded, filters);
                __syncthreads();
                if (d.kernel == 5) accumulate<5>(sums, offsets, region, filters + group, d, count, padded);
                else if (d.kernel == 3) accumulate<3>(sums, offsets, region, filters + group, d, count, padded);
                else accumulate<0>(sums, offsets, region, filters + group, d, count, padded);
            }
        }
        store(sums, tile, first + lane, lanes, first_output + group);
    }
}

// Calls `put(index of a result element in [batch, outputs, out_height, out_width], p, o)` for those that exist.
template <bool WINDOWS, class Put>
DEVICE void each_result(const Correlation& d, Tile tile, u32 slot, u32 lanes, u32 first_output, Put put) {
    const u32 area = d.out_height * d.out_width;
#pragma unroll
    for (u32 p = 0; p < (WINDOWS ? 1 : EXACT_PIXELS); p++) {
        const u32 column = (slot + p * lanes) % d.out_width;
        const u32 row = (slot + p * lanes) / d.out_width % d.rows;
        const u32 image = (slot + p * lanes) / (d.out_width * d.rows);
        if (image >= tile.images || row >= tile.rows) continue;
        const u64 start = (u64)(tile.first_image + image) * d.outputs * area + (tile.first_row + row) * d.out_width + column;
#pragma unroll
        for (u32 o = 0; o < EXACT_OUTPUTS; o++)
            if (first_output + o < d.outputs) put(start + (u64)(first_output + o) * area, p, o);
    }
}
