// Linear maps in exact fp32: tiles of 64 x 64 from steps of 16 along the inner axis, and the sums of splits.
// y[s,n,o] = f(sum_i x[s,n,i] w[s,o,i] + b[s,o]); dx = dy w (summed over samples that share x); dw = dy^T x.
#include "product.cuh"

enum { TILE = 64, DEPTH = 16, THREADS = 128, PITCH = TILE + 4, QUADS = TILE * DEPTH / (4 * THREADS) };

// What a thread carries from global to shared memory for one operand: four neighbours along its contiguous axis each.
struct Carried {
    float4 quads[QUADS];
};

// Place of quad q of a tile: line and inner index of its first element.
template <bool INNER> DEVICE uint2 place_of(u32 q) {
    return INNER ? make_uint2(q / (DEPTH / 4), q % (DEPTH / 4) * 4) : make_uint2(q % (TILE / 4) * 4, q / (TILE / 4));
}

template <bool INNER>
DEVICE void fetch(Carried& carried, const Operand<INNER>& operand, u32 first_line, u32 first_inner) {
    const bool in_quads = operand.in_quads();
#pragma unroll
    for (u32 i = 0; i < QUADS; i++) {
        const uint2 place = place_of<INNER>(threadIdx.x + i * THREADS);
        const u32 line = first_line + place.x, inner = first_inner + place.y;
        const u32 row = INNER ? line : inner, column = INNER ? inner : line;
        float4 quad = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (row < operand.rows()) {
            const float* p = operand.data + (u64)row * operand.row() + column;
            const u32 left = column < operand.row() ? operand.row() - column : 0;
            if (in_quads) {
                if (left) quad = *reinterpret_cast<const float4*>(p);
            } else {
                if (left > 0) quad.x = p[0];
                if (left > 1) quad.y = p[1];
                if (left > 2) quad.z = p[2];
                if (left > 3) quad.w = p[3];
            }
        }
        carried.quads[i] = quad;
    }
}

template <bool INNER> DEVICE void store(float (&tile)[DEPTH][PITCH], const Carried& carried) {
#pragma unroll
    for (u32 i = 0; i < QUADS; i++) {
        const uint2 place = place_of<INNER>(threadIdx.x + i * THREADS);
        const float4 quad = carried.quads[i];
        if (INNER) {
            tile[place.y][place.x] = quad.x;
            tile[place.y + 1][place.x] = quad.y;
            tile[place.y + 2][place.x] = quad.z;
            tile[place.y + 3][place.x] = quad.w;
        } else {
            *reinterpret_cast<float4*>(&tile[place.y][place.x]) = quad;
        }
    }
}

// Each thread computes 8 rows and 4 columns of the tile.
template <bool A_INNER, bool B_INNER>
DEVICE void multiply_tiles(const Product& p, u32 steps_per_split, In<float> a, In<float> b, const Target& c) {
    SHARED(float, a_tiles, [2][DEPTH][PITCH]);
    SHARED(float, b_tiles, [2][DEPTH][PITCH]);
    const u32 tiles = divide_up(p.m, TILE);
    const u32 first_row = blockIdx.x % tiles * TILE, first_column = blockIdx.x / tiles * TILE;
    const u32 row = threadIdx.x / 16 * 8, column = threadIdx.x % 16 * 4;
    Steps steps = steps_of(p, DEPTH, steps_per_split);

    Carried a_carried, b_carried;
    const auto fetch_step = [&]() {
        fetch(a_carried, operand<A_INNER>(a, steps.sample, p.a_shared, p.m, p.k), first_row, steps.inner);
        fetch(b_carried, operand<B_INNER>(b, steps.sample, p.b_shared, p.n, p.k), first_column, steps.inner);
        advance(steps, DEPTH, p.k);
    };
    float sums[8][4] = {};
    fetch_step();
    store<A_INNER>(a_tiles[0], a_carried);
    store<B_INNER>(b_tiles[0], b_carried);
    __syncthreads();
    for (u32 step = 0; step < steps.count; step++) {
        const u32 now = step & 1;
        const bool more = step + 1 < steps.count;
        if (more) fetch_step();
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            const float4 upper = *reinterpret_cast<const float4*>(&a_tiles[now][k][row]);
            const float4 lower = *reinterpret_cast<const float4*>(&a_tiles[now][k][row + 4]);
            const float4 right = *reinterpret_cast<const float4*>(&b_tiles[now][k][column]);
            const float x[8] = {upper.x, upper.y, upper.z, upper.w, lower.x, lower.y, lower.z, lower.w};
            const float y[4] = {right.x, right.y, right.z, right.w};
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sums[i][j] = fused_multiply_add(x[i], y[j], sums[i][j]);
        }
        if (more) {
            store<A_INNER>(a_tiles[now ^ 1], a_carried);
            store<B_INNER>(b_tiles[now ^ 1], b_carried);
            __syncthreads();
        }
    }
    const bool whole = c.in_groups(4);
#pragma unroll
    for (int i = 0; i < 8; i++) c.put_group<4>(first_row + row + i, first_column + column, sums[i], whole);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    linear(LinearDims d, Function f, u32 steps_per_split, In<float> x, In<float> w, In<float> bias, Out<float> y,
           float* partials) {
    const Product p = forward_product(d);
    multiply_tiles<true, true>(p, steps_per_split, x, w, target(p, y, partials, forward_finish(d, f, bias)));
}

extern "C" __global__ void __launch_bounds__(THREADS)
    linear_grad_input(LinearDims d, u32 steps_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    const Product p = grad_input_product(d);
    multiply_tiles<true, false>(p, steps_per_split, dy, w, target(p, dx, partials, plain()));
}

extern "C" __global__ void __launch_bounds__(THREADS)
    linear_grad_weight(LinearDims d, u32 steps_per_split, In<float> x, In<float> dy, Out<float> dw, float* partials) {
    const Product p = grad_weight_product(d);
    multiply_tiles<false, false>(p, steps_per_split, dy, x, target(p, dw, partials, plain()));
}

// partials [splits, blocks, m, n], bias [S]-strided [n] if has_bias -> c [blocks, m, n]; grid z: blocks
extern "C" __global__ void __launch_bounds__(256)
    linear_sum_splits(u32 m, u32 n, u32 splits, u32 has_bias, Function f, In<float> bias, Out<float> c,
                      const float* partials) {
    const u64 len = (u64)m * n;
    const Finish finish = {f, has_bias ? sample_of(bias, blockIdx.z, n) : nullptr};
    float* block = sample_of(c, blockIdx.z, len);
    each_element((u32)len, [&](u32 i) {
        float sum = 0.0f;
#pragma unroll 8
        for (u32 split = 0; split < splits; split++) sum += partials[((u64)split * gridDim.z + blockIdx.z) * len + i];
        c.put(block + i, finish.apply_to(sum, i % n));
    });
}
