// Linear maps on the tensor cores: operands rounded to tf32 or bf16 on their way to the registers, sums in fp32.
// y[s,n,o] = f(sum_i x[s,n,i] w[s,o,i] + b[s,o]); dx = dy w (summed over samples that share x); dw = dy^T x.
//
// Tiles of c of LINES x 64 (LINES 64 or 128), by 2 x 2 warps of LINES / 2 x 32. Steps of 32 along the inner axis pass through
// three stages of shared memory as fp32: two are on their way while one is multiplied.
#include "product.cuh"

enum { COLUMNS = 64, DEPTH = 32, STAGES = 3, THREADS = 128 };
enum { TF32, BF16 };

// A staged tile of `LINES` lines. INNER: [LINES][DEPTH], else [DEPTH][LINES]; rows are padded so that the lanes of a warp that
// load a fragment meet different banks: (4 g + t) and (8 t + g) for words, (8 g + 2 t) for pairs, (8 t + g) with rows 2 t.
template <int MATH, bool INNER, int LINES> struct Tile {
    static constexpr int ROW = INNER ? DEPTH + (MATH == TF32 ? 4 : 8) : LINES + (MATH == TF32 ? 8 : 4);
    static constexpr int SIZE = (INNER ? LINES : DEPTH) * ROW;
};

// Starts the copy of a tile.
template <int MATH, bool INNER, int LINES>
DEVICE void copy_tile(float* tile, const Operand<INNER>& operand, u32 first_line, u32 first_inner) {
    constexpr u32 IN_ROW = (INNER ? DEPTH : LINES) / 4;
    const bool in_quads = operand.in_quads();
#pragma unroll
    for (u32 i = 0; i < LINES * DEPTH / (4 * THREADS); i++) {
        const u32 quad = threadIdx.x + i * THREADS, tile_row = quad / IN_ROW, tile_column = quad % IN_ROW * 4;
        const u32 row = (INNER ? first_line : first_inner) + tile_row, column = (INNER ? first_inner : first_line) + tile_column;
        const u32 left = row < operand.rows() && column < operand.row() ? operand.row() - column : 0;
        const float* from = left ? operand.data + (u64)row * operand.row() + column : operand.data;
        float* to = tile + tile_row * Tile<MATH, INNER, LINES>::ROW + tile_column;
        if (in_quads) {
            copy_async<16>(to, from, left ? 16 : 0);
        } else {
#pragma unroll
            for (u32 j = 0; j < 4; j++) copy_async<4>(to + j, j < left ? from + j : from, j < left ? 4 : 0);
        }
    }
}

// Lanes g = lane / 4, t = lane % 4. Elements of lines g and g + 8 from `line` on, at the inner indices of a multiplication
// from `inner` on, in the order of multiply_tf32's and multiply_bf16's a: r[0] and r[2] belong to line g, r[1] and r[3] to g + 8.
template <int MATH, bool INNER, int LINES>
DEVICE void load_fragment(u32 (&r)[4], const float* tile, u32 line, u32 inner) {
    constexpr int ROW = Tile<MATH, INNER, LINES>::ROW;
    const u32 lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    if (MATH == TF32 && INNER) {
        load_matrix_x4(r, tile + (line + lane % 16) * ROW + inner + lane / 16 * 4);
#pragma unroll
        for (int i = 0; i < 4; i++) r[i] = to_tf32(float_of(r[i]));
    } else {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            const u32 l = line + g + i % 2 * 8;
            if (MATH == TF32) {
                r[i] = to_tf32(tile[(inner + t + i / 2 * 4) * ROW + l]);
            } else if (INNER) {
                const float2 pair = *reinterpret_cast<const float2*>(tile + l * ROW + inner + 2 * t + i / 2 * 8);
                r[i] = to_bf16x2(pair.x, pair.y);
            } else {
                const float* first = tile + (inner + 2 * t + i / 2 * 8) * ROW + l;
                r[i] = to_bf16x2(first[0], first[ROW]);
            }
        }
    }
}

template <int MATH> DEVICE void multiply(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    if (MATH == TF32) multiply_tf32(d, a, b);
    else multiply_bf16(d, a, b);
}

// Adds the products of one stage: A_TILES x 4 products of 16 x 8 for a warp.
template <int MATH, int LINES, bool A_INNER, bool B_INNER>
DEVICE void multiply_stage(float (&sums)[LINES / 32][4][4], const float* a_tile, const float* b_tile) {
    constexpr int A_TILES = LINES / 32, INNER_STEP = MATH == TF32 ? 8 : 16;
    const u32 warp = threadIdx.x / 32, line = warp / 2 * (LINES / 2), column = warp % 2 * 32;
#pragma unroll
    for (u32 inner = 0; inner < DEPTH; inner += INNER_STEP) {
        u32 a[A_TILES][4], b[4][2];
#pragma unroll
        for (u32 i = 0; i < A_TILES; i++)
            load_fragment<MATH, A_INNER, LINES>(a[i], a_tile, line + 16 * i, inner);
#pragma unroll
        for (u32 j = 0; j < 4; j += 2) {
            u32 r[4];
            load_fragment<MATH, B_INNER, COLUMNS>(r, b_tile, column + 8 * j, inner);
            b[j][0] = r[0], b[j][1] = r[2], b[j + 1][0] = r[1], b[j + 1][1] = r[3];
        }
#pragma unroll
        for (int i = 0; i < A_TILES; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) multiply<MATH>(sums[i][j], a[i], b[j]);
    }
}

