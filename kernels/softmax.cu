// Softmax over classes, mixtures of softmaxes over weight samples, cross-entropy. One warp per row, lanes over classes.
//
// With p[s,n,c] = softmax(x[s,n,:])[c], the mixture of a row is m[n,c] = mean over s of p[s,n,c]. Its gradient goes through
// the share r[s,n,c] = p[s,n,c] / sum over s of p[s,n,c] that sample s has in class c.
#include "dims.cuh"

enum { ROW_WARPS = 4, XENT_WARPS = 16 };

DEVICE float minus_infinity() { return float_of(0xff800000u); }

// The row of this warp; >= rows when it has none.
DEVICE u32 warp_row() { return blockIdx.x * ROW_WARPS + threadIdx.x / 32; }

// ln sum over classes of exp(x), the same in all lanes; the sum itself (minus infinity or NaN) where no class is finite.
DEVICE float log_sum_exp(const float* x, u32 classes) {
    float greatest = minus_infinity();
    for (u32 c = threadIdx.x % 32; c < classes; c += 32) greatest = maximum(x[c], greatest);
    greatest = warp_maximum(greatest);
    const bool finite = greatest != minus_infinity();
    float sum = 0.0f;
    for (u32 c = threadIdx.x % 32; c < classes; c += 32) sum += finite ? exponential(x[c] - greatest) : x[c];
    sum = warp_sum(sum);
    return finite ? greatest + logarithm(sum) : sum;
}

// Running ln sum exp: greatest value so far, and the sum of exp(value - greatest).
struct LogSum {
    float greatest, sum;
};
DEVICE LogSum empty_log_sum() { return {minus_infinity(), 0.0f}; }
DEVICE void include(LogSum& total, float value) {
    if (value > total.greatest) {
        total.sum = total.sum * exponential(total.greatest - value) + 1.0f;
        total.greatest = value;
    } else if (value != minus_infinity()) {
        total.sum += exponential(value - total.greatest);
    }
}
// Minus infinity where nothing else was included, NaN where that was.
DEVICE float value_of(LogSum total) { return total.greatest + logarithm(total.sum); }

DEVICE const float* row_of(SoftmaxDims d, In<float> x, u32 sample, u32 row) {
    return x.data + (u64)(sample * d.rows + row) * d.classes;
}

// x [S, N, classes] -> y, probabilities
extern "C" __global__ void __launch_bounds__(ROW_WARPS * 32) softmax(SoftmaxDims d, In<float> x, Out<float> y) {
    const u32 row = warp_row();
    if (row >= d.samples * d.rows) return;
    const u64 first = (u64)row * d.classes;
    const float log_sum = log_sum_exp(x.data + first, d.classes);
    for (u32 c = threadIdx.x % 32; c < d.classes; c += 32)
        y.put(y.data + first + c, exponential(x.data[first + c] - log_sum));
}

// y, dy -> dx = y (dy - sum of y dy)
extern "C" __global__ void __launch_bounds__(ROW_WARPS * 32)
    softmax_grad(SoftmaxDims d, In<float> y, In<float> dy, Out<float> dx) {
    const u32 row = warp_row();
    if (row >= d.samples * d.rows) return;
    const u64 first = (u64)row * d.classes;
    float dot = 0.0f;
    for (u32 c = threadIdx.x % 32; c < d.classes; c += 32) dot += y.data[first + c] * dy.data[first + c];
    dot = warp_sum(dot);
    for (u32 c = threadIdx.x % 32; c < d.classes; c += 32)
        dx.put(dx.data + first + c, y.data[first + c] * (dy.data[first + c] - dot));
}

// x [S, N, classes] -> y [N, classes] = ln m
extern "C" __global__ void __launch_bounds__(ROW_WARPS * 32) log_mean_softmax(SoftmaxDims d, In<float> x, Out<float> y) {
    const u32 row = warp_row(), lane = threadIdx.x % 32;
    if (row >= d.rows) return;
    for (u32 first = 0; first < d.classes; first += 32) {
        const u32 c = first + lane;
        LogSum total = empty_log_sum();
        for (u32 sample = 0; sample < d.samples; sample++) {
            const float* logits = row_of(d, x, sample, row);
            const float log_sum = log_sum_exp(logits, d.classes);
            if (c < d.classes) include(total, logits[c] - log_sum);
        }
        if (c < d.classes) y.put(row * d.classes + c, value_of(total) - logarithm((float)d.samples));
    }
}

// x, dy [N, classes] -> dx[s,n,k] = dy[n,k] r[s,n,k] - p[s,n,k] * sum over c of dy[n,c] r[s,n,c].
// A block of one warp per row; `totals` [classes]: ln sum over samples of p, each written and read by one lane.
extern "C" __global__ void __launch_bounds__(32)
    log_mean_softmax_grad(SoftmaxDims d, In<float> x, In<float> dy, Out<float> dx) {
    DYNAMIC_SHARED(float, totals);
    const u32 row = blockIdx.x, lane = threadIdx.x;
    const float* slope = dy.data + (u64)row * d.classes;
    for (u32 first = 0; first < d.classes; first += 32) {
        const u32 c = first + lane;
        LogSum total = empty_log_sum();
        for (u32 sample = 0; sample < d.samples; sample++) {
            const float* logits = row_of(d, x, sample, row);
            const float log_sum = log_sum_exp(logits, d.classes);
            if (c < d.classes) include(total, logits[c] - log_sum);
        }
        if (c < d.classes) totals[c] = value_of(total);
    }
    for (u32 sample = 0; sample < d.samples; sample++) {
        const float* logits = row_of(d, x, sample, row);
        const float log_sum = log_sum_exp(logits, d.classes);
        float dot = 0.0f;
        for (u32 c = lane; c < d.classes; c += 32) dot += slope[c] * exponential(logits[c] - log_sum - totals[c]);
        dot = warp_sum(dot);
        float* gradient = dx.data + (u64)(sample * d.rows + row) * d.classes;
        for (u32 c = lane; c < d.classes; c += 32) {
            const float share = exponential(logits[c] - log_sum - totals[c]);
            dx.put(gradient + c, slope[c] * share - exponential(logits[c] - log_sum) * dot);
        }
    }
}

