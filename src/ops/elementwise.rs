//! Functions of one element, sums and products of two tensors, scaling, and sums to one element.

use super::mismatch;
use crate::call::{Dtype, Kind, MOST_PARTS, Region, Unary, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, Source, TensorId};
use crate::{Error, Result};

/// y = f(x), any shape.
///
/// # Errors
/// None for valid tensors; the result is that of adding the node.
pub fn unary(g: &mut Graph, name: &str, x: TensorId, f: Unary) -> Result<TensorId> {
    let shape = g.shape(x).clone();
    Ok(g.node(Op::Unary(f), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

/// y = max(x, 0).
///
/// # Errors
/// As [`unary`].
pub fn relu(g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
    unary(g, name, x, Unary::Relu)
}

/// y = a + beta b, equal shapes.
///
/// # Errors
/// When the shapes differ.
pub fn add(g: &mut Graph, name: &str, a: TensorId, b: TensorId, beta: f32) -> Result<TensorId> {
    let shape = same_shape(g, "add", name, a, b)?;
    Ok(g.node(Op::Add(beta), name, &[a, b], &[("", shape, Dtype::Real)])?[0])
}

/// y = a b element by element, equal shapes.
///
/// # Errors
/// When the shapes differ.
pub fn multiply(g: &mut Graph, name: &str, a: TensorId, b: TensorId) -> Result<TensorId> {
    let shape = same_shape(g, "multiply", name, a, b)?;
    Ok(g.node(Op::Multiply, name, &[a, b], &[("", shape, Dtype::Real)])?[0])
}

/// y = factor x.
///
/// # Errors
/// As [`unary`].
pub fn scale(g: &mut Graph, name: &str, x: TensorId, factor: f32) -> Result<TensorId> {
    let shape = g.shape(x).clone();
    Ok(g.node(Op::Scale(factor), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

/// y = factor * scalar * x, `scalar` being one element of the step scalars (see `call::scalar`).
///
/// # Errors
/// As [`unary`].
pub fn scale_by_step_scalar(g: &mut Graph, name: &str, x: TensorId, scalar: usize, factor: f32) -> Result<TensorId> {
    let mut region = g.store.scalars();
    (region.offset, region.len, region.stride) = (scalar, 1, 1);
    let scalar = g.persistent("step scalar", Shape::scalar(), Dtype::Real, region);
    let shape = g.shape(x).clone();
    Ok(g.node(Op::ScaleByScalar(factor), name, &[x, scalar], &[("", shape, Dtype::Real)])?[0])
}

/// y = sum of all elements of x.
///
/// # Errors
/// As [`unary`].
pub fn sum(g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
    Ok(g.node(Op::Sum, name, &[x], &[("", Shape::scalar(), Dtype::Real)])?[0])
}

/// y = sum of x^2 / 2 over all elements of all tensors of `parts` (weight decay), 1 to [`MOST_PARTS`] of them, none
/// twice.
///
/// # Errors
/// When there is none, or more than that.
pub fn half_squared_norm(g: &mut Graph, name: &str, parts: &[TensorId]) -> Result<TensorId> {
    if parts.is_empty() || parts.len() > MOST_PARTS {
        return Err(Error::input(format!(
            "half_squared_norm {name}: expected 1 to {MOST_PARTS} tensors, found {}; add the norms of several lists",
            parts.len()
        )));
    }
    Ok(g.node(Op::HalfSquaredNorm, name, parts, &[("", Shape::scalar(), Dtype::Real)])?[0])
}

/// Copies x into the persistent buffer called `name`, where other plans and the host find it.
///
/// # Errors
/// When the buffer exists with another size.
pub fn keep(g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
    let shape = g.shape(x).clone();
    let region = g.store.buffer(name, Dtype::Real, shape.elements())?;
    let kept = g.persistent(name, shape, Dtype::Real, region);
    g.nodes.push(Node { op: Op::Keep, name: format!("keep {name}"), inputs: vec![x], outputs: vec![kept] });
    Ok(kept)
}

fn same_shape(g: &Graph, op: &str, name: &str, a: TensorId, b: TensorId) -> Result<Shape> {
    if g.shape(a) != g.shape(b) {
        return Err(mismatch(g, op, name, "b", b, &format!("{} like a", g.shape(a))));
    }
    Ok(g.shape(a).clone())
}

pub(super) fn unary_forward(e: &mut Emit, node: &Node, function: Unary) {
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::UnaryForward { elements: x.elements() as u32, function }, &[x], &[(y, Write::Set)]);
}

/// dx = dy f'(x)
pub(super) fn unary_backward(e: &mut Emit, node: &Node, function: Unary) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let known = if function.gradient_from_output() { node.outputs[0] } else { node.inputs[0] };
        let known = e.value(known);
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::UnaryGrad { elements: dy.elements() as u32, function }, &[known, dy], &[dx]);
    }
}

pub(super) fn add_forward(e: &mut Emit, node: &Node, beta: f32) {
    let (a, b, y) = (e.value(node.inputs[0]), e.value(node.inputs[1]), e.value(node.outputs[0]));
    e.call(Kind::AddForward { elements: a.elements() as u32, beta }, &[a, b], &[(y, Write::Set)]);
}

/// da = dy, db = beta dy
pub(super) fn add_backward(e: &mut Emit, node: &Node, beta: f32) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    for (&input, factor) in node.inputs.iter().zip([1.0, beta]) {
        if e.wants(input) {
            let target = e.gradient_target(input);
            e.call(Kind::Scale { elements: dy.elements() as u32, factor }, &[dy], &[target]);
        }
    }
}

pub(super) fn multiply_forward(e: &mut Emit, node: &Node) {
    let (a, b, y) = (e.value(node.inputs[0]), e.value(node.inputs[1]), e.value(node.outputs[0]));
    e.call(Kind::Multiply { elements: a.elements() as u32 }, &[a, b], &[(y, Write::Set)]);
}

/// da = dy b, db = dy a
pub(super) fn multiply_backward(e: &mut Emit, node: &Node) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    for (this, other) in [(0, 1), (1, 0)] {
        if e.wants(node.inputs[this]) {
            let other = e.value(node.inputs[other]);
            let target = e.gradient_target(node.inputs[this]);
            e.call(Kind::Multiply { elements: dy.elements() as u32 }, &[dy, other], &[target]);
        }
    }
}

