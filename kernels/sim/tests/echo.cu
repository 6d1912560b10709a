// Kernels that write the fields of their dims one after another (tests/kernels/dims.rs): both sides must mean the same bytes.
#include "dims.cuh"

DEVICE u32 word(u32 x) { return x; }
DEVICE u32 word(float x) { return bits_of(x); }

static_assert(sizeof(LinearDims) == 24, "as in src/call");
extern "C" __global__ void echo_linear_dims(LinearDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.rows);
    out[2] = word(d.inputs);
    out[3] = word(d.outputs);
    out[4] = word(d.shared_input);
    out[5] = word(d.bias);
}

static_assert(sizeof(Conv2dDims) == 52, "as in src/call");
extern "C" __global__ void echo_conv2d_dims(Conv2dDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.batch);
    out[2] = word(d.channels);
    out[3] = word(d.height);
    out[4] = word(d.width);
    out[5] = word(d.outputs);
    out[6] = word(d.kernel);
    out[7] = word(d.stride);
    out[8] = word(d.pad);
    out[9] = word(d.out_height);
    out[10] = word(d.out_width);
    out[11] = word(d.shared_input);
    out[12] = word(d.bias);
}

static_assert(sizeof(Pool2dDims) == 28, "as in src/call");
extern "C" __global__ void echo_pool2d_dims(Pool2dDims d, u32* out) {
    out[0] = word(d.images);
    out[1] = word(d.height);
    out[2] = word(d.width);
    out[3] = word(d.kernel);
    out[4] = word(d.stride);
    out[5] = word(d.out_height);
    out[6] = word(d.out_width);
}

static_assert(sizeof(NormDims) == 32, "as in src/call");
extern "C" __global__ void echo_norm_dims(NormDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.batch);
    out[2] = word(d.channels);
    out[3] = word(d.inner);
    out[4] = word(d.per_image);
    out[5] = word(d.shared);
    out[6] = word(d.relu);
    out[7] = word(d.epsilon);
}

static_assert(sizeof(ShortcutDims) == 20, "as in src/call");
extern "C" __global__ void echo_shortcut_dims(ShortcutDims d, u32* out) {
    out[0] = word(d.images);
    out[1] = word(d.channels);
    out[2] = word(d.narrow);
    out[3] = word(d.before);
    out[4] = word(d.inner);
}

static_assert(sizeof(SoftmaxDims) == 12, "as in src/call");
extern "C" __global__ void echo_softmax_dims(SoftmaxDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.rows);
    out[2] = word(d.classes);
}

static_assert(sizeof(NoiseDims) == 16, "as in src/call");
extern "C" __global__ void echo_noise_dims(NoiseDims d, u32* out) {
    out[0] = word(d.elements);
    out[1] = word(d.stream);
    out[2] = word(d.scale);
    out[3] = word(d.shift);
}

static_assert(sizeof(OneHotDims) == 12, "as in src/call");
extern "C" __global__ void echo_one_hot_dims(OneHotDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.conditions);
    out[2] = word(d.noise);
}

static_assert(sizeof(PairwiseDims) == 24, "as in src/call");
extern "C" __global__ void echo_pairwise_dims(PairwiseDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.weights);
    out[2] = word(d.first);
    out[3] = word(d.total);
    out[4] = word(d.stream);
    out[5] = word(d.prior_scale);
}

static_assert(sizeof(NearestDims) == 12, "as in src/call");
extern "C" __global__ void echo_nearest_dims(NearestDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.parts);
    out[2] = word(d.total);
}

static_assert(sizeof(SampleDims) == 8, "as in src/call");
extern "C" __global__ void echo_sample_dims(SampleDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.inner);
}

static_assert(sizeof(BiasDims) == 16, "as in src/call");
extern "C" __global__ void echo_bias_dims(BiasDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.rows);
    out[2] = word(d.channels);
    out[3] = word(d.inner);
}

static_assert(sizeof(SubsetDims) == 24, "as in src/call");
extern "C" __global__ void echo_subset_dims(SubsetDims d, u32* out) {
    out[0] = word(d.samples);
    out[1] = word(d.chosen);
    out[2] = word(d.weights);
    out[3] = word(d.first);
    out[4] = word(d.total);
    out[5] = word(d.stream);
}

static_assert(sizeof(DropoutDims) == 12, "as in src/call");
extern "C" __global__ void echo_dropout_dims(DropoutDims d, u32* out) {
    out[0] = word(d.elements);
    out[1] = word(d.stream);
    out[2] = word(d.keep);
}

static_assert(sizeof(GatherDims) == 28, "as in src/call");
extern "C" __global__ void echo_gather_dims(GatherDims d, u32* out) {
    out[0] = word(d.images);
    out[1] = word(d.members);
    out[2] = word(d.batch);
    out[3] = word(d.pixels);
    out[4] = word(d.steps_per_epoch);
    out[5] = word(d.shuffle);
    out[6] = word(d.stream);
}

static_assert(sizeof(AugmentDims) == 40, "as in src/call");
extern "C" __global__ void echo_augment_dims(AugmentDims d, u32* out) {
    out[0] = word(d.batch);
    out[1] = word(d.channels);
    out[2] = word(d.height);
    out[3] = word(d.width);
    out[4] = word(d.side);
    out[5] = word(d.pad);
    out[6] = word(d.random);
    out[7] = word(d.stream);
    out[8] = word(d.contrast_low);
    out[9] = word(d.contrast_width);
}

static_assert(sizeof(Schedule) == 32, "as in src/call");
extern "C" __global__ void echo_schedule(Schedule d, u32* out) {
    out[0] = word(d.learning_rate);
    out[1] = word(d.warmup_steps);
    out[2] = word(d.decay_steps);
    out[3] = word(d.final_fraction);
    out[4] = word(d.anneal_start_step);
    out[5] = word(d.anneal_length_steps);
    out[6] = word(d.beta1);
    out[7] = word(d.beta2);
}

static_assert(sizeof(ScalarProgram) == 16 + 24 * MOST_STEPS, "as in src/call");
extern "C" __global__ void echo_scalar_program(ScalarProgram d, u32* out) {
    out[0] = word(d.steps);
    out[1] = word(d.reads);
    out[2] = word(d.writes);
    out[3] = word(d.added);
    for (u32 i = 0; i < MOST_STEPS; i++) {
        u32* step = out + 4 + 6 * i;
        step[0] = word(d.step[i].code);
        step[1] = word(d.step[i].factor);
        step[2] = word(d.step[i].a);
        step[3] = word(d.step[i].b);
        step[4] = word(d.step[i].y);
        step[5] = word(d.step[i].add);
    }
}
