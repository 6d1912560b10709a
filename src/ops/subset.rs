//! A random subset of the weights: M of the D elements of each sample's vector, drawn anew in each step.

use crate::call::{Dtype, Kind, SubsetDims, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};
use crate::{Error, Result};

/// Parts w_i [S, ..] of a vector of D elements -> y [S, M]: the elements at the first M places of a random permutation of 0..D, the
/// same for all samples, no element twice; a function of (seed, step, stream called `name`).
///
/// # Errors
/// When there are no parts, their samples differ, or M is not in 1..=D.
pub fn subset(g: &mut Graph, name: &str, parts: &[TensorId], chosen: usize) -> Result<TensorId> {
    let samples = parts.first().map_or(0, |&part| g.shape(part).samples());
    if samples == 0 || parts.iter().any(|&part| g.shape(part).samples() != samples) {
        return Err(Error::input(format!("{name}: expected parts with the same number of samples")));
    }
    let sizes: Vec<usize> = parts.iter().map(|&part| g.shape(part).elements() / samples).collect();
    let total: usize = sizes.iter().sum();
    if !(1..=total).contains(&chosen) {
        return Err(Error::input(format!("{name}: expected 1 to {total} weights to choose, found {chosen}")));
    }
    let stream = g.store.stream(name)?;
    let mut first = 0;
    let mut dims = Vec::with_capacity(parts.len());
    for size in sizes {
        dims.push(SubsetDims {
            samples: samples as u32,
            chosen: chosen as u32,
            weights: size as u32,
            first: first as u32,
            total: total as u32,
            stream,
        });
        first += size;
    }
    let shape = Shape::new(&[('S', samples), ('D', chosen)]);
    Ok(g.node(Op::Subset(dims), name, parts, &[("", shape, Dtype::Real)])?[0])
}

/// The first part sets what is its own, and 0 elsewhere; the others add.
pub(super) fn forward(e: &mut Emit, node: &Node, parts: &[SubsetDims]) {
    let (words, y) = (e.words(), e.value(node.outputs[0]));
    for (index, (&part, dims)) in node.inputs.iter().zip(parts).enumerate() {
        let w = e.value(part);
        let write = if index == 0 { Write::Set } else { Write::Add };
        e.call(Kind::Subset(*dims), &[w, words], &[(y, write)]);
    }
}

/// dw = dy at the chosen places, 0 elsewhere.
pub(super) fn backward(e: &mut Emit, node: &Node, parts: &[SubsetDims]) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    let words = e.words();
    for (&part, dims) in node.inputs.iter().zip(parts) {
        if e.wants(part) {
            let dw = e.gradient_target(part);
            e.call(Kind::SubsetGrad(*dims), &[dy, words], &[dw]);
        }
    }
}
