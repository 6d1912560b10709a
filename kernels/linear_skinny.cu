// Linear maps of at most 16 rows, one product for each sample: y[s,n,o] = f(sum_i x[s,n,i] w[s,o,i] + b[s,o]) and the gradient of
// x. The time is that of reading w.
#include "skinny.cuh"

// Grid: x groups of outputs (a block goes on by the grid's width), y samples.
template <int ROWS>
DEVICE void multiply_sample(const LinearDims& d, Function f, In<float> x, In<float> w, In<float> bias, Out<float> y) {
    const u32 sample = blockIdx.y;
    const Map map = {sample_of(x, d.shared_input ? 0 : sample, (u64)d.rows * d.inputs),
                     sample_of(w, sample, (u64)d.outputs * d.inputs), d.rows, d.inputs, d.outputs};
    const Finish finish = {f, d.bias ? sample_of(bias, sample, d.outputs) : nullptr};
    const Target target = {sample_of(y, sample, (u64)d.rows * d.outputs), d.rows, d.outputs, y.add, false, finish};
    multiply_rows<ROWS>(map, target, blockIdx.x, gridDim.x);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_4_rows(LinearDims d, Function f, In<float> x, In<float> w, In<float> bias, Out<float> y) {
    multiply_sample<4>(d, f, x, w, bias, y);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_8_rows(LinearDims d, Function f, In<float> x, In<float> w, In<float> bias, Out<float> y) {
    multiply_sample<8>(d, f, x, w, bias, y);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    linear_16_rows(LinearDims d, Function f, In<float> x, In<float> w, In<float> bias, Out<float> y) {
    multiply_sample<16>(d, f, x, w, bias, y);
}

// dx[s,n,i] = sum_o dy[s,n,o] w[s,o,i], summed over samples that share x. A block has CHUNK columns of w and a split: a run of
// `rows_per_split` of the terms * outputs rows. Grid: x columns, y splits, z samples.
template <int ROWS>
DEVICE void multiply_by_rows(const LinearDims& d, u32 rows_per_split, In<float> dy, In<float> w, Out<float> dx, float* partials) {
    SHARED(float, staged, [staged_rows_of(32)][ROWS]);
    const Product p = grad_input_product(d);
    const u32 first_column = blockIdx.x * CHUNK, left = d.inputs - first_column;
    const u32 first_row = blockIdx.y * rows_per_split, end = minimum(first_row + rows_per_split, p.terms * d.outputs);
    const bool in_quads = d.inputs % 4 == 0 && is_aligned(w.data, 16) && w.stride % 4 == 0;

    float sums[ROWS][4] = {};
    for (u32 row = first_row; row < end;) {
        const u32 sample = blockIdx.z + row / d.outputs, output = row % d.outputs;
        const u32 count = minimum(minimum((u32)staged_rows_of(32), end - row), d.outputs - output);
        const float* dy_rows = sample_of(dy, sample, (u64)d.rows * d.outputs) + output;
        if (row > first_row) __syncthreads();  // the outputs before are no longer read
        stage_outputs(staged, d.rows, count, [&](u32 n, u32 o) { return dy_rows[(u64)n * d.outputs + o]; });
        __syncthreads();
        const float* w_rows = sample_of(w, sample, (u64)d.outputs * d.inputs) + (u64)output * d.inputs + first_column;
        if (in_quads) add_rows<true, 32>(sums, staged, w_rows, d.inputs, left, count);
        else add_rows<false, 32>(sums, staged, w_rows, d.inputs, left, count);
        row += count;
    }
    put_columns<32>(sums, target(p, dx, partials, plain()), first_column, in_quads);
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
