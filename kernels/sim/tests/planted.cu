// Kernels with one defect each, which the simulated device must find (tests/kernels/planted.rs), and the same without.
// Every kernel takes x [n] and y [n] and is meant to compute y[i] = x[i ^ 1], but for those that cannot end.
#include "common.cuh"

enum { THREADS = 64 };

// y[i] = x[i ^ 1] through shared memory.
extern "C" __global__ void __launch_bounds__(THREADS) planted_nothing(u32 n, In<float> x, Out<float> y) {
    SHARED(float, tile, [THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    tile[threadIdx.x] = i < n ? x.data[i] : 0.0f;
    __syncthreads();
    if (i < n) y.put(i, tile[threadIdx.x ^ 1]);
}

extern "C" __global__ void planted_missing_barrier(u32 n, In<float> x, Out<float> y) {
    SHARED(float, tile, [THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    tile[threadIdx.x] = i < n ? x.data[i] : 0.0f;
    if (i < n) y.put(i, tile[threadIdx.x ^ 1]);
}

// Neighbours sit in one warp: a barrier of the warp would do.
extern "C" __global__ void planted_with_syncwarp(u32 n, In<float> x, Out<float> y) {
    SHARED(float, tile, [THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    tile[threadIdx.x] = i < n ? x.data[i] : 0.0f;
    __syncwarp();
    if (i < n) y.put(i, tile[threadIdx.x ^ 1]);
}

extern "C" __global__ void planted_shuffle_for_syncwarp(u32 n, In<float> x, Out<float> y) {
    SHARED(float, tile, [THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    tile[threadIdx.x] = i < n ? x.data[i] : 0.0f;
    const u32 j = __shfl_xor_sync(0xffffffffu, threadIdx.x, 1);  // orders the lanes, but not their memory
    if (i < n) y.put(i, tile[j]);
}

extern "C" __global__ void planted_global_overrun(u32 n, In<float> x, Out<float> y) {
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    if (i <= n) y.data[i] = i < n ? x.data[i ^ 1] : 0.0f;
}

extern "C" __global__ void planted_shared_overrun(u32 n, In<float> x, Out<float> y) {
    SHARED(float, tile, [THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    tile[threadIdx.x] = i < n ? x.data[i] : 0.0f;
    if (threadIdx.x == 0) tile[blockDim.x] = 0.0f;
    __syncthreads();
    if (i < n) y.put(i, tile[threadIdx.x ^ 1]);
}

extern "C" __global__ void planted_uninitialised(u32 n, In<float> x, Out<float> y) {
    SHARED(float, tile, [THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    if (threadIdx.x > 0) tile[threadIdx.x] = i < n ? x.data[i] : 0.0f;
    __syncthreads();
    if (i < n) y.put(i, tile[threadIdx.x ^ 1]);
}

// Every block writes the last element.
extern "C" __global__ void planted_block_race(u32 n, In<float> x, Out<float> y) {
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    if (i < n) y.put(i, x.data[i ^ 1]);
    if (threadIdx.x == 0) y.data[n - 1] = x.data[(n - 1) ^ 1];
}

extern "C" __global__ void planted_divergent_barrier(u32 n, In<float> x, Out<float> y) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    if (i < n) y.put(i, x.data[i ^ 1]);
}

extern "C" __global__ void planted_ended_lane(u32 n, In<float> x, Out<float> y) {
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= n || i == 3) return;
    y.put(i, __shfl_xor_sync(0xffffffffu, x.data[i], 1));
}

extern "C" __global__ void planted_deadlock(u32 n, In<float> x, Out<float> y) {
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    float value = i < n ? x.data[i] : 0.0f;
    if (threadIdx.x == 5)
        __syncthreads();
    else
        value = __shfl_xor_sync(0xffffffffu, value, 1);
    if (i < n) y.put(i, value);
}

// ---- asynchronous copies: two stages of a buffer, each read by a neighbour ------------------------------------------------

DEVICE void copy_stage(float* stage, In<float> x, u32 n, u32 block) {
    const u32 i = block * THREADS + threadIdx.x;
    copy_async<4>(&stage[threadIdx.x], i < n ? x.data + i : x.data, i < n ? 4 : 0);
    copy_async_commit();
}

DEVICE void write_stage(const float* stage, Out<float> y, u32 n, u32 block) {
    const u32 i = block * THREADS + threadIdx.x;
    if (i < n) y.put(i, stage[threadIdx.x ^ 1]);
}

// One block walks over all elements.
extern "C" __global__ void planted_no_copy_defect(u32 n, In<float> x, Out<float> y) {
    SHARED(float, stages, [2][THREADS]);
    const u32 blocks = divide_up(n, THREADS);
    copy_stage(stages[0], x, n, 0);
    for (u32 block = 0; block < blocks; block++) {
        copy_stage(stages[(block + 1) % 2], x, n, block + 1);
        copy_async_wait<1>();
        __syncthreads();
        write_stage(stages[block % 2], y, n, block);
        __syncthreads();
    }
    copy_async_wait<0>();
}

extern "C" __global__ void planted_missing_wait(u32 n, In<float> x, Out<float> y) {
    SHARED(float, stages, [2][THREADS]);
    const u32 blocks = divide_up(n, THREADS);
    copy_stage(stages[0], x, n, 0);
    for (u32 block = 0; block < blocks; block++) {
        copy_stage(stages[(block + 1) % 2], x, n, block + 1);
        copy_async_wait<2>();
        __syncthreads();
        write_stage(stages[block % 2], y, n, block);
        __syncthreads();
    }
    copy_async_wait<0>();
}

extern "C" __global__ void planted_early_refill(u32 n, In<float> x, Out<float> y) {
    SHARED(float, stages, [2][THREADS]);
    const u32 blocks = divide_up(n, THREADS);
    copy_stage(stages[0], x, n, 0);
    for (u32 block = 0; block < blocks; block++) {
        copy_stage(stages[(block + 1) % 2], x, n, block + 1);
        copy_async_wait<1>();
        __syncthreads();
        write_stage(stages[block % 2], y, n, block);
    }
    copy_async_wait<0>();
}

extern "C" __global__ void planted_copy_in_flight(u32 n, In<float> x, Out<float> y) {
    SHARED(float, stage, [THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    copy_stage(stage, x, n, blockIdx.x);
    if (i < n) y.put(i, x.data[i ^ 1]);
}

extern "C" __global__ void planted_misaligned_copy(u32 n, In<float> x, Out<float> y) {
    SHARED(float, stage, [2 * THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    copy_async<8>(&stage[2 * threadIdx.x], x.data + 1, 8);
    copy_async_commit();
    copy_async_wait<0>();
    if (i < n) y.put(i, x.data[i ^ 1]);
}

// ---- kernels without end -----------------------------------------------------------------------------------------------------

extern "C" __global__ void planted_endless_barriers(u32 n, In<float> x, Out<float> y) {
    for (u32 turn = 0; turn < n || n > 0; turn++) __syncthreads();
    y.put(threadIdx.x, x.data[threadIdx.x ^ 1]);
}

extern "C" __global__ void planted_endless_reads(u32 n, In<float> x, Out<float> y) {
    const volatile float* place = x.data;
    while (*place == *place || n == 0) {}
    y.put(threadIdx.x, x.data[threadIdx.x ^ 1]);
}

// ---- found by the race build alone -------------------------------------------------------------------------------------------

// The reads of both warps end before the second barrier of warp 0 only: its write races with the reads of warp 1, although the
// last reader in reverse order is in warp 0.
extern "C" __global__ void planted_forgotten_reader(u32 n, In<float> x, Out<float> y) {
    SHARED(float, value, [1]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    if (threadIdx.x == 0) value[0] = 0.0f;
    __syncthreads();
    const float zero = value[0];
    if (threadIdx.x < 32) {
        __syncwarp();
        if (threadIdx.x == 0) value[0] = 0.0f;
    }
    if (i < n) y.put(i, x.data[i ^ 1] + zero);
}

// Two floats at an address that is no multiple of 8.
extern "C" __global__ void planted_misaligned_vector(u32 n, In<float> x, Out<float> y) {
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    const float2 pair = *reinterpret_cast<const float2*>(x.data + 1);
    if (i < n) y.put(i, x.data[i ^ 1] + 0.0f * pair.x);
}

// Past the end of a row, but inside the array.
extern "C" __global__ void planted_row_overrun(u32 n, In<float> x, Out<float> y) {
    SHARED(float, rows, [2][THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x, width = blockDim.x;
    rows[1][threadIdx.x] = 0.0f;
    rows[0][threadIdx.x + (threadIdx.x == 63 ? width : 0)] = 0.0f;
    if (i < n) y.put(i, x.data[i ^ 1] + rows[1][threadIdx.x]);
}

extern "C" __global__ void planted_long_shift(u32 n, In<float> x, Out<float> y) {
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    const u32 none = 1u << (blockDim.x - 32);
    if (i < n) y.put(i, x.data[i ^ 1] + (none == 77 ? 1.0f : 0.0f));
}

// ---- shared memory -----------------------------------------------------------------------------------------------------------

extern "C" __global__ void planted_shared_underrun(u32 n, In<float> x, Out<float> y) {
    SHARED(float, tile, [THREADS]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    float* const first = tile;
    first[(int)threadIdx.x - 1] = 0.0f;
    if (i < n) y.put(i, x.data[i ^ 1]);
}

extern "C" __global__ void planted_large_arrays(u32 n, In<float> x, Out<float> y) {
    SHARED(float, one, [8192]);
    SHARED(float, two, [8192]);
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    one[threadIdx.x] = two[threadIdx.x] = 0.0f;
    if (i < n) y.put(i, x.data[i ^ 1] + one[threadIdx.x] + two[threadIdx.x]);
}
