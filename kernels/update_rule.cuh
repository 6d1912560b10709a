// What an optimiser does to one parameter, shared by the kernels that update in place.
#pragma once
#include "dims.cuh"

enum { ADAM, RMS_PROP };

// The rule of one step: constants of the optimiser, learning rate and corrections of the step.
struct UpdateRule {
    float a, b, epsilon;  // Adam: beta1, beta2; RMSProp: decay, unused
    float rate;           // learning rate; Adam: over 1 - beta1^t
    float scale;          // Adam: 1 / (1 - beta2^t)
};

template <int OPTIMIZER> DEVICE UpdateRule update_rule(Optimizer optimizer, const float* scalars) {
    const float learning_rate = scalars[SCALAR_LEARNING_RATE];
    if (OPTIMIZER == RMS_PROP) return {optimizer.a, optimizer.b, optimizer.epsilon, learning_rate, 1.0f};
    return {optimizer.a, optimizer.b, optimizer.epsilon, divide(learning_rate, scalars[SCALAR_CORRECTION1]),
            divide(1.0f, scalars[SCALAR_CORRECTION2])};
}

// Adam (Kingma & Ba 2015, algorithm 1): m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
// w -= rate m / (sqrt(scale v) + epsilon). RMSProp (Tieleman & Hinton 2012), epsilon inside the root, m unused:
// v = decay v + (1 - decay) g^2, w -= rate g / sqrt(v + epsilon).
template <int OPTIMIZER> DEVICE void update_parameter(UpdateRule rule, float g, float& w, float& m, float& v) {
    if (OPTIMIZER == RMS_PROP) {
        v = fused_multiply_add(rule.a, v, (1.0f - rule.a) * (g * g));
        w -= divide(rule.rate * g, square_root(v + rule.epsilon));
        return;
    }
    m = fused_multiply_add(rule.a, m, (1.0f - rule.a) * g);
    v = fused_multiply_add(rule.b, v, (1.0f - rule.b) * (g * g));
    w -= divide(rule.rate * m, square_root(v * rule.scale) + rule.epsilon);
}
