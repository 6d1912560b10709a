//! Ops along the sample axis: the generator's input [z, one-hot], centring and the mean over samples.

use super::{axes, mismatch};
use crate::Result;
use crate::call::{Dtype, Kind, OneHotDims, SampleDims, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// z [S, I = k] -> [S, N = C, I = k + C]: row c of sample s is [z_s, e_c], the input of a generator for slice c.
///
/// # Errors
/// When z has other axes or there is no condition.
pub fn concat_one_hot(g: &mut Graph, name: &str, z: TensorId, conditions: usize) -> Result<TensorId> {
    let [samples, noise] = axes(g, "concat_one_hot", name, "z", z, "SI")?;
    if conditions == 0 {
        return Err(mismatch(g, "concat_one_hot", name, "z", z, "with at least one condition"));
    }
    let dims = OneHotDims { samples: samples as u32, conditions: conditions as u32, noise: noise as u32 };
    let shape = Shape::new(&[('S', samples), ('N', conditions), ('I', noise + conditions)]);
    Ok(g.node(Op::ConcatOneHot(dims), name, &[z], &[("", shape, Dtype::Real)])?[0])
}

/// y = x minus its mean over the samples, x [S, ..].
///
/// # Errors
/// When x has no sample axis.
pub fn center_samples(g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
    let (dims, shape) = infer(g, "center_samples", name, x)?;
    Ok(g.node(Op::CenterSamples(dims), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

/// y [S = 1, ..] = mean over the samples of x [S, ..].
///
/// # Errors
/// When x has no sample axis.
pub fn mean_samples(g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
    let (dims, shape) = infer(g, "mean_samples", name, x)?;
    Ok(g.node(Op::MeanSamples(dims), name, &[x], &[("", shape.with_samples(1), Dtype::Real)])?[0])
}

fn infer(g: &Graph, op: &str, name: &str, x: TensorId) -> Result<(SampleDims, Shape)> {
    let shape = g.shape(x).clone();
    if !shape.letters().starts_with('S') {
        return Err(mismatch(g, op, name, "x", x, "with a leading axis S"));
    }
    let samples = shape.samples();
    let inner = shape.elements() / samples;
    Ok((SampleDims { samples: samples as u32, inner: inner as u32 }, shape))
}

pub(super) fn concat_one_hot_forward(e: &mut Emit, node: &Node, d: &OneHotDims) {
    let (z, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::ConcatOneHot(*d), &[z], &[(y, Write::Set)]);
}

/// dz_s = sum over conditions of the noise part of dy.
pub(super) fn concat_one_hot_backward(e: &mut Emit, node: &Node, d: &OneHotDims) {
    one_to_one(e, node, Kind::ConcatOneHotGrad(*d));
}

pub(super) fn center_forward(e: &mut Emit, node: &Node, d: &SampleDims) {
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::CenterSamples(*d), &[x], &[(y, Write::Set)]);
}

/// Centring is a symmetric projection: dx = dy minus its mean over the samples.
pub(super) fn center_backward(e: &mut Emit, node: &Node, d: &SampleDims) {
    one_to_one(e, node, Kind::CenterSamples(*d));
}

pub(super) fn mean_forward(e: &mut Emit, node: &Node, d: &SampleDims) {
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::MeanSamples(*d), &[x], &[(y, Write::Set)]);
}

/// dx_s = dy / S
pub(super) fn mean_backward(e: &mut Emit, node: &Node, d: &SampleDims) {
    one_to_one(e, node, Kind::MeanSamplesGrad(*d));
}

/// Emits a gradient that needs dy alone.
fn one_to_one(e: &mut Emit, node: &Node, kind: Kind) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let dx = e.gradient_target(node.inputs[0]);
        e.call(kind, &[dy], &[dx]);
    }
}