// ln sum over samples of p[s,n,class], the same in all lanes.
DEVICE float log_total(SoftmaxDims d, In<float> x, u32 row, u32 label) {
    LogSum total = empty_log_sum();
    for (u32 sample = 0; sample < d.samples; sample++) {
        const float* logits = row_of(d, x, sample, row);
        include(total, logits[label] - log_sum_exp(logits, d.classes));
    }
    return value_of(total);
}

// First class of the greatest mixture probability of a row, the same in all lanes.
DEVICE u32 predicted(SoftmaxDims d, In<float> x, u32 row) {
    const u32 lane = threadIdx.x % 32;
    float best = 0.0f;
    u32 best_class = 0;
    for (u32 first = 0; first < d.classes; first += 32) {
        float total = 0.0f;
        for (u32 sample = 0; sample < d.samples; sample++) {
            const float* logits = row_of(d, x, sample, row);
            const float log_sum = log_sum_exp(logits, d.classes);
            if (first + lane < d.classes) total += exponential(logits[first + lane] - log_sum);
        }
        if (total > best) {
            best = total;
            best_class = first + lane;
        }
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, best, distance);
        const u32 other_class = __shfl_xor_sync(0xffffffffu, best_class, distance);
        if (other > best || (other == best && other_class < best_class)) {
            best = other;
            best_class = other_class;
        }
    }
    return best > 0.0f ? best_class : 0;
}

// x [S, N, classes], labels [N], row weights [N] -> loss = -sum_n weight_n ln m[n, label_n] / sum_n weight_n, correct = sum of
// the weights of rows whose greatest m[n,:] is at the label. One block: sums in f64, warp by warp, in order.
extern "C" __global__ void __launch_bounds__(XENT_WARPS * 32, 1)
    softmax_xent(SoftmaxDims d, In<float> x, In<u32> labels, In<float> weights, Out<float> loss, Out<float> correct) {
    SHARED(double, sums, [3][XENT_WARPS]);
    const u32 warp = threadIdx.x / 32;
    const float log_samples = logarithm((float)d.samples);
    double loss_sum = 0.0, correct_sum = 0.0, weight_sum = 0.0;
    for (u32 row = warp; row < d.rows; row += XENT_WARPS) {
        const float weight = weights.data[row];
        if (weight == 0.0f) continue;
        const u32 label = labels.data[row];
        loss_sum -= (double)weight * (log_total(d, x, row, label) - log_samples);
        correct_sum += predicted(d, x, row) == label ? weight : 0.0f;
        weight_sum += weight;
    }
    if (threadIdx.x % 32 == 0) {
        sums[0][warp] = loss_sum;
        sums[1][warp] = correct_sum;
        sums[2][warp] = weight_sum;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    loss_sum = correct_sum = weight_sum = 0.0;
    for (int part = 0; part < XENT_WARPS; part++) {
        loss_sum += sums[0][part];
        correct_sum += sums[1][part];
        weight_sum += sums[2][part];
    }
    loss.put(loss.data, weight_sum == 0.0 ? 0.0f : (float)(loss_sum / weight_sum));
    correct.put(correct.data, (float)correct_sum);
}

// x, labels, row weights, dloss -> dx[s,n,k] = dloss weight_n / (sum of weights) * r[s,n,label] (p[s,n,k] - [k = label])
extern "C" __global__ void __launch_bounds__(ROW_WARPS * 32)
    softmax_xent_grad(SoftmaxDims d, In<float> x, In<u32> labels, In<float> weights, In<float> dloss, Out<float> dx) {
    const u32 row = warp_row(), lane = threadIdx.x % 32;
    if (row >= d.rows) return;
    float weight_sum = 0.0f;
    for (u32 i = lane; i < d.rows; i += 32) weight_sum += weights.data[i];
    weight_sum = warp_sum(weight_sum);
    const float weight = weights.data[row];
    const u32 label = labels.data[row];
    const float total = log_total(d, x, row, label);
    for (u32 sample = 0; sample < d.samples; sample++) {
        const float* logits = row_of(d, x, sample, row);
        const float log_sum = log_sum_exp(logits, d.classes);
        // A row without weight gives zero, whatever its padding holds.
        const float share = weight == 0.0f ? 0.0f : exponential(logits[label] - log_sum - total);
        const float factor = weight == 0.0f ? 0.0f : divide(dloss.data[0] * weight, weight_sum) * share;
        float* gradient = dx.data + (u64)(sample * d.rows + row) * d.classes;
        for (u32 c = lane; c < d.classes; c += 32)
            dx.put(gradient + c, factor * (exponential(logits[c] - log_sum) - (c == label ? 1.0f : 0.0f)));
    }
}
