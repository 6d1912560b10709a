// What the lanes of a warp exchange: shuffles, ballots, matrix products, matrices loaded from shared memory.
#include "block.h"

using namespace sim;

// A NaN that no computation makes: what a lane gets from one that did not take part.
static const u32 NOBODY = 0x7fc0dead;

template <class Work> static void each_lane(u32 mask, Work work) {
    for (u32 lane = 0; lane < WARP; lane++)
        if (mask >> lane & 1) work(lane);
}

extern "C" void sim_exchange_shuffle(void** lanes, u32 mask) {
    each_lane(mask, [&](u32 lane) {
        SimShuffle& mine = *static_cast<SimShuffle*>(lanes[lane]);
        const bool present = mine.source >= 0 && mine.source < int(WARP) && (mask >> mine.source & 1);
        mine.out = present ? static_cast<SimShuffle*>(lanes[mine.source])->in : NOBODY;
    });
}

extern "C" void sim_exchange_ballot(void** lanes, u32 mask) {
    u32 votes = 0;
    each_lane(mask, [&](u32 lane) { votes |= static_cast<SimShuffle*>(lanes[lane])->in << lane; });
    each_lane(mask, [&](u32 lane) { static_cast<SimShuffle*>(lanes[lane])->out = votes; });
}

static void need_all_lanes(u32 mask, const char* what) {
    if (mask != ~0u) fail("%s needs all 32 lanes of a warp, found %08x", what, mask);
}

static float tf32(u32 bits) { return float_of(bits & 0xffffe000u); }
static float bf16(u32 pair, u32 half) { return float_of(half ? pair & 0xffff0000u : pair << 16); }

// d [16, 8] += a [16, K] b [K, 8], with d spread over the lanes as the instruction spreads it.
template <int K> static void multiply(void** lanes, const float (&a)[16][K], const float (&b)[K][8]) {
    each_lane(~0u, [&](u32 lane) {
        float* d = static_cast<SimMultiply*>(lanes[lane])->d;
        const u32 group = lane / 4, column = lane % 4 * 2;
        for (u32 i = 0; i < 4; i++)
            for (int k = 0; k < K; k++) d[i] += a[group + i / 2 * 8][k] * b[k][column + i % 2];
    });
}

extern "C" void sim_exchange_tf32(void** lanes, u32 mask) {
    need_all_lanes(mask, "a matrix product");
    float a[16][8], b[8][8];
    each_lane(mask, [&](u32 lane) {
        const SimMultiply& mine = *static_cast<SimMultiply*>(lanes[lane]);
        const u32 g = lane / 4, t = lane % 4;
        for (u32 i = 0; i < 4; i++) a[g + i % 2 * 8][t + i / 2 * 4] = tf32(mine.a[i]);
        for (u32 i = 0; i < 2; i++) b[t + i * 4][g] = tf32(mine.b[i]);
    });
    multiply(lanes, a, b);
}

extern "C" void sim_exchange_bf16(void** lanes, u32 mask) {
    need_all_lanes(mask, "a matrix product");
    float a[16][16], b[16][8];
    each_lane(mask, [&](u32 lane) {
        const SimMultiply& mine = *static_cast<SimMultiply*>(lanes[lane]);
        const u32 g = lane / 4, t = lane % 4;
        for (u32 half = 0; half < 2; half++) {
            for (u32 i = 0; i < 4; i++) a[g + i % 2 * 8][2 * t + i / 2 * 8 + half] = bf16(mine.a[i], half);
            for (u32 i = 0; i < 2; i++) b[2 * t + i * 8 + half][g] = bf16(mine.b[i], half);
        }
    });
    multiply(lanes, a, b);
}

// Checks the 16-byte row that a lane names, as an access of that lane.
static void check_row(const void* row, u32 lane) {
    if (reinterpret_cast<uintptr_t>(row) % 16) fail("ldmatrix: the row of lane %u does not start on 16 bytes", lane);
    if (!is_shared(row, 16)) fail("ldmatrix: the row of lane %u lies outside shared memory", lane);
    if (!block.options.race) return;
    const u32 me = block.current;
    block.current = me / WARP * WARP + lane;
    check_access(row, 16, false, nullptr);
    block.current = me;
}

extern "C" void sim_exchange_matrices(void** lanes, u32 mask) {
    need_all_lanes(mask, "ldmatrix");
    const SimMatrices& first = *static_cast<SimMatrices*>(lanes[0]);
    u16 matrices[4][8][8];
    for (u32 lane = 0; lane < u32(first.count) * 8; lane++) {
        const void* row = static_cast<SimMatrices*>(lanes[lane])->row;
        check_row(row, lane);
        memcpy(matrices[lane / 8][lane % 8], row, 16);
    }
    each_lane(mask, [&](u32 lane) {
        const SimMatrices& mine = *static_cast<SimMatrices*>(lanes[lane]);
        const u32 g = lane / 4, t = lane % 4 * 2;
        for (int i = 0; i < first.count; i++) {
            const u16 low = first.transposed ? matrices[i][t][g] : matrices[i][g][t];
            const u16 high = first.transposed ? matrices[i][t + 1][g] : matrices[i][g][t + 1];
            mine.out[i] = low | u32(high) << 16;
        }
    });
}
