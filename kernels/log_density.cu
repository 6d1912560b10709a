// Log densities of many vectors under independent Gaussians.
#include "group.cuh"
#include "sums.cuh"

// Tables of parts, by value: src/backend/cuda/log_density.rs.
struct DensePart {
    const float* z;
    const float* mean;
    const float* log_variance;
    u32 elements, unused;
};
struct DenseParts { DensePart parts[MOST_PARTS]; };
struct DenseGradPart {
    const float* z;
    const float* mean;
    const float* log_variance;
    float* dz;
    float* dmean;
    float* dlog_variance;
    u32 elements, add_z, add_mean, add_log_variance, first_block, unused;
};
struct DenseGradParts { DenseGradPart parts[MOST_PARTS]; };

enum { DENSITY_THREADS = 128 };

// Partial sums of -(ln 2 pi + v + (z - mean)^2 e^-v) / 2. blockIdx.y: part; blocks behind the end of theirs sum nothing.
extern "C" __global__ void __launch_bounds__(SUM_THREADS)
    log_density_partials(u32 per_block, DenseParts table, double* partials) {
    const DensePart& part = table.parts[blockIdx.y];
    partial_sums(part.elements, per_block, partials + (u64)blockIdx.y * gridDim.x, [&](u32 i) {
        const double distance = (double)part.z[i] - part.mean[i], v = part.log_variance[i];
        const double precision = exponential(-part.log_variance[i]);
        return -0.5 * (1.8378770664093453 + v + distance * distance * precision);
    });
}

// With u = (z - mean) e^-v: dz = -d u, dmean = d u, dv = d ((z - mean) u - 1) / 2
extern "C" __global__ void __launch_bounds__(DENSITY_THREADS)
    log_density_grad(u32 count, In<float> d, DenseGradParts table) {
    const DenseGradPart part = table.parts[part_of_block(table.parts, count)];
    const u32 i = (blockIdx.x - part.first_block) * DENSITY_THREADS + threadIdx.x;
    if (i < part.elements) {
        const float distance = part.z[i] - part.mean[i], u = distance * exponential(-part.log_variance[i]);
        const float du = d.data[0] * u, dv = 0.5f * d.data[0] * fused_multiply_add(distance, u, -1.0f);
        part.dz[i] = part.add_z ? part.dz[i] - du : -du;
        part.dmean[i] = part.add_mean ? part.dmean[i] + du : du;
        part.dlog_variance[i] = part.add_log_variance ? part.dlog_variance[i] + dv : dv;
    }
}
