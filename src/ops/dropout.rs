//! dropout: y = x / keep with probability keep, else 0, each element on its own (Srivastava et al. 2014, "Dropout", inverted).

use crate::call::{DropoutDims, Dtype, Kind, Write};
use crate::graph::{Emit, Graph, Node, Op, TensorId};
use crate::{Error, Result};

/// Drops elements of x, any shape, by the stream called `name`: the mask is a function of (seed, step, element), never stored,
/// and drawn again in the backward pass.
///
/// # Errors
/// When `keep` is not in (0, 1].
pub fn dropout(g: &mut Graph, name: &str, x: TensorId, keep: f32) -> Result<TensorId> {
    if !(keep > 0.0 && keep <= 1.0) {
        return Err(Error::input(format!("{name}: expected a probability to keep above 0 and up to 1, found {keep}")));
    }
    let shape = g.shape(x).clone();
    let dims = DropoutDims { elements: shape.elements() as u32, stream: g.store.stream(name)?, keep };
    Ok(g.node(Op::Dropout(dims), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &DropoutDims) {
    let reads = [e.value(node.inputs[0]), e.words()];
    let y = e.value(node.outputs[0]);
    e.call(Kind::Dropout(*d), &reads, &[(y, Write::Set)]);
}

/// dx = mask dy / keep: the same call again.
pub(super) fn backward(e: &mut Emit, node: &Node, d: &DropoutDims) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let words = e.words();
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::Dropout(*d), &[dy, words], &[dx]);
    }
}
