// Linear maps of at most 16 rows: w is read once, by 16-byte loads where its rows allow them, and x waits in shared memory.
// y[s,n,o] = f(sum_i x[s,n,i] w[s,o,i] + b[s,o]), in exact fp32: the time is that of reading w.
#include "product.cuh"

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

// Offset of a lane's element j in a chunk.
template <bool VECTOR> DEVICE u32 place_in_chunk(u32 j) {
    return VECTOR ? threadIdx.x % 32 * 4 + j : threadIdx.x % 32 + 32 * j;
}

// A lane's four elements of a chunk of a row of w; `left`: elements from the chunk's start to the row's end.
template <bool VECTOR> DEVICE float4 load_chunk(const float* chunk, u32 left) {
    float4 values = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (VECTOR) {
        const u32 place = place_in_chunk<true>(0);
        if (place < left) values = load_streaming(reinterpret_cast<const float4*>(chunk + place));
    } else {
        const u32 place = place_in_chunk<false>(0);
        if (place < left) values.x = chunk[place];
        if (place + 32 < left) values.y = chunk[place + 32];
        if (place + 64 < left) values.z = chunk[place + 64];
        if (place + 96 < left) values.w = chunk[place + 96];
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

template <int ROWS> DEVICE void multiply_rows(const LinearDims& d, In<float> x, In<float> w, const Target& y) {
    constexpr int STAGE = STAGED / ROWS, GROUP = group_of(ROWS), ALIGNED = chunks_of(ROWS) * CHUNK;
    SHARED(float, x_stage, [STAGED]);
    const float* rows_of_x = sample_of(x, d.shared_input ? 0 : blockIdx.y, (u64)d.rows * d.inputs);
    const float* sample_of_w = sample_of(w, blockIdx.y, (u64)d.outputs * d.inputs);
    const bool in_quads = d.inputs % 4 == 0 && is_aligned(sample_of_w, 16);
    const u32 tiles = divide_up(d.outputs, WARPS * GROUP);
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;

    for (u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const u32 first_output = (tile * WARPS + warp) * GROUP;
        const u32 last = d.outputs - 1, base = minimum(first_output, last);  // rows beyond the last read it again
        const float* w_rows = sample_of_w + (u64)base * d.inputs;
        u32 offsets[GROUP];
#pragma unroll
        for (u32 r = 0; r < GROUP; r++) offsets[r] = (minimum(first_output + r, last) - base) * d.inputs;
        float sums[ROWS][GROUP] = {};
        for (u32 first = 0; first < d.inputs; first += STAGE) {
            const u32 width = minimum(divide_up(d.inputs - first, ALIGNED) * ALIGNED, (u32)STAGE);
            if (d.inputs > STAGE || tile == blockIdx.x) {
                __syncthreads();
                for (u32 i = threadIdx.x; i < ROWS * width; i += THREADS) {
                    const u32 n = i / width, column = i % width;
                    const bool inside = n < d.rows && first + column < d.inputs;
                    x_stage[n * STAGE + column] = inside ? rows_of_x[(u64)n * d.inputs + first + column] : 0.0f;
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

// Grid: x groups of outputs (a block goes on by the grid's width), y samples.
DEVICE Target rows_target(const LinearDims& d, Function f, const In<float>& bias, const Out<float>& y) {
    const Finish finish = {f, d.bias ? sample_of(bias, blockIdx.y, d.outputs) : nullptr};
    return {sample_of(y, blockIdx.y, (u64)d.rows * d.outputs), d.rows, d.outputs, y.add, false, finish};
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_4_rows(LinearDims d, Function f, In<float> x, In<float> w, In<float> bias, Out<float> y) {
    multiply_rows<4>(d, x, w, rows_target(d, f, bias, y));
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_8_rows(LinearDims d, Function f, In<float> x, In<float> w, In<float> bias, Out<float> y) {
    multiply_rows<8>(d, x, w, rows_target(d, f, bias, y));
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_16_rows(LinearDims d, Function f, In<float> x, In<float> w, In<float> bias, Out<float> y) {
    multiply_rows<16>(d, x, w, rows_target(d, f, bias, y));
}

// ---- dx[s,n,i] = sum_o dy[s,n,o] w[s,o,i], summed over samples that share x -------------------------------------------------

// A block has CHUNK columns of w; its warps take turns at the rows of its split. The factors of STAGED_ROWS of them are staged
// at a time. A split is a run of `rows_per_split` of the terms * outputs rows.
enum { GRAD_WARPS = 4, GRAD_THREADS = 32 * GRAD_WARPS, STAGED_ROWS = 64, ROWS_IN_FLIGHT = 8 };

// Stages dy of `count` outputs from `dy` on, with zeros behind the last row and the last output.
template <int ROWS>
DEVICE void stage_outputs(float (&staged)[STAGED_ROWS][ROWS], const LinearDims& d, const float* dy, u32 count) {
    for (u32 i = threadIdx.x; i < ROWS * STAGED_ROWS; i += GRAD_THREADS) {
        const u32 n = i / STAGED_ROWS, o = i % STAGED_ROWS;
        staged[o][n] = n < d.rows && o < count ? dy[(u64)n * d.outputs + o] : 0.0f;
    }
}

// Adds this warp's rows of the `count` that begin at `w`; `left`: elements of a row from w on.
template <int ROWS, bool VECTOR>
DEVICE void add_rows(float (&sums)[ROWS][4], const float (&staged)[STAGED_ROWS][ROWS], const float* w_rows, u32 inputs, u32 left,
                     u32 count) {
    const u32 warp = threadIdx.x / 32;
    for (u32 start = warp; start < count; start += ROWS_IN_FLIGHT * GRAD_WARPS) {
        float4 w[ROWS_IN_FLIGHT];
#pragma unroll
        for (u32 i = 0; i < ROWS_IN_FLIGHT; i++)
            w[i] = load_chunk<VECTOR>(w_rows + (u64)minimum(start + i * GRAD_WARPS, count - 1) * inputs, left);
#pragma unroll
        for (u32 i = 0; i < ROWS_IN_FLIGHT; i++) {
            const float* dy = staged[start + i * GRAD_WARPS];
#pragma unroll
            for (int n = 0; n < ROWS; n += 4) {
                const float4 four = *reinterpret_cast<const float4*>(dy + n);
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

template <int ROWS>
DEVICE void multiply_by_rows(const LinearDims& d, u32 rows_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    SHARED(float, staged, [STAGED_ROWS][ROWS]);
    SHARED(float, of_warps, [GRAD_WARPS][ROWS][CHUNK]);
    const Product p = grad_input_product(d);
    const Target c = target(p, dx, partials, plain());
    const u32 first_column = blockIdx.x * CHUNK, left = d.inputs - first_column;
    const u32 first_row = blockIdx.y * rows_per_split, end = minimum(first_row + rows_per_split, p.terms * d.outputs);
    const bool in_quads = d.inputs % 4 == 0 && is_aligned(w.data, 16) && w.stride % 4 == 0;

    float sums[ROWS][4] = {};
    for (u32 row = first_row; row < end;) {
        const u32 sample = blockIdx.z + row / d.outputs, output = row % d.outputs;
        const u32 count = minimum(minimum((u32)STAGED_ROWS, end - row), d.outputs - output);
        __syncthreads();
        stage_outputs<ROWS>(staged, d, sample_of(dy, sample, (u64)d.rows * d.outputs) + output, count);
        __syncthreads();
        const float* w_rows = sample_of(w, sample, (u64)d.outputs * d.inputs) + (u64)output * d.inputs + first_column;
        if (in_quads) add_rows<ROWS, true>(sums, staged, w_rows, d.inputs, left, count);
        else add_rows<ROWS, false>(sums, staged, w_rows, d.inputs, left, count);
        row += count;
    }
#pragma unroll
    for (u32 n = 0; n < ROWS; n++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            const u32 column = in_quads ? place_in_chunk<true>(j) : place_in_chunk<false>(j);
            of_warps[threadIdx.x / 32][n][column] = sums[n][j];
        }
    __syncthreads();
#pragma unroll
    for (u32 n = 0; n < ROWS; n++) {
        float sum = 0.0f;
        for (int warp = 0; warp < GRAD_WARPS; warp++) sum += of_warps[warp][n][threadIdx.x];
        c.put(n, first_column + threadIdx.x, sum);
    }
}

extern "C" __global__ void __launch_bounds__(GRAD_THREADS, 4)
    linear_grad_input_4_rows(LinearDims d, u32 rows_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    multiply_by_rows<4>(d, rows_per_split, dy, w, dx, partials);
}

extern "C" __global__ void __launch_bounds__(GRAD_THREADS, 4)
    linear_grad_input_8_rows(LinearDims d, u32 rows_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    multiply_by_rows<8>(d, rows_per_split, dy, w, dx, partials);
}

extern "C" __global__ void __launch_bounds__(GRAD_THREADS, 4)
    linear_grad_input_16_rows(LinearDims d, u32 rows_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    multiply_by_rows<16>(d, rows_per_split, dy, w, dx, partials);
}