pub(super) fn scale_forward(e: &mut Emit, node: &Node, factor: f32) {
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::Scale { elements: x.elements() as u32, factor }, &[x], &[(y, Write::Set)]);
}

/// dx = factor dy
pub(super) fn scale_backward(e: &mut Emit, node: &Node, factor: f32) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::Scale { elements: dy.elements() as u32, factor }, &[dy], &[dx]);
    }
}

pub(super) fn scale_by_scalar_forward(e: &mut Emit, node: &Node, factor: f32) {
    let (x, scalar, y) = (e.value(node.inputs[0]), e.value(node.inputs[1]), e.value(node.outputs[0]));
    e.call(Kind::ScaleByScalar { elements: x.elements() as u32, factor }, &[x, scalar], &[(y, Write::Set)]);
}

/// dx = factor scalar dy
pub(super) fn scale_by_scalar_backward(e: &mut Emit, node: &Node, factor: f32) -> Result<()> {
    if !matches!(e.graph.tensors[node.inputs[1].0].source, Source::Persistent(_)) {
        return Err(Error::input(format!("{}: the scalar must be a step scalar, which has no gradient", node.name)));
    }
    let Some(dy) = e.gradient(node.outputs[0]) else { return Ok(()) };
    if e.wants(node.inputs[0]) {
        let scalar = e.value(node.inputs[1]);
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::ScaleByScalar { elements: dy.elements() as u32, factor }, &[dy, scalar], &[dx]);
    }
    Ok(())
}

pub(super) fn sum_forward(e: &mut Emit, node: &Node) {
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::Sum { elements: x.elements() as u32 }, &[x], &[(y, Write::Set)]);
}

/// dx = dy everywhere
pub(super) fn sum_backward(e: &mut Emit, node: &Node) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::SumGrad { elements: dx.0.elements() as u32 }, &[dy], &[dx]);
    }
}

pub(super) fn half_squared_norm_forward(e: &mut Emit, node: &Node) {
    let (parts, y) = (e.values(&node.inputs), e.value(node.outputs[0]));
    e.call(Kind::HalfSquaredNorm { elements: elements(&parts) }, &parts, &[(y, Write::Set)]);
}

/// dx = dy x
pub(super) fn half_squared_norm_backward(e: &mut Emit, node: &Node) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    let wanted: Vec<TensorId> = node.inputs.iter().copied().filter(|&input| e.wants(input)).collect();
    if wanted.is_empty() {
        return;
    }
    let mut reads = e.values(&wanted);
    let kind = Kind::ScaleByScalar { elements: elements(&reads), factor: 1.0 };
    let writes: Vec<_> = wanted.iter().map(|&input| e.gradient_target(input)).collect();
    reads.push(dy);
    e.call(kind, &reads, &writes);
}

/// Elements of all regions.
fn elements(regions: &[Region]) -> u32 {
    regions.iter().map(Region::elements).sum::<usize>() as u32
}
