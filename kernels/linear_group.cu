// Small linear maps of at most 16 rows each, many in one launch: y[n,o] = f(sum_i x[n,i] w[o,i] + b[o]), and all gradients of a
// map at once. A block works for one map; tables by value say where the maps' operands stand and which blocks are theirs.
#include "group.cuh"
#include "skinny.cuh"

// src/backend/cuda/linear_group.rs
struct ForwardMap {
    const float* x;
    const float* w;
    const float* bias;  // or null
    float* y;
    u32 rows, inputs, outputs, first_block;
};
struct ForwardMaps {
    ForwardMap maps[MOST_PARTS];
};
struct GradMap {
    const float* x;
    const float* dy;
    const float* y;  // null for the identity
    const float* w;  // null: no dx
    float* dw;
    float* db;  // or null
    float* dx;
    u32 rows, inputs, outputs, add_dw, add_db, add_dx, first_block, weight_tiles;
};
struct GradMaps {
    GradMap maps[MOST_PARTS];
};

template <int ROWS> DEVICE void multiply_map(u32 count, Function f, const ForwardMaps& table) {
    const ForwardMap m = table.maps[part_of_block(table.maps, count)];
    const Target y = {m.y, m.rows, m.outputs, 0, false, {f, m.bias}};
    multiply_rows<ROWS>({m.x, m.w, m.rows, m.inputs, m.outputs}, y, blockIdx.x - m.first_block, m.outputs);  // one tile
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) linear_group_4_rows(u32 count, Function f, ForwardMaps table) {
    multiply_map<4>(count, f, table);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) linear_group_8_rows(u32 count, Function f, ForwardMaps table) {
    multiply_map<8>(count, f, table);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) linear_group_16_rows(u32 count, Function f, ForwardMaps table) {
    multiply_map<16>(count, f, table);
}

// Blocks of a map's gradients: first those of dw, tiles of TILE outputs and TILE inputs (outputs fastest), then those of dx, of
// INPUT_COLUMNS inputs each.
enum { TILE = 64, TILE_LANES = TILE / 4, INPUT_LANES = 4, INPUT_COLUMNS = 4 * INPUT_LANES };

// dz of row n and output o, counted from `first`.
DEVICE float dz_of(const GradMap& m, Function f, u32 first, u32 n, u32 o) {
    const u32 i = n * m.outputs + first + o;
    return m.y ? apply_gradient(f, m.y[i], m.dy[i]) : m.dy[i];
}

// A tile of dw, and of db with its first inputs. `staged`: dz of the tile's outputs.
template <bool VECTOR, int ROWS>
DEVICE void multiply_weight_tile(const GradMap& m, const float (&staged)[TILE][ROWS], u32 first_output, u32 first_input) {
    const Target dw = {m.dw, m.outputs, m.inputs, m.add_dw, false, plain()};
    float4 x[ROWS];
#pragma unroll
    for (u32 n = 0; n < ROWS; n++) {
        const u32 left = n < m.rows ? m.inputs - first_input : 0;
        x[n] = load_chunk<VECTOR, TILE_LANES>(m.x + (u64)n * m.inputs + first_input, left);
    }
    for (u32 o = threadIdx.x / TILE_LANES; o < TILE; o += GRAD_THREADS / TILE_LANES) {
        float sums[4] = {};
#pragma unroll
        for (u32 n = 0; n < ROWS; n++) {
            const float factor = staged[o][n];
            sums[0] = fused_multiply_add(factor, x[n].x, sums[0]);
            sums[1] = fused_multiply_add(factor, x[n].y, sums[1]);
            sums[2] = fused_multiply_add(factor, x[n].z, sums[2]);
            sums[3] = fused_multiply_add(factor, x[n].w, sums[3]);
        }
        if (VECTOR) {
            dw.put_group<4>(first_output + o, first_input + place_in_chunk<true, TILE_LANES>(0), sums, true);
        } else {
#pragma unroll
            for (u32 j = 0; j < 4; j++)
                dw.put(first_output + o, first_input + place_in_chunk<false, TILE_LANES>(j), sums[j]);
        }
    }
}

template <int ROWS> DEVICE void weight_tile(const GradMap& m, Function f, u32 tile) {
    SHARED(float, staged, [TILE][ROWS]);
    const u32 tiles = divide_up(m.outputs, TILE);
    const u32 first_output = tile % tiles * TILE, first_input = tile / tiles * TILE;
    const u32 count = minimum((u32)TILE, m.outputs - first_output);
    stage_outputs(staged, m.rows, count, [&](u32 n, u32 o) { return dz_of(m, f, first_output, n, o); });
    __syncthreads();
    if (m.db && first_input == 0 && threadIdx.x < count) {
        float sum = 0.0f;
#pragma unroll
        for (u32 n = 0; n < ROWS; n++) sum += staged[threadIdx.x][n];
        float* place = m.db + first_output + threadIdx.x;
        *place = m.add_db ? *place + sum : sum;
    }
    if (m.inputs % 4 == 0 && is_aligned(m.x, 16) && is_aligned(m.dw, 16))
        multiply_weight_tile<true>(m, staged, first_output, first_input);
    else
        multiply_weight_tile<false>(m, staged, first_output, first_input);
}

template <int ROWS> DEVICE void input_columns(const GradMap& m, Function f, u32 first_column) {
    constexpr u32 STAGED_ROWS = staged_rows_of(INPUT_LANES);
    SHARED(float, staged, [STAGED_ROWS][ROWS]);
    const bool in_quads = m.inputs % 4 == 0 && is_aligned(m.w, 16);
    const u32 left = m.inputs - first_column;
    float sums[ROWS][4] = {};
    for (u32 first = 0; first < m.outputs; first += STAGED_ROWS) {
        const u32 count = minimum(STAGED_ROWS, m.outputs - first);
        if (first > 0) __syncthreads();  // the outputs before are no longer read
        stage_outputs(staged, m.rows, count, [&](u32 n, u32 o) { return dz_of(m, f, first, n, o); });
        __syncthreads();
        const float* w_rows = m.w + (u64)first * m.inputs + first_column;
        if (in_quads) add_rows<true, INPUT_LANES>(sums, staged, w_rows, m.inputs, left, count);
        else add_rows<false, INPUT_LANES>(sums, staged, w_rows, m.inputs, left, count);
    }
    const Target dx = {m.dx, m.rows, m.inputs, m.add_dx, false, plain()};
    put_columns<INPUT_LANES>(sums, dx, first_column, in_quads);
}

template <int ROWS> DEVICE void gradients_of_map(u32 count, Function f, const GradMaps& table) {
    const GradMap m = table.maps[part_of_block(table.maps, count)];
    const u32 block = blockIdx.x - m.first_block;
    if (block < m.weight_tiles) weight_tile<ROWS>(m, f, block);
    else input_columns<ROWS>(m, f, (block - m.weight_tiles) * INPUT_COLUMNS);
}

extern "C" __global__ void __launch_bounds__(GRAD_THREADS, 4) linear_group_grad_4_rows(u32 count, Function f, GradMaps table) {
    gradients_of_map<4>(count, f, table);
}

extern "C" __global__ void __launch_bounds__(GRAD_THREADS, 4) linear_group_grad_8_rows(u32 count, Function f, GradMaps table) {
    gradients_of_map<8>(count, f, table);
}

extern "C" __global__ void __launch_bounds__(GRAD_THREADS, 4) linear_group_grad_16_rows(u32 count, Function f, GradMaps table) {
    gradients_of_map<16>(count, f, table);
}
