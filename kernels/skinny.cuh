// Linear maps of at most 16 rows, in exact fp32: w is read once, by 16-byte loads where its rows allow them, and the other
// factors wait in shared memory. The kernels stand in linear_skinny.cu (one map) and linear_group.cu (many).
#pragma once
#include "product.cuh"

// ---- y[n,o] = f(sum_i x[n,i] w[o,i] + b[o]) ------------------------------------------------------------------------------

// A warp sums ROWS * GROUP = 32 or 64 products of rows of x with rows of w; its lanes stand along the inner axis.
// x is staged in pieces of STAGE inputs: 32 KiB.
enum { THREADS = 256, WARPS = THREADS / 32, CHUNK = 128, STAGED = 8192 };

// Rows of w in a warp's group, and chunks of each that are in flight at once: 8 loads of a lane, 4 where 64 sums take the registers.
DEVICE constexpr int group_of(int rows) { return rows == 4 ? 8 : 4; }
DEVICE constexpr int chunks_of(int rows) { return rows == 8 ? 2 : 1; }

// Lanes exchange halves of their first 2 HALF values, so that each keeps HALF sums of two lanes.
template <int HALF> DEVICE void exchange_halves(float (&values)[32]) {
    const bool upper = threadIdx.x & HALF;
#pragma unroll
    for (int j = 0; j < HALF; j++) {
        const float kept = upper ? values[j + HALF] : values[j], given = upper ? values[j] : values[j + HALF];
        values[j] = kept + __shfl_xor_sync(0xffffffffu, given, HALF);
    }
}
// Each of 32 lanes brings 32 values; lane l receives the sum over lanes of value l.
DEVICE float sum_of_lane(float (&values)[32]) {
    exchange_halves<16>(values);
    exchange_halves<8>(values);
    exchange_halves<4>(values);
    exchange_halves<2>(values);
    exchange_halves<1>(values);
    return values[0];
}

// Offset of a lane's element j in a chunk of 4 LANES.
template <bool VECTOR, int LANES = 32> DEVICE u32 place_in_chunk(u32 j) {
    return VECTOR ? threadIdx.x % LANES * 4 + j : threadIdx.x % LANES + LANES * j;
}

// A lane's four elements of a chunk of a row; `left`: elements from the chunk's start to the row's end.
template <bool VECTOR, int LANES = 32> DEVICE float4 load_chunk(const float* chunk, u32 left) {
    float4 values = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const u32 place = place_in_chunk<VECTOR, LANES>(0);
    if (VECTOR) {
        if (place < left) values = load_streaming(reinterpret_cast<const float4*>(chunk + place));
    } else {
        if (place < left) values.x = chunk[place];
        if (place + LANES < left) values.y = chunk[place + LANES];
        if (place + 2 * LANES < left) values.z = chunk[place + 2 * LANES];
        if (place + 3 * LANES < left) values.w = chunk[place + 3 * LANES];
    }
    return values;
}

template <bool VECTOR> DEVICE float4 staged_chunk(const float* chunk) {
    if (VECTOR) return *reinterpret_cast<const float4*>(chunk + place_in_chunk<true>(0));
    return make_float4(chunk[place_in_chunk<false>(0)], chunk[place_in_chunk<false>(1)],
                       chunk[place_in_chunk<false>(2)], chunk[place_in_chunk<false>(3)]);
}

