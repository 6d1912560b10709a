//! conv2d_pool: convolution, bias, 2x2 max pool and ReLU in one call, so that the convolution's output is never stored.
//! `plan::fuse` makes it from conv2d, relu and max pool; ReLU and max commute.

use crate::call::{Conv2dDims, Dtype, Kind, Region, Write};
use crate::graph::{Emit, Node, TensorId};

pub(super) fn forward(e: &mut Emit, node: &Node, d: &Conv2dDims) {
    let reads = e.values(&node.inputs);
    let (y, argmax) = (e.value(node.outputs[0]), e.value(node.outputs[1]));
    e.call(Kind::Conv2dPoolForward(*d), &reads, &[(y, Write::Set), (argmax, Write::Set)]);
}

/// The gradient of a pooled element goes to the winner of its window, or nowhere when the ReLU is closed.
pub(super) fn backward(e: &mut Emit, node: &Node, d: &Conv2dDims) {
    let (x, w, b) = (node.inputs[0], node.inputs[1], node.inputs[2]);
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    let (x_value, w_value, argmax) = (e.value(x), e.value(w), e.value(node.outputs[1]));
    if e.wants(w) || e.wants(b) {
        let (dw, db) = (target_or_scratch(e, w), target_or_scratch(e, b));
        let partials = e.scratch(&format!("partials.{}", node.name), Dtype::Real, d.grad_weight_partials());
        e.call(Kind::Conv2dPoolGradWeight(*d), &[x_value, dy, argmax], &[dw, db, (partials, Write::Set)]);
    }
    if e.wants(x) {
        let dx = e.gradient_target(x);
        e.call(Kind::Conv2dPoolGradInput(*d), &[dy, argmax, w_value], &[dx]);
    }
}

/// Where the gradient of a tensor goes: scratch for one that wants none, since the kernel writes both.
fn target_or_scratch(e: &mut Emit, tensor: TensorId) -> (Region, Write) {
    if e.wants(tensor) {
        return e.gradient_target(tensor);
    }
    let value = e.value(tensor);
    let scratch = e.scratch(&format!("unused.d.{}", e.graph.name(tensor)), Dtype::Real, value.elements());
    (Region { count: value.count, len: value.len, stride: value.len, ..scratch }, Write::Set)
}
