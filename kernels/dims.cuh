// Dims of calls: field by field as in src/call/dims.rs (tests/kernels checks sizes and offsets through an echo kernel).
#pragma once
#include "common.cuh"

struct LinearDims { u32 samples, rows, inputs, outputs, shared_input, bias; };
struct Conv2dDims {
    u32 samples, batch, channels, height, width, outputs, kernel, stride, pad, out_height, out_width, shared_input, bias;
};
struct Pool2dDims { u32 images, height, width, kernel, stride, out_height, out_width; };
struct NormDims {
    u32 samples, batch, channels, inner, per_image, shared, relu;
    float epsilon;
};
struct ShortcutDims { u32 images, channels, narrow, before, inner; };
struct SoftmaxDims { u32 samples, rows, classes; };
struct NoiseDims {
    u32 elements, stream;
    float scale, shift;
};
struct OneHotDims { u32 samples, conditions, noise; };
struct PairwiseDims {
    u32 samples, weights, first, total, stream;
    float prior_scale;
};
struct NearestDims { u32 samples, parts, total; };
struct SampleDims { u32 samples, inner; };
struct BiasDims { u32 samples, rows, channels, inner; };
struct GatherDims { u32 images, members, batch, pixels, steps_per_epoch, shuffle, stream; };
struct SubsetDims { u32 samples, chosen, weights, first, total, stream; };
struct DropoutDims { u32 elements, stream; float keep; };
struct AugmentDims {
    u32 batch, channels, height, width, side, pad, random, stream;
    float contrast_low, contrast_width;
};
struct Schedule {
    float learning_rate;
    u32 warmup_steps, decay_steps;
    float final_fraction;
    u32 anneal_start_step, anneal_length_steps;
    float beta1, beta2;
};
// src/call/function.rs: `code` 0 Adam (beta1, beta2, epsilon), 1 RMSProp (decay, unused, epsilon).
struct Optimizer {
    u32 code;
    float a, b, epsilon;
};

// src/call/scalar_program.rs
enum { MOST_STEPS = 16 };
enum { SCALAR_FILL, SCALAR_SCALE, SCALAR_SCALE_BY_SCALAR, SCALAR_ADD, SCALAR_MULTIPLY };
struct ScalarStep {
    u32 code;
    float factor;
    u32 a, b, y, add;
};
struct ScalarProgram {
    u32 steps, reads, writes, added;
    ScalarStep step[MOST_STEPS];
};

// Places in the step words, scalars and metrics: src/call/state.rs.
enum { WORD_STEP, WORD_SEED_LOW, WORD_SEED_HIGH, WORD_BATCH };
enum { SCALAR_LEARNING_RATE, SCALAR_ANNEAL, SCALAR_CORRECTION1, SCALAR_CORRECTION2 };
enum { METRIC_LOSS, METRIC_CROSS_ENTROPY, METRIC_KL, METRIC_SCALED_KL, METRIC_CORRECT, METRIC_IMAGES, METRIC_STEPS };