// Adds the products of inputs [first, first + width) to sums. GROUP rows of w start at `offsets` from `w_rows`.
template <int ROWS, int GROUP, bool VECTOR>
DEVICE void add_products(float (&sums)[ROWS][GROUP], const float* x_stage, const float* w_rows,
                         const u32 (&offsets)[GROUP], u32 inputs, u32 first, u32 width) {
    constexpr int STAGE = STAGED / ROWS, CHUNKS = chunks_of(ROWS);
    for (u32 start = 0; start < width; start += CHUNKS * CHUNK) {
        float4 w[CHUNKS][GROUP];
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
#pragma unroll
            for (int r = 0; r < GROUP; r++) {
                const u32 column = first + start + c * CHUNK;
                w[c][r] = load_chunk<VECTOR>(w_rows + offsets[r] + column, column < inputs ? inputs - column : 0);
            }
#pragma unroll
        for (int c = 0; c < CHUNKS; c++)
#pragma unroll
            for (int n = 0; n < ROWS; n++) {
                const float4 x = staged_chunk<VECTOR>(x_stage + n * STAGE + start + c * CHUNK);
#pragma unroll
                for (int r = 0; r < GROUP; r++) {
                    float sum = fused_multiply_add(x.x, w[c][r].x, sums[n][r]);
                    sum = fused_multiply_add(x.y, w[c][r].y, sum);
                    sum = fused_multiply_add(x.z, w[c][r].z, sum);
                    sums[n][r] = fused_multiply_add(x.w, w[c][r].w, sum);
                }
            }
    }
}

// One map: x [rows, inputs], w [outputs, inputs].
struct Map {
    const float* x;
    const float* w;
    u32 rows, inputs, outputs;
};

// Tiles `first_tile`, `first_tile + step`, ... of WARPS * GROUP outputs.
template <int ROWS> DEVICE void multiply_rows(const Map& d, const Target& y, u32 first_tile, u32 step) {
    constexpr int STAGE = STAGED / ROWS, GROUP = group_of(ROWS), ALIGNED = chunks_of(ROWS) * CHUNK;
    SHARED(float, x_stage, [STAGED]);
    const bool in_quads = d.inputs % 4 == 0 && is_aligned(d.w, 16);
    const u32 tiles = divide_up(d.outputs, WARPS * GROUP);
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;

    for (u32 tile = first_tile; tile < tiles; tile += step) {
        const u32 first_output = (tile * WARPS + warp) * GROUP;
        const u32 last = d.outputs - 1, base = minimum(first_output, last);  // rows beyond the last read it again
        const float* w_rows = d.w + (u64)base * d.inputs;
        u32 offsets[GROUP];
#pragma unroll
        for (u32 r = 0; r < GROUP; r++) offsets[r] = (minimum(first_output + r, last) - base) * d.inputs;
        float sums[ROWS][GROUP] = {};
        for (u32 first = 0; first < d.inputs; first += STAGE) {
            const u32 width = minimum(divide_up(d.inputs - first, ALIGNED) * ALIGNED, (u32)STAGE);
            if (d.inputs > STAGE || tile == first_tile) {
                if (first > 0 || tile != first_tile) __syncthreads();  // the piece before is no longer read
                for (u32 i = threadIdx.x; i < ROWS * width; i += THREADS) {
                    const u32 n = i / width, column = i % width;
                    const bool inside = n < d.rows && first + column < d.inputs;
                    x_stage[n * STAGE + column] = inside ? d.x[(u64)n * d.inputs + first + column] : 0.0f;
                }
                __syncthreads();
            }
            if (in_quads) add_products<ROWS, GROUP, true>(sums, x_stage, w_rows, offsets, d.inputs, first, width);
            else add_products<ROWS, GROUP, false>(sums, x_stage, w_rows, offsets, d.inputs, first, width);
        }
#pragma unroll
        for (u32 n = 0; n < ROWS; n += 32 / GROUP) {
            float values[32];
#pragma unroll
            for (int i = 0; i < 32; i++) values[i] = sums[n + i / GROUP][i % GROUP];
            const float sum = sum_of_lane(values);
            y.put(n + lane / GROUP, first_output + lane % GROUP, sum);
        }
    }
}

// ---- gradients: dx[n,i] = sum_o dz[n,o] w[o,i], dw[o,i] = sum_n dz[n,o] x[n,i], db[o] = sum_n dz[n,o] --------------------------

