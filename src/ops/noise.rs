//! Noise from the counter-based generator: a function of (seed, step, stream, element), so that a replayed plan never
//! repeats itself and a backward pass can draw the same numbers again.

use crate::Result;
use crate::call::{Dtype, Kind, NoiseDims, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// Independent N(0, deviation^2) of the given shape, from the stream called `name`.
///
/// # Errors
/// When the shape is empty or too large.
pub fn normal(g: &mut Graph, name: &str, shape: Shape, deviation: f32) -> Result<TensorId> {
    let dims = dims(g, name, &shape, deviation, 0.0)?;
    Ok(g.node(Op::Normal(dims), name, &[], &[("", shape, Dtype::Real)])?[0])
}

/// Independent U(low, high) of the given shape, from the stream called `name`.
///
/// # Errors
/// When the shape is empty or too large.
pub fn uniform(g: &mut Graph, name: &str, shape: Shape, low: f32, high: f32) -> Result<TensorId> {
    let dims = dims(g, name, &shape, high - low, low)?;
    Ok(g.node(Op::Uniform(dims), name, &[], &[("", shape, Dtype::Real)])?[0])
}

fn dims(g: &mut Graph, name: &str, shape: &Shape, scale: f32, shift: f32) -> Result<NoiseDims> {
    Ok(NoiseDims { elements: shape.elements() as u32, stream: g.store.stream(name)?, scale, shift })
}

pub(super) fn normal_forward(e: &mut Emit, node: &Node, d: &NoiseDims) {
    let (words, y) = (e.words(), e.value(node.outputs[0]));
    e.call(Kind::Normal(*d), &[words], &[(y, Write::Set)]);
}

pub(super) fn uniform_forward(e: &mut Emit, node: &Node, d: &NoiseDims) {
    let (words, y) = (e.words(), e.value(node.outputs[0]));
    e.call(Kind::Uniform(*d), &[words], &[(y, Write::Set)]);
}
