// Normalisation of planes (s, n, c) of `inner` elements, and its gradient. A plane belongs to `lanes` neighbouring lanes of a
// warp, a power of two; statistics of a batch are those of its planes, joined by one warp for each (s, c) in a fixed order.
#include "dims.cuh"

enum { NORM_THREADS = 256 };

// The plane of this thread; `present` is false past the last one, whose lanes still take part in sums.
struct Plane {
    u32 index, lane, lanes;
    bool present;
};

DEVICE u32 planes_of(NormDims d) { return d.samples * d.batch * d.channels; }

DEVICE Plane plane_of(NormDims d, u32 lanes) {
    const u32 index = (u32)(((u64)blockIdx.x * NORM_THREADS + threadIdx.x) / lanes);
    return {index, threadIdx.x % lanes, lanes, index < planes_of(d)};
}

// Group (s, c) of a plane.
DEVICE u32 group_of(NormDims d, u32 plane) { return plane / (d.batch * d.channels) * d.channels + plane % d.channels; }

// Sum over the lanes of a plane, the same in each.
DEVICE float plane_sum(Plane plane, float x) {
    for (u32 distance = plane.lanes / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}

// Calls `body(element)` for the elements of the plane that this thread handles.
template <class Body> DEVICE void each_of_plane(NormDims d, Plane plane, Body body) {
    if (!plane.present) return;
    const u64 first = (u64)plane.index * d.inner;
    for (u32 i = plane.lane; i < d.inner; i += plane.lanes) body(first + i);
}

// Mean and sum of squared deviations of a plane.
struct Moments {
    float mean, squares;
};
DEVICE Moments moments_of(NormDims d, Plane plane, const float* x) {
    float sum = 0.0f;
    each_of_plane(d, plane, [&](u64 i) { sum += x[i]; });
    const float mean = divide(plane_sum(plane, sum), (float)d.inner);
    float squares = 0.0f;
    each_of_plane(d, plane, [&](u64 i) { squares = fused_multiply_add(x[i] - mean, x[i] - mean, squares); });
    return {mean, plane_sum(plane, squares)};
}

// 1 / sqrt(variance + epsilon)
DEVICE float inverse_of(NormDims d, float squares, float elements) {
    return divide(1.0f, square_root(divide(squares, elements) + d.epsilon));
}

// u = inverse (x - mean), y = gamma u + beta, and ReLU.
struct Line {
    float mean, inverse, gamma, beta;
    bool relu;
    METHOD float at(float x) const { return fused_multiply_add(gamma * inverse, x - mean, beta); }
    // dz: dy where the ReLU is open.
    METHOD float open(float x, float dy) const { return relu && at(x) <= 0.0f ? 0.0f : dy; }
};

DEVICE Line line_of(NormDims d, Plane plane, In<float> gamma, In<float> beta, float mean, float inverse) {
    const u32 at = !plane.present ? 0 : d.shared ? plane.index % d.channels : group_of(d, plane.index);
    return {mean, inverse, gamma.data[at], beta.data[at], d.relu == 1};
}

// The line of a plane whose statistics are known.
DEVICE Line known_line(NormDims d, Plane plane, In<float> gamma, In<float> beta, const float* statistics) {
    const u32 groups = d.per_image ? planes_of(d) : d.samples * d.channels;
    const u32 at = !plane.present ? 0 : d.per_image ? plane.index : group_of(d, plane.index);
    return line_of(d, plane, gamma, beta, statistics[at], statistics[groups + at]);
}

DEVICE void normalise(NormDims d, Plane plane, Line line, const float* x, const Out<float>& y) {
    each_of_plane(d, plane, [&](u64 i) {
        const float z = line.at(x[i]);
        y.put(y.data + i, line.relu && z <= 0.0f ? 0.0f : z);
    });
}

// x, gamma, beta -> y, statistics: statistics of each plane.
extern "C" __global__ void __launch_bounds__(NORM_THREADS)
    norm_instance(NormDims d, u32 lanes, In<float> x, In<float> gamma, In<float> beta, Out<float> y, Out<float> statistics) {
    const Plane plane = plane_of(d, lanes);
    const Moments moments = moments_of(d, plane, x.data);
    const float inverse = inverse_of(d, moments.squares, (float)d.inner);
    normalise(d, plane, line_of(d, plane, gamma, beta, moments.mean, inverse), x.data, y);
    if (plane.present && plane.lane == 0) {
        statistics.data[plane.index] = moments.mean;
        statistics.data[planes_of(d) + plane.index] = inverse;
    }
}

// x -> means and sums of squared deviations of the planes, behind the statistics of the groups
extern "C" __global__ void __launch_bounds__(NORM_THREADS)
    norm_planes(NormDims d, u32 lanes, In<float> x, Out<float> statistics) {
    const Plane plane = plane_of(d, lanes);
    const Moments moments = moments_of(d, plane, x.data);
    float* const planes = statistics.data + 2 * d.samples * d.channels;
    if (plane.present && plane.lane == 0) {
        planes[plane.index] = moments.mean;
        planes[planes_of(d) + plane.index] = moments.squares;
    }
}

// Statistics of each (s, c) from those of its planes: the planes' squared deviations, and those of their means. A warp each.
extern "C" __global__ void __launch_bounds__(32) norm_join(NormDims d, Out<float> statistics) {
    const u32 channel = blockIdx.x, sample = blockIdx.y, groups = d.samples * d.channels;
    const float* const means = statistics.data + 2 * groups;
    const float* const squares = means + planes_of(d);
    const u32 first = sample * d.batch * d.channels + channel;
    float sum = 0.0f;
    for (u32 n = threadIdx.x; n < d.batch; n += 32) sum += means[first + n * d.channels];
    const float mean = divide(warp_sum(sum), (float)d.batch);
    float total = 0.0f;
    for (u32 n = threadIdx.x; n < d.batch; n += 32) {
        const float apart = means[first + n * d.channels] - mean;
        total += fused_multiply_add((float)d.inner * apart, apart, squares[first + n * d.channels]);
    }
    total = warp_sum(total);
    if (threadIdx.x == 0) {
        statistics.data[sample * d.channels + channel] = mean;
        statistics.data[groups + sample * d.channels + channel] = inverse_of(d, total, (float)d.batch * (float)d.inner);
    }
}

// x, gamma, beta, known statistics -> y
extern "C" __global__ void __launch_bounds__(NORM_THREADS)
    norm_batch(NormDims d, u32 lanes, In<float> x, In<float> gamma, In<float> beta, In<float> statistics, Out<float> y) {
    const Plane plane = plane_of(d, lanes);
    normalise(d, plane, known_line(d, plane, gamma, beta, statistics.data), x.data, y);
}

// ---- gradient ----------------------------------------------------------------------------------------------------------

// Sums of dz and of dz u over a plane.
struct Slopes {
    float dz, dzu;
};
DEVICE Slopes slopes_of(NormDims d, Plane plane, Line line, const float* x, const float* dy) {
    Slopes sums = {0.0f, 0.0f};
    each_of_plane(d, plane, [&](u64 i) {
        const float dz = line.open(x[i], dy[i]);
        sums.dz += dz;
        sums.dzu = fused_multiply_add(dz, x[i] - line.mean, sums.dzu);
    });
    return {plane_sum(plane, sums.dz), plane_sum(plane, sums.dzu) * line.inverse};
}

// dx = gamma inverse (dz - mean of dz - u * mean of dz u)
DEVICE void spread(NormDims d, Plane plane, Line line, Slopes means, const float* x, const float* dy, const Out<float>& dx) {
    const float factor = line.gamma * line.inverse, tilt = line.inverse * means.dzu;
    each_of_plane(d, plane, [&](u64 i) {
        dx.put(dx.data + i, factor * (line.open(x[i], dy[i]) - means.dz - tilt * (x[i] - line.mean)));
    });
}

// Sums of each plane into `partials`.
DEVICE void keep(NormDims d, Plane plane, Slopes sums, float* partials) {
    if (!plane.present || plane.lane > 0) return;
    partials[plane.index] = sums.dz;
    partials[planes_of(d) + plane.index] = sums.dzu;
}

// x, dy, gamma, beta, statistics of each plane -> dx, partials
extern "C" __global__ void __launch_bounds__(NORM_THREADS)
    norm_grad_instance(NormDims d, u32 lanes, In<float> x, In<float> dy, In<float> gamma, In<float> beta,
                       In<float> statistics, Out<float> dx, Out<float> partials) {
    const Plane plane = plane_of(d, lanes);
    const Line line = known_line(d, plane, gamma, beta, statistics.data);
    const Slopes sums = slopes_of(d, plane, line, x.data, dy.data);
    keep(d, plane, sums, partials.data);
    const float count = (float)d.inner;
    spread(d, plane, line, {divide(sums.dz, count), divide(sums.dzu, count)}, x.data, dy.data, dx);
}

// The same without dx, which waits for the sums over the batch.
extern "C" __global__ void __launch_bounds__(NORM_THREADS)
    norm_grad_planes(NormDims d, u32 lanes, In<float> x, In<float> dy, In<float> gamma, In<float> beta,
                     In<float> statistics, Out<float> partials) {
    const Plane plane = plane_of(d, lanes);
    const Line line = known_line(d, plane, gamma, beta, statistics.data);
    keep(d, plane, slopes_of(d, plane, line, x.data, dy.data), partials.data);
}

// partials of planes -> dgamma, dbeta [S or 1, C], and behind the partials the sums of each (s, c). A warp for each of them.
extern "C" __global__ void __launch_bounds__(32)
    norm_grad_affine(NormDims d, Out<float> dgamma, Out<float> dbeta, Out<float> partials) {
    const u32 channel = blockIdx.x, groups = d.samples * d.channels, planes = planes_of(d);
    const u32 first = blockIdx.y, end = d.shared ? d.samples : first + 1;
    float* const sums = partials.data + 2 * planes;
    Slopes total = {0.0f, 0.0f};
    for (u32 sample = first; sample < end; sample++) {
        Slopes sum = {0.0f, 0.0f};
        for (u32 n = threadIdx.x; n < d.batch; n += 32) {
            const u32 plane = (sample * d.batch + n) * d.channels + channel;
            sum.dz += partials.data[plane];
            sum.dzu += partials.data[planes + plane];
        }
        sum = {warp_sum(sum.dz), warp_sum(sum.dzu)};
        total = {total.dz + sum.dz, total.dzu + sum.dzu};
        if (threadIdx.x == 0) {
            sums[sample * d.channels + channel] = sum.dz;
            sums[groups + sample * d.channels + channel] = sum.dzu;
        }
    }
    if (threadIdx.x == 0) {
        dgamma.put(dgamma.data + first * d.channels + channel, total.dzu);
        dbeta.put(dbeta.data + first * d.channels + channel, total.dz);
    }
}

// x, dy, gamma, beta, statistics, sums of each (s, c) -> dx
extern "C" __global__ void __launch_bounds__(NORM_THREADS)
    norm_grad_batch(NormDims d, u32 lanes, In<float> x, In<float> dy, In<float> gamma, In<float> beta,
                    In<float> statistics, Out<float> dx, Out<float> partials) {
    const Plane plane = plane_of(d, lanes);
    const Line line = known_line(d, plane, gamma, beta, statistics.data);
    const float* const sums = partials.data + 2 * planes_of(d);
    const u32 at = plane.present ? group_of(d, plane.index) : 0;
    const float count = (float)d.batch * (float)d.inner;
    const Slopes means = {divide(sums[at], count), divide(sums[d.samples * d.channels + at], count)};
    spread(d, plane, line, means, x.data, dy.data, dx);
}
