//! shortcut: y = h + x, where x may have fewer channels: it is added to the middle ones, as if zero channels stood before and
//! after it (He et al. 2016, "Deep residual learning for image recognition", option A).

use super::{axes, mismatch};
use crate::Result;
use crate::call::{Dtype, Kind, ShortcutDims, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// h [S, N, C', H, W], x [S, N, C, H, W] with C <= C' -> y of h's shape; (C' - C) / 2 channels, rounded down, stand before x.
///
/// # Errors
/// When x has more channels than h or another size.
pub fn shortcut(g: &mut Graph, name: &str, h: TensorId, x: TensorId) -> Result<TensorId> {
    let [samples, batch, channels, height, width] = axes(g, "shortcut", name, "h", h, "SNCHW")?;
    let [_, _, narrow, ..]: [usize; 5] = axes(g, "shortcut", name, "x", x, "SNCHW")?;
    let fitting = Shape::new(&[('S', samples), ('N', batch), ('C', narrow), ('H', height), ('W', width)]);
    if narrow > channels || g.shape(x) != &fitting {
        let expected = format!("like h {} with at most as many channels", g.shape(h));
        return Err(mismatch(g, "shortcut", name, "x", x, &expected));
    }
    let dims = ShortcutDims {
        images: (samples * batch) as u32,
        channels: channels as u32,
        narrow: narrow as u32,
        before: ((channels - narrow) / 2) as u32,
        inner: (height * width) as u32,
    };
    let shape = g.shape(h).clone();
    Ok(g.node(Op::Shortcut(dims), name, &[h, x], &[("", shape, Dtype::Real)])?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &ShortcutDims) {
    let reads = e.values(&node.inputs);
    let y = e.value(node.outputs[0]);
    e.call(Kind::ShortcutForward(*d), &reads, &[(y, Write::Set)]);
}

/// dh = dy, dx = the middle channels of dy.
pub(super) fn backward(e: &mut Emit, node: &Node, d: &ShortcutDims) {
    let (h, x) = (node.inputs[0], node.inputs[1]);
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(h) {
        let dh = e.gradient_target(h);
        e.call(Kind::Scale { elements: dy.elements() as u32, factor: 1.0 }, &[dy], &[dh]);
    }
    if e.wants(x) {
        let dx = e.gradient_target(x);
        e.call(Kind::ShortcutGrad(*d), &[dy], &[dx]);
    }
}
