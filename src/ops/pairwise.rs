//! The nearest-neighbour estimate of KL(q || prior) from S generated weight vectors and S prior draws that are never stored.
//!
//! KL = D/S sum_j ln(nu_j / rho_j) + ln(S / (S - 1)) with rho_j the distance of w_j to its nearest other sample and nu_j to
//! its nearest prior draw (Wang, Kulkarni & Verdu 2009, k = 1; arXiv 1711.01297, section 3.2).

use super::mismatch;
use crate::call::{Dtype, Kind, NearestDims, PairwiseDims, Region, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};
use crate::{Error, Result};

/// Most samples that the distance kernels hold in registers.
pub const MAX_SAMPLES: usize = 16;

/// Parts w_i [S, ..] of the weight vectors, all with the same S >= 2 -> kl (one element).
/// The prior draws are N(0, prior_scale^2) from the stream called `name`, fresh each step.
///
/// # Errors
/// When S is below 2 or above 16, or differs between the parts.
pub fn nearest_neighbour_kl(g: &mut Graph, name: &str, parts: &[TensorId], prior_scale: f32) -> Result<TensorId> {
    let dims = parts_dims(g, "nearest_neighbour_kl", name, parts, prior_scale)?;
    let samples = dims[0].samples as usize;
    let outputs = [
        ("", Shape::scalar(), Dtype::Real),
        (".partner", Shape::new(&[('P', 2), ('S', samples)]), Dtype::U32),
        (".slope", Shape::new(&[('P', 2), ('S', samples)]), Dtype::Real),
    ];
    Ok(g.node(Op::NearestNeighbourKl(dims), name, parts, &outputs)?[0])
}

/// Checks the parts and numbers their weights one after another.
pub(super) fn parts_dims(
    g: &mut Graph,
    op: &str,
    name: &str,
    parts: &[TensorId],
    prior_scale: f32,
) -> Result<Vec<PairwiseDims>> {
    let Some(&first) = parts.first() else {
        return Err(Error::input(format!("{op} {name}: expected at least one weight tensor, found none")));
    };
    let samples = g.shape(first).samples();
    if !(2..=MAX_SAMPLES).contains(&samples) {
        return Err(mismatch(g, op, name, "w", first, "with 2 to 16 samples (--samples)"));
    }
    let total: usize = parts.iter().map(|&part| g.shape(part).elements() / samples).sum();
    let stream = g.store.stream(name)?;
    let mut at = 0;
    let mut dims = Vec::with_capacity(parts.len());
    for &part in parts {
        if g.shape(part).samples() != samples {
            return Err(mismatch(g, op, name, "w", part, &format!("with S={samples}")));
        }
        let weights = g.shape(part).elements() / samples;
        dims.push(PairwiseDims {
            samples: samples as u32,
            weights: weights as u32,
            first: at as u32,
            total: total as u32,
            stream,
            prior_scale,
        });
        at += weights;
    }
    Ok(dims)
}

/// One distance call per part, then one call that finds the neighbours and the estimate.
pub(super) fn forward(e: &mut Emit, node: &Node, parts: &[PairwiseDims]) {
    let (samples, words) = (parts[0].samples, e.words());
    let matrix = 2 * (samples * samples) as usize;
    let all = e.scratch(&format!("{}.distances", node.name), Dtype::F64, parts.len() * matrix);
    for (index, (part, &input)) in parts.iter().zip(&node.inputs).enumerate() {
        let w = e.value(input);
        let own = Region::contiguous(all.buffer, index * matrix, matrix);
        e.call(Kind::PairwiseDistances(*part), &[w, words], &[(own, Write::Set)]);
    }
    let outputs = e.values(&node.outputs);
    let writes: Vec<_> = outputs.into_iter().map(|output| (output, Write::Set)).collect();
    let dims = NearestDims { samples, parts: parts.len() as u32, total: parts[0].total };
    e.call(Kind::NearestNeighbourKl(dims), &[all], &writes);
}

/// dw_j = dkl (slope_rho_j 2 (w_j - w_a) + slope_nu_j 2 (w_j - p_b)), and -dkl slope_rho_j 2 (w_j - w_a) to the partner a.
pub(super) fn backward(e: &mut Emit, node: &Node, parts: &[PairwiseDims]) {
    let Some(dkl) = e.gradient(node.outputs[0]) else { return };
    let (words, partner, slope) = (e.words(), e.value(node.outputs[1]), e.value(node.outputs[2]));
    for (part, &input) in parts.iter().zip(&node.inputs) {
        if e.wants(input) {
            let w = e.value(input);
            let dw = e.gradient_target(input);
            e.call(Kind::PairwiseDistancesGrad(*part), &[w, words, partner, slope, dkl], &[dw]);
        }
    }
}