template <int MATH, int LINES, bool A_INNER, bool B_INNER>
DEVICE void multiply_tiles(const Product& p, u32 steps_per_split, In<float> a, In<float> b, const Target& c) {
    constexpr int A_SIZE = Tile<MATH, A_INNER, LINES>::SIZE, STAGE = A_SIZE + Tile<MATH, B_INNER, COLUMNS>::SIZE;
    DYNAMIC_SHARED(float, stages);
    const u32 tiles = divide_up(p.m, LINES);
    const u32 first_row = blockIdx.x % tiles * LINES, first_column = blockIdx.x / tiles * COLUMNS;
    Steps steps = steps_of(p, DEPTH, steps_per_split);

    const auto copy_step = [&](u32 step) {
        if (step < steps.count) {
            float* stage = stages + step % STAGES * STAGE;
            const auto left = operand<A_INNER>(a, steps.sample, p.a_shared, p.m, p.k);
            const auto right = operand<B_INNER>(b, steps.sample, p.b_shared, p.n, p.k);
            copy_tile<MATH, A_INNER, LINES>(stage, left, first_row, steps.inner);
            copy_tile<MATH, B_INNER, COLUMNS>(stage + A_SIZE, right, first_column, steps.inner);
            advance(steps, DEPTH, p.k);
        }
        copy_async_commit();
    };
    float sums[LINES / 32][4][4] = {};
    copy_step(0);
    copy_step(1);
    for (u32 step = 0; step < steps.count; step++) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();  // the stage has come for all threads, and the one before it is free
        copy_step(step + STAGES - 1);
        const float* stage = stages + step % STAGES * STAGE;
        multiply_stage<MATH, LINES, A_INNER, B_INNER>(sums, stage, stage + A_SIZE);
    }

    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 row = first_row + warp / 2 * (LINES / 2) + lane / 4, column = first_column + warp % 2 * 32 + lane % 4 * 2;
    const bool whole = c.in_groups(2);
#pragma unroll
    for (u32 i = 0; i < LINES / 32; i++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            c.put_group<2>(row + 16 * i, column + 8 * j, &sums[i][j][0], whole);
            c.put_group<2>(row + 16 * i + 8, column + 8 * j, &sums[i][j][2], whole);
        }
}

template <int MATH, int LINES>
DEVICE void forward(LinearDims d, Function f, u32 steps_per_split, In<float> x, In<float> w, In<float> bias, Out<float> y,
                    float* partials) {
    const Product p = forward_product(d);
    const Target c = target(p, y, partials, forward_finish(d, f, bias));
    multiply_tiles<MATH, LINES, true, true>(p, steps_per_split, x, w, c);
}
template <int MATH, int LINES>
DEVICE void grad_input(LinearDims d, u32 steps_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    const Product p = grad_input_product(d);
    multiply_tiles<MATH, LINES, true, false>(p, steps_per_split, dy, w, target(p, dx, partials, plain()));
}
template <int MATH, int LINES>
DEVICE void grad_weight(LinearDims d, u32 steps_per_split, In<float> x, In<float> dy, Out<float> dw, float* partials) {
    const Product p = grad_weight_product(d);
    multiply_tiles<MATH, LINES, false, false>(p, steps_per_split, dy, x, target(p, dw, partials, plain()));
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    linear_tf32_64(LinearDims d, Function f, u32 steps_per_split, In<float> x, In<float> w, In<float> bias, Out<float> y,
                   float* partials) {
    forward<TF32, 64>(d, f, steps_per_split, x, w, bias, y, partials);
}
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    linear_grad_input_tf32_64(LinearDims d, u32 steps_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    grad_input<TF32, 64>(d, steps_per_split, dy, w, dx, partials);
}
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    linear_grad_weight_tf32_64(LinearDims d, u32 steps_per_split, In<float> x, In<float> dy, Out<float> dw, float* partials) {
    grad_weight<TF32, 64>(d, steps_per_split, x, dy, dw, partials);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_tf32_128(LinearDims d, Function f, u32 steps_per_split, In<float> x, In<float> w, In<float> bias, Out<float> y,
                   float* partials) {
    forward<TF32, 128>(d, f, steps_per_split, x, w, bias, y, partials);
}
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_grad_input_tf32_128(LinearDims d, u32 steps_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    grad_input<TF32, 128>(d, steps_per_split, dy, w, dx, partials);
}
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_grad_weight_tf32_128(LinearDims d, u32 steps_per_split, In<float> x, In<float> dy, Out<float> dw, float* partials) {
    grad_weight<TF32, 128>(d, steps_per_split, x, dy, dw, partials);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    linear_bf16_64(LinearDims d, Function f, u32 steps_per_split, In<float> x, In<float> w, In<float> bias, Out<float> y,
                   float* partials) {
    forward<BF16, 64>(d, f, steps_per_split, x, w, bias, y, partials);
}
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    linear_grad_input_bf16_64(LinearDims d, u32 steps_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    grad_input<BF16, 64>(d, steps_per_split, dy, w, dx, partials);
}
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    linear_grad_weight_bf16_64(LinearDims d, u32 steps_per_split, In<float> x, In<float> dy, Out<float> dw, float* partials) {
    grad_weight<BF16, 64>(d, steps_per_split, x, dy, dw, partials);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_bf16_128(LinearDims d, Function f, u32 steps_per_split, In<float> x, In<float> w, In<float> bias, Out<float> y,
                   float* partials) {
    forward<BF16, 128>(d, f, steps_per_split, x, w, bias, y, partials);
}
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_grad_input_bf16_128(LinearDims d, u32 steps_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    grad_input<BF16, 128>(d, steps_per_split, dy, w, dx, partials);
}
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_grad_weight_bf16_128(LinearDims d, u32 steps_per_split, In<float> x, In<float> dy, Out<float> dw, float* partials) {
    grad_weight<BF16, 128>(d, steps_per_split, x, dy, dw, partials);
}
