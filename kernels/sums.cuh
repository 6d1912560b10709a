// Sums of many elements in two launches: block b sums elements [b * per_block, (b + 1) * per_block) in f64, then one block adds the
// partial sums in order (`sum` of elementwise.cu).
#pragma once
#include "common.cuh"

enum { SUM_THREADS = 256 };

template <class Term> DEVICE void partial_sums(u32 elements, u32 per_block, double* partials, Term term) {
    const u64 first = (u64)blockIdx.x * per_block;
    const u64 end = minimum(first + per_block, (u64)elements);
    double sum = 0.0;
    for (u64 i = first + threadIdx.x; i < end; i += SUM_THREADS) sum += term((u32)i);
    sum = block_sum<SUM_THREADS / 32>(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}
