// Data and step state on the device: gathering a batch, advancing the step, summing metrics.
#include "random.cuh"

// Fourth counter word of permutation keys; noise has 0 there.
enum { PERMUTATION = 1 };

// Index in the set of row `row` of a member's batch at this step; `images` or more past the end of the set.
DEVICE u32 image_of_row(GatherDims d, const u32* words, u32 member, u32 row) {
    if (!d.shuffle) {
        const u64 place = (u64)words[WORD_BATCH] * d.batch + row;
        return place < d.images ? (u32)place : d.images;
    }
    const u32 steps_done = words[WORD_STEP] > 0 ? words[WORD_STEP] - 1 : 0;
    const u32 epoch = steps_done / d.steps_per_epoch, batch = steps_done % d.steps_per_epoch;
    const u64 place = (u64)batch * d.batch + row;
    if (place >= d.images) return d.images;
    const uint4 key =
        philox4x32_10(make_uint4(epoch, d.stream, member, PERMUTATION), words[WORD_SEED_LOW], words[WORD_SEED_HIGH]);
    return permute(key.x, key.y, d.images, (u32)place);
}

// byte / 255, correctly rounded: a product with the reciprocal, and its remainder.
DEVICE float unit_interval(u32 byte) {
    const float value = (float)(int)byte, quotient = value * 0.00392156886f;
    return fused_multiply_add(fused_multiply_add(quotient, -255.0f, value), 0.00392156886f, quotient);
}

// images U8 [images, pixels], labels U8 [images], words -> x [members, N, pixels] = byte / 255, labels, row weights [members, N];
// all 0 for rows past the end of the set. A block per row; four pixels per thread where rows start on four bytes.
extern "C" __global__ void __launch_bounds__(128)
    gather_batch(GatherDims d, In<u8> images, In<u8> labels, In<u32> words, Out<float> x, Out<u32> y, Out<float> weights) {
    // In every thread: cheaper than to hand it on.
    const u32 row = blockIdx.x, image = image_of_row(d, words.data, row / d.batch, row % d.batch);
    const bool present = image < d.images;
    if (threadIdx.x == 0) {
        y.put(row, present ? (u32)labels.data[image] : 0u);
        weights.put(row, present ? 1.0f : 0.0f);
    }
    const u8* from = images.data + (u64)image * d.pixels;
    float* to = x.data + (u64)row * d.pixels;
    const bool wide = d.pixels % 4 == 0 && (u64)images.data % 4 == 0 && (u64)x.data % 16 == 0;
    if (wide) {
        for (u32 i = threadIdx.x; i < d.pixels / 4; i += 128) {
            const u32 four = present ? ((const u32*)from)[i] : 0;
            ((float4*)to)[i] = make_float4(unit_interval(four & 255), unit_interval(four >> 8 & 255),
                                           unit_interval(four >> 16 & 255), unit_interval(four >> 24));
        }
    } else {
        for (u32 i = threadIdx.x; i < d.pixels; i += 128) to[i] = unit_interval(present ? from[i] : 0);
    }
}

// ---- the step --------------------------------------------------------------------------------------------------------------

// sin(x) for |x| <= pi / 2: the series up to x^21, its next term below 2e-18.
DEVICE double sine_series(double x) {
    const double square = x * x;
    double sum = 1.0;
#pragma unroll
    for (int term = 20; term >= 2; term -= 2) sum = 1.0 - square * (1.0 / (term * (term + 1))) * sum;
    return x * sum;
}

// base^exponent of two bases by squaring: neither waits for the other.
struct Powers {
    double a, b;
};
DEVICE Powers powers(Powers base, u32 exponent) {
    Powers result = {1.0, 1.0};
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2) result = {result.a * base.a, result.b * base.b};
        base = {base.a * base.a, base.b * base.b};
    }
    return result;
}

// Linear warm-up, then constant or half a cosine (src/call/schedule.rs).
DEVICE double learning_rate_at(Schedule schedule, u32 step) {
    const double rate = schedule.learning_rate;
    if (step < schedule.warmup_steps) return rate * step / schedule.warmup_steps;
    if (schedule.decay_steps == 0) return rate;
    const u32 length = schedule.decay_steps > schedule.warmup_steps ? schedule.decay_steps - schedule.warmup_steps : 1;
    const double progress = minimum((double)(step - schedule.warmup_steps) / length, 1.0);
    const double last = schedule.final_fraction;
    // cos(pi p) = -sin(pi (p - 1/2))
    return rate * (last + (1.0 - last) * 0.5 * (1.0 - sine_series(3.14159265358979324 * (progress - 0.5))));
}

DEVICE double anneal_at(Schedule schedule, u32 step) {
    if (schedule.anneal_length_steps == 0) return step > schedule.anneal_start_step ? 1.0 : 0.0;
    const u32 since = step > schedule.anneal_start_step ? step - schedule.anneal_start_step : 0;
    return minimum((double)since / schedule.anneal_length_steps, 1.0);
}

// -> words (step + 1), scalars of the new step. One thread.
extern "C" __global__ void __launch_bounds__(32) advance_step(Schedule schedule, Out<u32> words, Out<float> scalars) {
    if (threadIdx.x > 0) return;
    const u32 before = words.data[WORD_STEP], step = before == 0xffffffffu ? before : before + 1;
    words.data[WORD_STEP] = step;
    scalars.data[SCALAR_LEARNING_RATE] = (float)learning_rate_at(schedule, step);
    scalars.data[SCALAR_ANNEAL] = (float)anneal_at(schedule, step);
    const Powers beta = powers({schedule.beta1, schedule.beta2}, step);
    scalars.data[SCALAR_CORRECTION1] = (float)(1.0 - beta.a);
    scalars.data[SCALAR_CORRECTION2] = (float)(1.0 - beta.b);
}

// loss, cross-entropy, kl, scaled kl, correct (1 element each), row weights [N] -> metrics, added. One warp.
extern "C" __global__ void __launch_bounds__(32)
    accumulate_metrics(u32 rows, In<float> loss, In<float> cross_entropy, In<float> kl, In<float> scaled_kl,
                       In<float> correct, In<float> weights, Out<double> metrics) {
    double images = 0.0;
    for (u32 row = threadIdx.x; row < rows; row += 32) images += weights.data[row];
    images = warp_sum(images);
    if (threadIdx.x > 0) return;
    metrics.data[METRIC_LOSS] += loss.data[0];
    metrics.data[METRIC_CROSS_ENTROPY] += cross_entropy.data[0];
    metrics.data[METRIC_KL] += kl.data[0];
    metrics.data[METRIC_SCALED_KL] += scaled_kl.data[0];
    metrics.data[METRIC_CORRECT] += correct.data[0];
    metrics.data[METRIC_IMAGES] += images;
    metrics.data[METRIC_STEPS] += 1.0;
}
