// What the kernels see when the host compiles them: the names of kernels/common.cuh's device half, emulated.
// Everything is static: plain and instrumented kernels live in one program and must not share code.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;

struct uint3 { u32 x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };

static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
static inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }

extern "C" {
// The running thread's place; blocks run one at a time.
extern uint3 threadIdx, blockIdx, blockDim, gridDim;

// The array of the running block that belongs to `key`, made on first use; `name`: in the source.
void* sim_shared(const void* key, const char* name, size_t bytes);
void* sim_dynamic_shared();
void sim_sync_threads(const char* file, int line);
void sim_sync_warp(u32 mask, const char* file, int line);
// `exchange` runs once for all lanes of `mask`, when the last of them has come, with each lane's argument.
typedef void (*SimExchange)(void** lanes, u32 mask);
void sim_collective(SimExchange exchange, u32 mask, void* argument);
void sim_copy_async(void* shared, const void* global, u32 bytes, u32 valid);
void sim_copy_async_commit();
void sim_copy_async_wait(u32 in_flight, const char* file, int line);
void sim_exchange_shuffle(void** lanes, u32 mask);
void sim_exchange_ballot(void** lanes, u32 mask);
void sim_exchange_tf32(void** lanes, u32 mask);
void sim_exchange_bf16(void** lanes, u32 mask);
void sim_exchange_matrices(void** lanes, u32 mask);
}

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ use_SHARED_instead_of___shared__;
#define DEVICE static inline
#define SHARED(T, name, dims)                                                                  \
    typedef T sim_type_##name dims;                                                            \
    static const char sim_key_##name = 0;                                                      \
    sim_type_##name& name = *static_cast<sim_type_##name*>(sim_shared(&sim_key_##name, #name, sizeof(sim_type_##name)))
#define DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(sim_dynamic_shared())

// ---- synchronisation ---------------------------------------------------------------------------------------------------

static inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    sim_sync_threads(file, line);
}
static inline void __syncwarp(u32 mask = 0xffffffffu, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    sim_sync_warp(mask, file, line);
}
static inline u32 sim_lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) & 31;
}
// What a lane brings to a shuffle and takes from it; `source`: the lane that it reads.
struct SimShuffle { u32 in, out; int source; };
template <class T> static inline T sim_shuffle(u32 mask, T value, int source) {
    static_assert(sizeof(T) == 4, "shuffles move 32 bits");
    SimShuffle lane;
    memcpy(&lane.in, &value, 4);
    lane.source = source;
    sim_collective(sim_exchange_shuffle, mask, &lane);
    memcpy(&value, &lane.out, 4);
    return value;
}
template <class T> static inline T __shfl_sync(u32 mask, T value, int source, int width = 32) {
    return sim_shuffle(mask, value, int(sim_lane() & ~(width - 1)) | (source & (width - 1)));
}
template <class T> static inline T __shfl_xor_sync(u32 mask, T value, int bits, int width = 32) {
    const int lane = int(sim_lane()), source = lane ^ bits;
    return sim_shuffle(mask, value, (source | (width - 1)) > (lane | (width - 1)) ? lane : source);
}
template <class T> static inline T __shfl_down_sync(u32 mask, T value, int delta, int width = 32) {
    const int lane = int(sim_lane()), source = lane + delta;
    return sim_shuffle(mask, value, source > (lane | (width - 1)) ? lane : source);
}
template <class T> static inline T __shfl_up_sync(u32 mask, T value, int delta, int width = 32) {
    const int lane = int(sim_lane()), source = lane - delta;
    return sim_shuffle(mask, value, source < (lane & ~(width - 1)) ? lane : source);
}
static inline u32 __ballot_sync(u32 mask, int predicate) {
    SimShuffle lane = {predicate != 0, 0, 0};
    sim_collective(sim_exchange_ballot, mask, &lane);
    return lane.out;
}
static inline int __any_sync(u32 mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static inline int __all_sync(u32 mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
static inline int __popc(u32 x) { return __builtin_popcount(x); }

// ---- arithmetic --------------------------------------------------------------------------------------------------------

static inline float fused_multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
static inline u32 multiply_high(u32 a, u32 b) { return u32((u64(a) * b) >> 32); }
static inline u32 bits_of(float x) {
    u32 bits;
    memcpy(&bits, &x, 4);
    return bits;
}
static inline float float_of(u32 bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static inline float exp2_fast(float x) { return exp2f(x); }
static inline float log2_fast(float x) { return log2f(x); }
static inline float sine_fast(float x) { return sinf(x); }
static inline float cosine_fast(float x) { return cosf(x); }
static inline float square_root(float x) { return sqrtf(x); }
static inline double square_root(double x) { return sqrt(x); }
static inline float reciprocal_root(float x) { return 1.0f / sqrtf(x); }
static inline float divide(float a, float b) { return a / b; }

// ---- tensor cores ------------------------------------------------------------------------------------------------------

static inline bool sim_is_finite(u32 bits) { return (bits & 0x7f800000u) != 0x7f800000u; }
static inline u32 to_tf32(float x) {
    const u32 bits = bits_of(x);
    return (sim_is_finite(bits) ? bits + 0x1000u : bits) & 0xffffe000u;
}
static inline u32 sim_to_bf16(float x) {
    const u32 bits = bits_of(x);
    if (!sim_is_finite(bits)) return (bits & 0x007fffffu) ? 0x7fffu : bits >> 16;
    return (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
}
static inline u32 to_bf16x2(float low, float high) { return sim_to_bf16(low) | sim_to_bf16(high) << 16; }

// One lane's fragments of d += a b.
struct SimMultiply { float* d; const u32 *a, *b; };
static inline void multiply_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    SimMultiply lane = {d, a, b};
    sim_collective(sim_exchange_tf32, 0xffffffffu, &lane);
}
static inline void multiply_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    SimMultiply lane = {d, a, b};
    sim_collective(sim_exchange_bf16, 0xffffffffu, &lane);
}
// One lane's part of loading `count` matrices.
struct SimMatrices { u32* out; const void* row; int count; bool transposed; };
static inline void sim_load_matrices(u32* out, const void* row, int count, bool transposed) {
    SimMatrices lane = {out, row, count, transposed};
    sim_collective(sim_exchange_matrices, 0xffffffffu, &lane);
}
static inline void load_matrix_x4(u32 (&r)[4], const void* row) { sim_load_matrices(r, row, 4, false); }
static inline void load_matrix_x2(u32 (&r)[2], const void* row) { sim_load_matrices(r, row, 2, false); }
static inline void load_matrix_x4_transposed(u32 (&r)[4], const void* row) { sim_load_matrices(r, row, 4, true); }
static inline void load_matrix_x2_transposed(u32 (&r)[2], const void* row) { sim_load_matrices(r, row, 2, true); }

// ---- asynchronous copies -----------------------------------------------------------------------------------------------

template <int BYTES> static inline void copy_async(void* shared, const void* global, u32 valid) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "cp.async copies 4, 8 or 16 bytes");
    sim_copy_async(shared, global, BYTES, valid);
}
static inline void copy_async_commit() { sim_copy_async_commit(); }
template <int N>
static inline void copy_async_wait(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    sim_copy_async_wait(N, file, line);
}