// LANES neighbours of a block share a chunk of 4 LANES columns; the TURNS such groups take turns at the rows of w (outputs).
enum { GRAD_WARPS = 4, GRAD_THREADS = 32 * GRAD_WARPS, ROWS_IN_FLIGHT = 8 };
DEVICE constexpr int turns_of(int lanes) { return GRAD_THREADS / lanes; }
// Outputs whose dz are staged at a time.
DEVICE constexpr int staged_rows_of(int lanes) { return lanes == 32 ? 64 : ROWS_IN_FLIGHT * turns_of(lanes); }

// Stages dz of `count` outputs, `of(n, o)` being that of row n, with zeros behind the last row and the last output.
template <int STAGED_ROWS, int ROWS, class Of>
DEVICE void stage_outputs(float (&staged)[STAGED_ROWS][ROWS], u32 rows, u32 count, Of of) {
    for (u32 i = threadIdx.x; i < ROWS * STAGED_ROWS; i += GRAD_THREADS) {
        const u32 n = i / STAGED_ROWS, o = i % STAGED_ROWS;
        staged[o][n] = n < rows && o < count ? of(n, o) : 0.0f;
    }
}

// Adds this thread's rows of the `count` that begin at `w_rows`; `left`: elements of a row from there on.
template <bool VECTOR, int LANES, int STAGED_ROWS, int ROWS>
DEVICE void add_rows(float (&sums)[ROWS][4], const float (&staged)[STAGED_ROWS][ROWS], const float* w_rows, u32 inputs, u32 left,
                     u32 count) {
    constexpr u32 TURNS = turns_of(LANES);
    for (u32 start = threadIdx.x / LANES; start < count; start += ROWS_IN_FLIGHT * TURNS) {
        float4 w[ROWS_IN_FLIGHT];
#pragma unroll
        for (u32 i = 0; i < ROWS_IN_FLIGHT; i++)
            w[i] = load_chunk<VECTOR, LANES>(w_rows + (u64)minimum(start + i * TURNS, count - 1) * inputs, left);
#pragma unroll
        for (u32 i = 0; i < ROWS_IN_FLIGHT; i++) {
            const float* dz = staged[start + i * TURNS];
#pragma unroll
            for (int n = 0; n < ROWS; n += 4) {
                const float4 four = *reinterpret_cast<const float4*>(dz + n);
                const float factors[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    sums[n + j][0] = fused_multiply_add(factors[j], w[i].x, sums[n + j][0]);
                    sums[n + j][1] = fused_multiply_add(factors[j], w[i].y, sums[n + j][1]);
                    sums[n + j][2] = fused_multiply_add(factors[j], w[i].z, sums[n + j][2]);
                    sums[n + j][3] = fused_multiply_add(factors[j], w[i].w, sums[n + j][3]);
                }
            }
        }
    }
}

// Adds the sums of all turns and writes the block's columns of dx.
template <int LANES, int ROWS>
DEVICE void put_columns(float (&sums)[ROWS][4], const Target& dx, u32 first_column, bool in_quads) {
    constexpr int COLUMNS = 4 * LANES;
    SHARED(float, of_warps, [GRAD_WARPS][ROWS][COLUMNS]);
#pragma unroll
    for (u32 n = 0; n < ROWS; n++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            float sum = sums[n][j];
#pragma unroll
            for (int distance = LANES; distance < 32; distance *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
            const u32 column = in_quads ? place_in_chunk<true, LANES>(j) : place_in_chunk<false, LANES>(j);
            if (threadIdx.x % 32 < LANES) of_warps[threadIdx.x / 32][n][column] = sum;
        }
    __syncthreads();
    for (u32 i = threadIdx.x; i < ROWS * COLUMNS; i += GRAD_THREADS) {
        const u32 n = i / COLUMNS, column = i % COLUMNS;
        float sum = 0.0f;
        for (int warp = 0; warp < GRAD_WARPS; warp++) sum += of_warps[warp][n][column];
        dx.put(n, first_column + column, sum);
    }
}
