// Masked RealNVP steps of many short vectors: masks drawn by the counter, gates, log-determinants. A thread handles four
// neighbouring elements of one sample, those of a counter.
#include "fours.cuh"
#include "group.cuh"
#include "sums.cuh"

// Tables of parts, by value: src/backend/cuda/coupling.rs. `len` elements in each sample, `fours` fours over all samples.
struct MaskedPart {
    const float* z;
    float* y;
    u32 len, fours, stream, add, first_block, unused;
};
struct MaskedParts { MaskedPart parts[MOST_PARTS]; };
struct CoupledPart {
    const float* z;
    const float* mean;
    const float* gate;
    float* y;
    u32 len, fours, stream, first_block;
};
struct CoupledParts { CoupledPart parts[MOST_PARTS]; };
struct GatePart {
    const float* gate;
    u32 len, elements, stream, unused;
};
struct GateParts { GatePart parts[MOST_PARTS]; };
struct CoupledGradPart {
    const float* z;
    const float* mean;
    const float* gate;
    const float* dy;
    float* dz;
    float* dmean;
    float* dgate;
    u32 len, fours, stream, add_z, add_mean, add_gate, first_block, unused;
};
struct CoupledGradParts { CoupledGradPart parts[MOST_PARTS]; };

enum { COUPLED_THREADS = 128 };

// A four of a part: the first element of its sample, and its own first element there.
struct Four {
    u64 row;
    u32 first;
};

template <class Part> DEVICE Four four_of(const Part& part, u32 index) {
    const u32 fours = divide_up(part.len, 4);
    return {(u64)(index / fours) * part.len, 4 * (index % fours)};
}

// Whether the mask keeps an element: the highest bit of its random word is 0.
DEVICE bool keeps(u32 bits) { return bits >> 31 == 0; }

// log sigmoid(x)
DEVICE double log_sigmoid(float x) {
    return (double)minimum(x, 0.0f) - logarithm(1.0f + exponential(x < 0.0f ? x : -x));
}

// m z
extern "C" __global__ void __launch_bounds__(COUPLED_THREADS) coupling_mask(u32 count, In<u32> words, MaskedParts table) {
    const MaskedPart part = table.parts[part_of_block(table.parts, count)];
    const u32 index = (blockIdx.x - part.first_block) * COUPLED_THREADS + threadIdx.x;
    if (index < part.fours) {
        const uint4 bits = stream_bits(stream_of_words(words.data, part.stream), index);
        const Four at = four_of(part, index);
        const float4 z = load_four(part.z + at.row, at.first, part.len);
        const float4 y = make_float4(keeps(bits.x) ? z.x : 0.0f, keeps(bits.y) ? z.y : 0.0f, keeps(bits.z) ? z.z : 0.0f,
                                     keeps(bits.w) ? z.w : 0.0f);
        store_four(part.y + at.row, at.first, part.len, part.add, y);
    }
}

DEVICE float coupled(u32 bits, float z, float mean, float gate) {
    return keeps(bits) ? z : fused_multiply_add(sigmoid(gate), z - mean, mean);
}

// z where kept, else s z + (1 - s) mean
extern "C" __global__ void __launch_bounds__(COUPLED_THREADS) coupling(u32 count, In<u32> words, CoupledParts table) {
    const CoupledPart part = table.parts[part_of_block(table.parts, count)];
    const u32 index = (blockIdx.x - part.first_block) * COUPLED_THREADS + threadIdx.x;
    if (index < part.fours) {
        const uint4 bits = stream_bits(stream_of_words(words.data, part.stream), index);
        const Four at = four_of(part, index);
        const float4 z = load_four(part.z + at.row, at.first, part.len);
        const float4 mean = load_four(part.mean + at.row, at.first, part.len);
        const float4 gate = load_four(part.gate + at.row, at.first, part.len);
        const float4 y = make_float4(coupled(bits.x, z.x, mean.x, gate.x), coupled(bits.y, z.y, mean.y, gate.y),
                                     coupled(bits.z, z.z, mean.z, gate.z), coupled(bits.w, z.w, mean.w, gate.w));
        store_four(part.y + at.row, at.first, part.len, 0, y);
    }
}

// Partial sums of log s where not kept. blockIdx.y: part; blocks behind the end of theirs sum nothing.
extern "C" __global__ void __launch_bounds__(SUM_THREADS)
    coupling_log_determinant_partials(u32 per_block, In<u32> words, GateParts table, double* partials) {
    const GatePart& part = table.parts[blockIdx.y];
    const Stream stream = stream_of_words(words.data, part.stream);
    partial_sums(part.elements, per_block, partials + (u64)blockIdx.y * gridDim.x, [&](u32 i) {
        const u32 sample = i / part.len, at = i % part.len;
        const uint4 bits = stream_bits(stream, sample * divide_up(part.len, 4) + at / 4);
        const u32 lane = at % 4, word = lane == 0 ? bits.x : lane == 1 ? bits.y : lane == 2 ? bits.z : bits.w;
        return keeps(word) ? 0.0 : log_sigmoid(part.gate[i]);
    });
}

// dz, dmean and dgate of one element.
struct Gradients {
    float z, mean, gate;
};

DEVICE Gradients coupled_gradients(u32 bits, float z, float mean, float gate, float dy, float d) {
    if (keeps(bits)) return {dy, 0.0f, 0.0f};
    const float s = sigmoid(gate), open = 1.0f - s;
    return {s * dy, open * dy, open * fused_multiply_add(dy * s, z - mean, d)};
}

// Where kept: dz = dy. Elsewhere dz = s dy, dmean = (1 - s) dy, dgate = (dy (z - mean) s + d log determinant) (1 - s).
extern "C" __global__ void __launch_bounds__(COUPLED_THREADS)
    coupling_grad(u32 count, In<u32> words, In<float> dlog_determinant, CoupledGradParts table) {
    const CoupledGradPart part = table.parts[part_of_block(table.parts, count)];
    const u32 index = (blockIdx.x - part.first_block) * COUPLED_THREADS + threadIdx.x;
    if (index < part.fours) {
        const uint4 bits = stream_bits(stream_of_words(words.data, part.stream), index);
        const Four at = four_of(part, index);
        const float4 z = load_four(part.z + at.row, at.first, part.len);
        const float4 mean = load_four(part.mean + at.row, at.first, part.len);
        const float4 gate = load_four(part.gate + at.row, at.first, part.len);
        const float4 dy = load_four(part.dy + at.row, at.first, part.len);
        const float d = dlog_determinant.data[0];
        const Gradients x = coupled_gradients(bits.x, z.x, mean.x, gate.x, dy.x, d);
        const Gradients y = coupled_gradients(bits.y, z.y, mean.y, gate.y, dy.y, d);
        const Gradients u = coupled_gradients(bits.z, z.z, mean.z, gate.z, dy.z, d);
        const Gradients v = coupled_gradients(bits.w, z.w, mean.w, gate.w, dy.w, d);
        store_four(part.dz + at.row, at.first, part.len, part.add_z, make_float4(x.z, y.z, u.z, v.z));
        store_four(part.dmean + at.row, at.first, part.len, part.add_mean, make_float4(x.mean, y.mean, u.mean, v.mean));
        store_four(part.dgate + at.row, at.first, part.len, part.add_gate, make_float4(x.gate, y.gate, u.gate, v.gate));
    }
}
