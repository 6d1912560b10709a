//! The nearest-neighbour KL estimate of each weight alone (dimension 1), summed over the weights.

use super::pairwise::parts_dims;
use crate::Result;
use crate::call::{Dtype, Kind, PairwiseDims, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// Parts w_i [S, ..] -> one kl (one element) for each part.
///
/// # Errors
/// As [`nearest_neighbour_kl`](super::pairwise::nearest_neighbour_kl).
pub fn per_weight_kl(g: &mut Graph, name: &str, parts: &[TensorId], prior_scale: f32) -> Result<Vec<TensorId>> {
    let dims = parts_dims(g, "per_weight_kl", name, parts, prior_scale)?;
    let mut kls = Vec::with_capacity(parts.len());
    for (index, (&part, dims)) in parts.iter().zip(dims).enumerate() {
        let name = format!("{name}.{index}");
        kls.push(g.node(Op::PerWeightKl(dims), &name, &[part], &[("", Shape::scalar(), Dtype::Real)])?[0]);
    }
    Ok(kls)
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &PairwiseDims) {
    let (w, words, kl) = (e.value(node.inputs[0]), e.words(), e.value(node.outputs[0]));
    e.call(Kind::PerWeightKl(*d), &[w, words], &[(kl, Write::Set)]);
}

/// As in `pairwise`, with neighbours found again for each weight.
pub(super) fn backward(e: &mut Emit, node: &Node, d: &PairwiseDims) {
    let Some(dkl) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let (w, words) = (e.value(node.inputs[0]), e.words());
        let dw = e.gradient_target(node.inputs[0]);
        e.call(Kind::PerWeightKlGrad(*d), &[w, words, dkl], &[dw]);
    }
}
