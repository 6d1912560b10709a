//! Softmax, the log of its mean over samples, and the cross-entropy of that mean.

use super::{axes, mismatch};
use crate::Result;
use crate::call::{Dtype, Kind, SoftmaxDims, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// Logits x [S, N, I = classes] -> probabilities of the same shape.
///
/// # Errors
/// When x has other axes.
pub fn softmax(g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
    let dims = infer(g, "softmax", name, x)?;
    let shape = g.shape(x).clone();
    Ok(g.node(Op::Softmax(dims), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

/// Logits x [S, N, I] -> log (1/S sum_s softmax(x_s)) [S = 1, N, I], computed as a log-sum-exp over samples.
///
/// # Errors
/// When x has other axes.
pub fn log_mean_softmax(g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
    let dims = infer(g, "log_mean_softmax", name, x)?;
    let shape = g.shape(x).with_samples(1);
    Ok(g.node(Op::LogMeanSoftmax(dims), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

/// Cross-entropy of the mean prediction: logits x [S, N, I], labels U32 [N], row weights [N] ->
/// (loss, correct predictions), one element each. For S = 1 the ordinary softmax cross-entropy.
///
/// # Errors
/// When sizes do not fit.
pub fn softmax_xent(
    g: &mut Graph,
    name: &str,
    x: TensorId,
    labels: TensorId,
    weights: TensorId,
) -> Result<(TensorId, TensorId)> {
    let dims = infer(g, "softmax_xent", name, x)?;
    for (argument, tensor) in [("labels", labels), ("row weights", weights)] {
        if g.shape(tensor).elements() != dims.rows as usize {
            return Err(mismatch(g, "softmax_xent", name, argument, tensor, &format!("[N={}]", dims.rows)));
        }
    }
    let outputs = [("", Shape::scalar(), Dtype::Real), (".correct", Shape::scalar(), Dtype::Real)];
    let y = g.node(Op::SoftmaxXent(dims), name, &[x, labels, weights], &outputs)?;
    Ok((y[0], y[1]))
}

fn infer(g: &Graph, op: &str, name: &str, x: TensorId) -> Result<SoftmaxDims> {
    let [samples, rows, classes] = axes(g, op, name, "x", x, "SNI")?;
    Ok(SoftmaxDims { samples: samples as u32, rows: rows as u32, classes: classes as u32 })
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &SoftmaxDims) {
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::Softmax(*d), &[x], &[(y, Write::Set)]);
}

/// dx = y (dy - sum_c dy_c y_c)
pub(super) fn backward(e: &mut Emit, node: &Node, d: &SoftmaxDims) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let y = e.value(node.outputs[0]);
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::SoftmaxGrad(*d), &[y, dy], &[dx]);
    }
}

pub(super) fn log_mean_forward(e: &mut Emit, node: &Node, d: &SoftmaxDims) {
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::LogMeanSoftmax(*d), &[x], &[(y, Write::Set)]);
}

pub(super) fn log_mean_backward(e: &mut Emit, node: &Node, d: &SoftmaxDims) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let x = e.value(node.inputs[0]);
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::LogMeanSoftmaxGrad(*d), &[x, dy], &[dx]);
    }
}

pub(super) fn xent_forward(e: &mut Emit, node: &Node, d: &SoftmaxDims) {
    let reads = e.values(&node.inputs);
    let (loss, correct) = (e.value(node.outputs[0]), e.value(node.outputs[1]));
    e.call(Kind::SoftmaxXentForward(*d), &reads, &[(loss, Write::Set), (correct, Write::Set)]);
}

/// dx_s = dloss weight_n / sum weight * r_s (softmax(x_s) - e_label), r_s = p_s[label] / sum_t p_t[label].
pub(super) fn xent_backward(e: &mut Emit, node: &Node, d: &SoftmaxDims) {
    let Some(dloss) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let mut reads = e.values(&node.inputs);
        reads.push(dloss);
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::SoftmaxXentGrad(*d), &reads, &[dx]);
    }
}
