// Matrix products on the tensor cores, without defects: what the simulated device must compute in every order and find no fault
// with. c [m, n] = a [m, k] b, with b [n, k] (tf32) or [k, n] (bf16). Blocks of 4 warps, each warp 16 x 16 of c.
#include "common.cuh"

enum { TILE = 32, DEPTH = 16, TF32_ROW = DEPTH + 4, BF16_ROW = DEPTH + 8, BF16_COLUMNS = TILE + 8, WARPS_4 = 128 };

// The place of this warp in its block's tile, and of this lane in its warp's fragments.
struct Place {
    u32 row, column;   // of the warp in the tile
    u32 lane, group, of_group;
};
DEVICE Place place_of_thread() {
    const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return {warp / 2 * 16, warp % 2 * 16, lane, lane / 4, lane % 4};
}

// sums [16, 16] of a warp: two products side by side.
DEVICE void store_sums(u32 m, u32 n, const float (&sums)[2][4], Place place, Out<float> c) {
    for (u32 j = 0; j < 2; j++)
        for (u32 i = 0; i < 4; i++) {
            const u32 row = blockIdx.y * TILE + place.row + place.group + i / 2 * 8;
            const u32 column = blockIdx.x * TILE + place.column + j * 8 + 2 * place.of_group + i % 2;
            if (row < m && column < n) c.put(row * n + column, sums[j][i]);
        }
}

DEVICE void copy_rows(float (*tile)[TF32_ROW], const float* from, u32 rows, u32 depth, u32 first_row, u32 first) {
    for (u32 i = threadIdx.x; i < TILE * DEPTH; i += WARPS_4) {
        const u32 row = i / DEPTH, inner = i % DEPTH;
        const bool inside = first_row + row < rows && first + inner < depth;
        const float* place = inside ? from + (u64)(first_row + row) * depth + first + inner : from;
        copy_async<4>(&tile[row][inner], place, inside ? 4 : 0);
    }
}

extern "C" __global__ void __launch_bounds__(WARPS_4)
    planted_no_defect_tf32(u32 m, u32 n, u32 k, In<float> a, In<float> b, Out<float> c) {
    SHARED(float, a_tiles, [2][TILE][TF32_ROW]);
    SHARED(float, b_tiles, [2][TILE][TF32_ROW]);
    const Place place = place_of_thread();
    float sums[2][4] = {};
    copy_rows(a_tiles[0], a.data, m, k, blockIdx.y * TILE, 0);
    copy_rows(b_tiles[0], b.data, n, k, blockIdx.x * TILE, 0);
    copy_async_commit();
    for (u32 first = 0, stage = 0; first < k; first += DEPTH, stage ^= 1) {
        copy_rows(a_tiles[stage ^ 1], a.data, m, k, blockIdx.y * TILE, first + DEPTH);
        copy_rows(b_tiles[stage ^ 1], b.data, n, k, blockIdx.x * TILE, first + DEPTH);
        copy_async_commit();
        copy_async_wait<1>();
        __syncthreads();
        for (u32 inner = 0; inner < DEPTH; inner += 8) {
            u32 rows[4];
            load_matrix_x4(rows, &a_tiles[stage][place.row + place.lane % 16][inner + place.lane / 16 * 4]);
            for (u32 i = 0; i < 4; i++) rows[i] = to_tf32(float_of(rows[i]));
            for (u32 j = 0; j < 2; j++) {
                const float* column = &b_tiles[stage][place.column + j * 8 + place.group][inner + place.of_group];
                const u32 columns[2] = {to_tf32(column[0]), to_tf32(column[4])};
                multiply_tf32(sums[j], rows, columns);
            }
        }
        __syncthreads();
    }
    copy_async_wait<0>();
    store_sums(m, n, sums, place, c);
}

// [rows, columns] of a matrix from (first_row, first_column) on, rounded to bf16, into rows of `stride`; zeros outside.
DEVICE void round_tile(u16* tile, u32 stride, const float* from, u32 rows, u32 columns, u32 first_row, u32 first_column,
                       u32 tile_rows, u32 tile_columns) {
    for (u32 i = threadIdx.x; i < tile_rows * tile_columns / 2; i += WARPS_4) {
        const u32 row = i / (tile_columns / 2), column = i % (tile_columns / 2) * 2;
        float pair[2];
        for (u32 half = 0; half < 2; half++) {
            const bool inside = first_row + row < rows && first_column + column + half < columns;
            pair[half] = inside ? from[(u64)(first_row + row) * columns + first_column + column + half] : 0.0f;
        }
        *reinterpret_cast<u32*>(&tile[row * stride + column]) = to_bf16x2(pair[0], pair[1]);
    }
}

extern "C" __global__ void __launch_bounds__(WARPS_4)
    planted_no_defect_bf16(u32 m, u32 n, u32 k, In<float> a, In<float> b, Out<float> c) {
    DYNAMIC_SHARED(u16, tiles);
    u16* const a_tile = tiles;
    u16* const b_tile = tiles + TILE * BF16_ROW;
    const Place place = place_of_thread();
    float sums[2][4] = {};
    for (u32 first = 0; first < k; first += DEPTH) {
        round_tile(a_tile, BF16_ROW, a.data, m, k, blockIdx.y * TILE, first, TILE, DEPTH);
        round_tile(b_tile, BF16_COLUMNS, b.data, k, n, first, blockIdx.x * TILE, DEPTH, TILE);
        __syncthreads();
        u32 rows[4];
        load_matrix_x4(rows, &a_tile[(place.row + place.lane % 16) * BF16_ROW + place.lane / 16 * 8]);
        for (u32 j = 0; j < 2; j++) {
            u32 columns[2];
            load_matrix_x2_transposed(columns, &b_tile[place.lane % 16 * BF16_COLUMNS + place.column + j * 8]);
            multiply_bf16(sums[j], rows, columns);
        }
        __syncthreads();
    }
    store_sums(m, n, sums, place, c);
}
