//! Independent Gaussian weights N(mean, sigma^2), sigma^2 = e^log variance: reparameterised samples (Kingma & Welling 2014,
//! equation 10; Blundell et al. 2015, section 3.2) and their divergence from N(0, prior_scale^2) in closed form. One call for
//! up to [`MOST_PARTS`](crate::call::MOST_PARTS) tensors.

use super::{expect_parts, mismatch};
use crate::Result;
use crate::call::{Dtype, GaussianGroup, Kind, Region, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// Parameters of one tensor of independent Gaussian elements, both [S = 1, ..].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    pub mean: TensorId,
    pub log_variance: TensorId,
}

/// One tensor [S = `samples`, ..] for each part: mean + sigma * eps, eps ~ N(0, 1) of each element and sample (`aligned`: of each sample,
/// for all elements of a part), from a stream called after `name` and the mean. The gradient draws eps again: it is never stored.
///
/// # Errors
/// When there is no part or more than [`MOST_PARTS`](crate::call::MOST_PARTS), or mean and log variance differ in shape or have more than one sample.
pub fn gaussian_samples(
    g: &mut Graph,
    name: &str,
    parts: &[Gaussian],
    (samples, aligned): (usize, bool),
) -> Result<Vec<TensorId>> {
    let inputs = inputs(g, "gaussian_samples", name, parts)?;
    let mut group = GaussianGroup { aligned, ..GaussianGroup::empty(samples as u32) };
    let mut outputs = Vec::with_capacity(parts.len());
    for part in parts {
        let suffix = format!(".{}", g.name(part.mean));
        let shape = g.shape(part.mean).clone();
        group.push(shape.elements() as u32, g.store.stream(&format!("{name}{suffix}"))?);
        outputs.push((suffix, shape.with_samples(samples), Dtype::Real));
    }
    let outputs: Vec<_> =
        outputs.iter().map(|(suffix, shape, dtype)| (suffix.as_str(), shape.clone(), *dtype)).collect();
    g.node(Op::GaussianSamples(group), name, &inputs, &outputs)
}

/// KL(N(mean, sigma^2) || N(0, prior_scale^2)) summed over all elements of all parts, one element:
/// sum of ((mean^2 + sigma^2) / prior_scale^2 - 1 - log variance) / 2 + ln prior_scale.
///
/// # Errors
/// As [`gaussian_samples`].
pub fn gaussian_kl(g: &mut Graph, name: &str, parts: &[Gaussian], prior_scale: f32) -> Result<TensorId> {
    let inputs = inputs(g, "gaussian_kl", name, parts)?;
    Ok(g.node(Op::GaussianKl { prior_scale }, name, &inputs, &[("", Shape::scalar(), Dtype::Real)])?[0])
}

/// Mean and log variance of each part.
fn inputs(g: &Graph, op: &str, name: &str, parts: &[Gaussian]) -> Result<Vec<TensorId>> {
    expect_parts(op, name, parts.len())?;
    for part in parts {
        if g.shape(part.mean).samples() != 1 {
            return Err(mismatch(g, op, name, "mean", part.mean, "of one sample"));
        }
        if g.shape(part.mean) != g.shape(part.log_variance) {
            let like_mean = format!("{} like its mean", g.shape(part.mean));
            return Err(mismatch(g, op, name, "log variance", part.log_variance, &like_mean));
        }
    }
    Ok(parts.iter().flat_map(|part| [part.mean, part.log_variance]).collect())
}

pub(super) fn samples_forward(e: &mut Emit, node: &Node, group: &GaussianGroup) {
    let mut reads = e.values(&node.inputs);
    reads.push(e.words());
    let writes: Vec<_> = e.values(&node.outputs).into_iter().map(|y| (y, Write::Set)).collect();
    e.call(Kind::GaussianSamples(*group), &reads, &writes);
}

/// dmean = sum over samples of dy, dlog variance = sigma / 2 * sum over samples of dy eps
pub(super) fn samples_backward(e: &mut Emit, node: &Node, group: &GaussianGroup) {
    let mut wanted = GaussianGroup { aligned: group.aligned, ..GaussianGroup::empty(group.samples) };
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (index, (inputs, &y)) in node.inputs.chunks(2).zip(&node.outputs).enumerate() {
        if !inputs.iter().any(|&input| e.wants(input)) {
            continue;
        }
        let Some(dy) = e.gradient(y) else { continue };
        let log_variance = e.value(inputs[1]);
        wanted.push(log_variance.elements() as u32, group.streams[index]);
        reads.extend([log_variance, dy]);
        writes.extend(inputs.iter().map(|&input| e.gradient_or_scratch(input)));
    }
    if wanted.parts > 0 {
        reads.push(e.words());
        e.call(Kind::GaussianSamplesGrad(wanted), &reads, &writes);
    }
}

pub(super) fn kl_forward(e: &mut Emit, node: &Node, prior_scale: f32) {
    let (reads, kl) = (e.values(&node.inputs), e.value(node.outputs[0]));
    e.call(Kind::GaussianKl { elements: elements(&reads), prior_scale }, &reads, &[(kl, Write::Set)]);
}

/// dmean = dkl mean / prior_scale^2, dlog variance = dkl (sigma^2 / prior_scale^2 - 1) / 2
pub(super) fn kl_backward(e: &mut Emit, node: &Node, prior_scale: f32) {
    let Some(dkl) = e.gradient(node.outputs[0]) else { return };
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for inputs in node.inputs.chunks(2) {
        if !inputs.iter().any(|&input| e.wants(input)) {
            continue;
        }
        reads.extend(e.values(inputs));
        writes.extend(inputs.iter().map(|&input| e.gradient_or_scratch(input)));
    }
    if !reads.is_empty() {
        let elements = elements(&reads);
        reads.push(dkl);
        e.call(Kind::GaussianKlGrad { elements, prior_scale }, &reads, &writes);
    }
}

/// Elements of all parts, given their means and log variances.
fn elements(reads: &[Region]) -> u32 {
    reads.iter().step_by(2).map(Region::elements).sum::<usize>() as u32
}
