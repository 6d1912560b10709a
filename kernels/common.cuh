// What every kernel stands on: names for the instructions it uses (inline PTX here, emulated in sim/device.h on the host),
// the views of memory that it receives, and reductions in a fixed order.
//
// Rules for kernels: no return before a barrier, no atomics on a result, no waiting for another block, no CUDA headers.
// A kernel's parameters are its dims, further scalars, the regions it reads and the regions it writes in the order of its
// call (src/call/kind.rs), then scratch.
#pragma once

#if defined(__CUDACC__)

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE static __device__ __forceinline__
#define METHOD __device__ __forceinline__
#define SHARED(T, name, dims) __shared__ __align__(16) T name dims
#define DYNAMIC_SHARED(T, name)                                  \
    extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
    T* const name = reinterpret_cast<T*>(dynamic_shared)

// ---- arithmetic ----------------------------------------------------------------------------------------------------

DEVICE float fused_multiply_add(float a, float b, float c) {
    float r;
    asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(r) : "f"(a), "f"(b), "f"(c));
    return r;
}
DEVICE u32 multiply_high(u32 a, u32 b) {
    u32 r;
    asm("mul.hi.u32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
DEVICE u32 bits_of(float x) {
    u32 r;
    asm("mov.b32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}
DEVICE float float_of(u32 bits) {
    float r;
    asm("mov.b32 %0, %1;" : "=f"(r) : "r"(bits));
    return r;
}
// 2^x, relative error 2^-22.
DEVICE float exp2_fast(float x) {
    float r;
    asm("ex2.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
// log2(x), absolute error 2^-22 near 1, relative error 2^-22 elsewhere.
DEVICE float log2_fast(float x) {
    float r;
    asm("lg2.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
// sin and cos of radians, absolute error 2^-20.9 for |x| <= pi.
DEVICE float sine_fast(float x) {
    float r;
    asm("sin.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
DEVICE float cosine_fast(float x) {
    float r;
    asm("cos.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
DEVICE float square_root(float x) {
    float r;
    asm("sqrt.rn.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
DEVICE double square_root(double x) {
    double r;
    asm("sqrt.rn.f64 %0, %1;" : "=d"(r) : "d"(x));
    return r;
}
DEVICE float reciprocal_root(float x) {
    float r;
    asm("rsqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
DEVICE float divide(float a, float b) {
    float r;
    asm("div.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
}

// ---- tensor cores ----------------------------------------------------------------------------------------------------

// Rounded to nearest, ties away from zero; the low 13 bits are 0.
DEVICE u32 to_tf32(float x) {
    u32 r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}
// Two bf16 rounded to nearest even, `low` in the low half.
DEVICE u32 to_bf16x2(float low, float high) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
// d [16, 8] += a [16, 8] b [8, 8]; with g = lane / 4, t = lane % 4 a lane holds
// a: (g, t) (g + 8, t) (g, t + 4) (g + 8, t + 4); b: (t, g) (t + 4, g); d: (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1).
DEVICE void multiply_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// d [16, 8] += a [16, 16] b [16, 8]; a lane holds pairs of neighbours along the inner axis:
// a: (g, 2t) (g + 8, 2t) (g, 2t + 8) (g + 8, 2t + 8); b: (2t, g) (2t + 8, g); d as above.
DEVICE void multiply_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE u32 shared_address(const void* p) {
    u32 r;
    asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(r) : "l"(p));
    return r;
}
// Matrices of 8 x 8 16-bit elements; lane 8 i + r gives the 16-byte row r of matrix i, lane l receives elements
// (l / 4, 2 (l % 4)) and the next of each matrix.
DEVICE void load_matrix_x4(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
DEVICE void load_matrix_x2(u32 (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1},[%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}
DEVICE void load_matrix_x4_transposed(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
DEVICE void load_matrix_x2_transposed(u32 (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1},[%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}

// ---- asynchronous copies from global to shared memory ------------------------------------------------------------------

// Copies `valid` of BYTES bytes and fills the rest with zeros. Both addresses are multiples of BYTES.
template <int BYTES> DEVICE void copy_async(void* shared, const void* global, u32 valid) {
    if (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(shared_address(shared)), "l"(global), "r"(valid) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     :: "r"(shared_address(shared)), "l"(global), "n"(BYTES), "r"(valid) : "memory");
    }
}
DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N groups of this thread are in flight.
template <int N> DEVICE void copy_async_wait() { asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory"); }

// ---- global memory that is touched once ----------------------------------------------------------------------------------

DEVICE float4 load_streaming(const float4* p) {
    float4 v;
    asm volatile("ld.global.cs.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p) : "memory");
    return v;
}
DEVICE void store_streaming(float4* p, float4 v) {
    asm volatile("st.global.cs.v4.f32 [%0], {%1,%2,%3,%4};" :: "l"(p), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w) : "memory");
}

DEVICE uint2 load_streaming(const uint2* p) {
    uint2 v;
    asm volatile("ld.global.cs.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p) : "memory");
    return v;
}
DEVICE void store_streaming(uint2* p, uint2 v) {
    asm volatile("st.global.cs.v2.u32 [%0], {%1,%2};" :: "l"(p), "r"(v.x), "r"(v.y) : "memory");
}

#else
#include "sim/device.h"
#define METHOD inline __attribute__((always_inline))
template <class T> DEVICE T load_streaming(const T* p) { return *p; }
template <class T> DEVICE void store_streaming(T* p, T v) { *p = v; }
#endif

// ---- the same source on both sides ----------------------------------------------------------------------------------------

template <class T> DEVICE T minimum(T a, T b) { return a < b ? a : b; }
template <class T> DEVICE T maximum(T a, T b) { return a > b ? a : b; }
DEVICE u32 divide_up(u32 a, u32 b) { return (a + b - 1) / b; }
DEVICE float from_bf16(u16 x) { return float_of((u32)x << 16); }

DEVICE float exponential(float x) { return exp2_fast(1.44269504f * x); }
DEVICE float logarithm(float x) { return 0.693147181f * log2_fast(x); }
DEVICE float sigmoid(float x) { return divide(1.0f, 1.0f + exponential(-x)); }
DEVICE float hyperbolic_tangent(float x) {
    const float s = x * x;
    if (s < 0.09f) {  // the series: the quotient below cancels for small x
        const float p = fused_multiply_add(s, fused_multiply_add(s, -0.0539682540f, 0.133333333f), -0.333333333f);
        return fused_multiply_add(x * s, fused_multiply_add(s * s * s, 0.0218694885f, p), x);
    }
    const float e = exponential(-2.0f * (x < 0.0f ? -x : x));
    const float t = divide(1.0f - e, 1.0f + e);
    return x < 0.0f ? -t : t;
}

// A region that a kernel reads: blocks of `len` elements, `stride` apart. A tensor without gaps is one block.
template <class T> struct In {
    const T* data;
    u32 len;
    u32 stride;
    // Block s: a weight sample of an [S]-strided region.
    METHOD const T* block(u32 s) const { return data + (u64)s * stride; }
    // Element i over all blocks.
    METHOD T at(u32 i) const { return len == stride ? data[i] : data[(u64)(i / len) * stride + i % len]; }
};

// A region that a kernel writes. `add` = 1 adds to what is there, 0 overwrites it unread.
template <class T> struct Out {
    T* data;
    u32 len;
    u32 stride;
    u32 add;
    u32 unused;
    METHOD T* block(u32 s) const { return data + (u64)s * stride; }
    METHOD void put(T* place, T value) const { *place = add ? *place + value : value; }
    METHOD T* place(u32 i) const { return len == stride ? data + i : data + (u64)(i / len) * stride + i % len; }
    METHOD void put(u32 i, T value) const { put(place(i), value); }
};

// Elements i of [0, elements) that this thread handles: grid-stride.
template <class Body> DEVICE void each_element(u32 elements, Body body) {
    const u32 step = gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < elements; i += step) body((u32)i);
}

// Sum over the lanes of a full warp, the same in every lane.
DEVICE float warp_sum(float x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}
DEVICE float warp_maximum(float x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x = maximum(x, __shfl_xor_sync(0xffffffffu, x, distance));
    return x;
}
DEVICE double shuffle_xor(double x, int distance) {
    union { double value; u32 half[2]; } bits = {x};
    bits.half[0] = __shfl_xor_sync(0xffffffffu, bits.half[0], distance);
    bits.half[1] = __shfl_xor_sync(0xffffffffu, bits.half[1], distance);
    return bits.value;
}
DEVICE double warp_sum(double x) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) x += shuffle_xor(x, distance);
    return x;
}

// Sum over the threads of a block of WARPS full warps, valid in thread 0. Reached by every thread, once per kernel at
// most unless a barrier lies between.
template <int WARPS, class T> DEVICE T block_sum(T x) {
    SHARED(T, partial, [WARPS]);
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
    __syncthreads();
    T sum = 0;
    if (threadIdx.x == 0)
        for (int warp = 0; warp < WARPS; warp++) sum += partial[warp];
    return sum;
}

// f of src/call/function.rs: `code` in the order of `Unary`, a and b its constants.
struct Function {
    u32 code;
    float a;
    float b;
};
enum { IDENTITY, RELU, LEAKY_RELU, TANH, SIGMOID, EXP, LOG, SIGN, AFFINE, SQUARE, SOFTPLUS };

DEVICE float apply(Function f, float x) {
    switch (f.code) {
        case RELU: return x > 0.0f ? x : 0.0f;
        case LEAKY_RELU: return x > 0.0f ? x : f.a * x;
        case TANH: return hyperbolic_tangent(x);
        case SIGMOID: return sigmoid(x);
        case EXP: return exponential(x);
        case LOG: return logarithm(x);
        case SIGN: return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
        case AFFINE: return fused_multiply_add(f.a, x, f.b);
        case SQUARE: return x * x;
        case SOFTPLUS: return maximum(x, 0.0f) + logarithm(1.0f + exponential(x > 0.0f ? -x : x));
        default: return x;
    }
}

// df/dx * dy. `source` is y where the gradient follows from the output (RELU to EXP), else x.
DEVICE float apply_gradient(Function f, float source, float dy) {
    switch (f.code) {
        case RELU: return source > 0.0f ? dy : 0.0f;
        case LEAKY_RELU: return source > 0.0f ? dy : f.a * dy;
        case TANH: return dy * (1.0f - source * source);
        case SIGMOID: return dy * source * (1.0f - source);
        case EXP: return dy * source;
        case LOG: return divide(dy, source);
        case AFFINE: return f.a * dy;
        case SQUARE: return 2.0f * source * dy;
        case SOFTPLUS: return dy * sigmoid(source);
        default: return dy;
    }
}
