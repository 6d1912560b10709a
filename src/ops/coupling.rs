//! Masked RealNVP steps (Louizos & Welling 2017, after Dinh, Sohl-Dickstein & Bengio 2017, "Density
//! estimation using Real NVP"): a random half of z stays as it is, the other half moves towards a mean by gates, both of which
//! depend on the half that stays. One call for up to [`MOST_PARTS`](crate::call::MOST_PARTS) vectors.

use super::{expect_parts, gradient_or_zero, mismatch, outputs};
use crate::Result;
use crate::call::{GaussianGroup, Kind, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// One vector in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coupled {
    /// [.., D] of S D elements.
    pub z: TensorId,
    /// Where gates lead, as z.
    pub mean: TensorId,
    /// s = sigmoid(gate) is the share that stays, as z.
    pub gate: TensorId,
}

/// m z of each of the vectors [.., D] of S samples: elements are kept with probability 1/2, by streams called after the names in
/// `masks`, which the same step of [`coupling`] must be given.
///
/// # Errors
/// When there is no vector or more than a call takes, or the numbers of vectors and masks differ.
pub fn coupling_mask(
    g: &mut Graph,
    name: &str,
    z: &[TensorId],
    masks: &[String],
    samples: usize,
) -> Result<Vec<TensorId>> {
    let group = group(g, "coupling_mask", name, z, masks, samples)?;
    let shapes: Vec<_> = z.iter().enumerate().map(|(index, &z)| (format!(".{index}"), g.shape(z).clone())).collect();
    g.node(Op::CouplingMask(group), name, z, &outputs(&shapes))
}

/// m z + (1 - m) (s z + (1 - s) mean) of each vector, of z's shape, and the log-determinant of all steps together,
/// sum of (1 - m) log s, one element.
///
/// # Errors
/// As [`coupling_mask`], and when mean or gate have other numbers of elements than z.
pub fn coupling(
    g: &mut Graph,
    name: &str,
    parts: &[Coupled],
    masks: &[String],
    samples: usize,
) -> Result<(Vec<TensorId>, TensorId)> {
    let z: Vec<TensorId> = parts.iter().map(|part| part.z).collect();
    let group = group(g, "coupling", name, &z, masks, samples)?;
    for part in parts {
        for (argument, tensor) in [("mean", part.mean), ("gate", part.gate)] {
            if g.shape(tensor).elements() != g.shape(part.z).elements() {
                let as_z = format!("with as many elements as z {}", g.shape(part.z));
                return Err(mismatch(g, "coupling", name, argument, tensor, &as_z));
            }
        }
    }
    let mut shapes: Vec<_> =
        z.iter().enumerate().map(|(index, &z)| (format!(".{index}"), g.shape(z).clone())).collect();
    shapes.push((".log_determinant".into(), Shape::scalar()));
    let inputs: Vec<TensorId> = parts.iter().flat_map(|part| [part.z, part.mean, part.gate]).collect();
    let mut y = g.node(Op::Coupling(group), name, &inputs, &outputs(&shapes))?;
    let log_determinant = y.split_off(parts.len())[0];
    Ok((y, log_determinant))
}

fn group(
    g: &mut Graph,
    op: &str,
    name: &str,
    z: &[TensorId],
    masks: &[String],
    samples: usize,
) -> Result<GaussianGroup> {
    expect_parts(op, name, z.len())?;
    let mut group = GaussianGroup::empty(samples as u32);
    for (&z, mask) in z.iter().zip(masks) {
        let elements = g.shape(z).elements();
        if samples == 0 || !elements.is_multiple_of(samples) {
            return Err(mismatch(g, op, name, "z", z, &format!("of {samples} equal samples")));
        }
        group.push((elements / samples) as u32, g.store.stream(mask)?);
    }
    if masks.len() != z.len() {
        return Err(crate::Error::input(format!("{op} {name}: expected {} masks, found {}", z.len(), masks.len())));
    }
    Ok(group)
}

pub(super) fn mask_forward(e: &mut Emit, node: &Node, group: &GaussianGroup) {
    let mut reads = e.values(&node.inputs);
    reads.push(e.words());
    let writes: Vec<_> = e.values(&node.outputs).into_iter().map(|y| (y, Write::Set)).collect();
    e.call(Kind::CouplingMask(*group), &reads, &writes);
}

/// dz = m dy: the same call again.
pub(super) fn mask_backward(e: &mut Emit, node: &Node, group: &GaussianGroup) {
    let mut wanted = GaussianGroup::empty(group.samples);
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (index, (&z, &y)) in node.inputs.iter().zip(&node.outputs).enumerate() {
        if let (true, Some(dy)) = (e.wants(z), e.gradient(y)) {
            wanted.push(dy.elements() as u32 / group.samples, group.streams[index]);
            reads.push(dy);
            writes.push(e.gradient_target(z));
        }
    }
    if wanted.parts > 0 {
        reads.push(e.words());
        e.call(Kind::CouplingMask(wanted), &reads, &writes);
    }
}

/// The log-determinant in a call of its own, which falls away where nobody reads it.
pub(super) fn forward(e: &mut Emit, node: &Node, group: &GaussianGroup) {
    let mut reads = e.values(&node.inputs);
    let mut gates: Vec<_> = reads.iter().skip(2).step_by(3).copied().collect();
    let mut writes: Vec<_> = e.values(&node.outputs).into_iter().map(|y| (y, Write::Set)).collect();
    let log_determinant = writes.split_off(group.parts as usize);
    reads.push(e.words());
    gates.push(e.words());
    e.call(Kind::Coupling(*group), &reads, &writes);
    e.call(Kind::CouplingLogDeterminant(*group), &gates, &log_determinant);
}

/// Where m = 1: dz = dy. Elsewhere dz = s dy, dmean = (1 - s) dy, dgate = (dy (z - mean) s + d log determinant) (1 - s).
pub(super) fn backward(e: &mut Emit, node: &Node, group: &GaussianGroup) {
    let Some((&log_determinant, y)) = node.outputs.split_last() else { return };
    let mut reads = Vec::new();
    for (inputs, &y) in node.inputs.chunks(3).zip(y) {
        reads.extend(e.values(inputs));
        reads.push(gradient_or_zero(e, y));
    }
    reads.push(e.words());
    reads.push(gradient_or_zero(e, log_determinant));
    let writes: Vec<_> = node.inputs.iter().map(|&input| e.gradient_or_scratch(input)).collect();
    e.call(Kind::CouplingGrad(*group), &reads, &writes);
}
