//! bias: y[s,n,o,..] = x[s,n,o,..] + b[s,o].

use super::mismatch;
use crate::Result;
use crate::call::{BiasDims, Dtype, Kind, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// x [S, N, I] or [S, N, C, H, W], b [S, O] with O = I or C -> y of x's shape.
///
/// # Errors
/// When b has not one element per sample and channel of x.
pub fn bias(g: &mut Graph, name: &str, x: TensorId, b: TensorId) -> Result<TensorId> {
    let shape = g.shape(x).clone();
    let sizes = shape.sizes();
    if sizes.len() < 3 || shape.letters().chars().take(2).ne("SN".chars()) {
        return Err(mismatch(g, "bias", name, "x", x, "with axes SNI or SNCHW"));
    }
    if g.shape(b) != &Shape::new(&[('S', sizes[0]), ('O', sizes[2])]) {
        return Err(mismatch(g, "bias", name, "b", b, &format!("[S={}, O={}]", sizes[0], sizes[2])));
    }
    let dims = BiasDims {
        samples: sizes[0] as u32,
        rows: sizes[1] as u32,
        channels: sizes[2] as u32,
        inner: sizes[3..].iter().product::<usize>() as u32,
    };
    Ok(g.node(Op::Bias(dims), name, &[x, b], &[("", shape, Dtype::Real)])?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &BiasDims) {
    let reads = e.values(&node.inputs);
    let y = e.value(node.outputs[0]);
    e.call(Kind::BiasForward(*d), &reads, &[(y, Write::Set)]);
}

/// dx = dy, db[s,o] = sum over rows and inner elements of dy.
pub(super) fn backward(e: &mut Emit, node: &Node, d: &BiasDims) {
    let (x, b) = (node.inputs[0], node.inputs[1]);
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(b) {
        let db = e.gradient_target(b);
        e.call(Kind::BiasGrad(*d), &[dy], &[db]);
    }
    if e.wants(x) {
        let dx = e.gradient_target(x);
        e.call(Kind::Scale { elements: dy.elements() as u32, factor: 1.0 }, &[dy], &[dx]);
    }
}
