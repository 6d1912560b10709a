// Arithmetic of single elements, many steps in one launch.
#include "dims.cuh"

struct ScalarPlaces { float* place[2 * MOST_STEPS]; };

DEVICE float evaluate(const ScalarStep& step, float a, float b) {
    switch (step.code) {
        case SCALAR_FILL: return step.factor;
        case SCALAR_SCALE: return step.factor * a;
        case SCALAR_SCALE_BY_SCALAR: return step.factor * b * a;
        case SCALAR_ADD: return fused_multiply_add(step.factor, b, a);
        default: return a * b;
    }
}

// One warp. Lane i holds element i: those of the first half are read, those of the second written. The first lane computes.
extern "C" __global__ void __launch_bounds__(32) scalar_program(ScalarProgram program, ScalarPlaces places) {
    SHARED(float, value, [2 * MOST_STEPS]);
    const u32 lane = threadIdx.x, written = lane - MOST_STEPS;
    const bool is_written = lane >= MOST_STEPS && written < program.writes;
    if (lane < program.reads || (is_written && (program.added >> written & 1))) value[lane] = *places.place[lane];
    __syncwarp();
    if (lane == 0) {
        for (u32 i = 0; i < program.steps; i++) {
            const ScalarStep& step = program.step[i];
            const float result = evaluate(step, step.code == SCALAR_FILL ? 0.0f : value[step.a],
                                          step.code <= SCALAR_SCALE ? 0.0f : value[step.b]);
            value[step.y] = step.add ? value[step.y] + result : result;
        }
    }
    __syncwarp();
    if (is_written) *places.place[lane] = value[lane];
}
