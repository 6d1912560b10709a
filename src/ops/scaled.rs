//! Gaussian weights whose means are scaled by multipliers z of their inputs or outputs, the multiplicative noise of Louizos &
//! Welling 2017 ("Multiplicative normalizing flows"): w ~ N(z mean, sigma^2) for each sample of z.

use super::{axes, expect_parts, mismatch, outputs};
use crate::Result;
use crate::call::{Dtype, GaussianGroup, Kind, ScaledGroup, ScaledPart, Write};
use crate::graph::{Emit, Graph, Node, Op, TensorId};

/// One weight tensor and its multipliers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaled {
    /// [S = 1, O, I] (dense) or [S = 1, O, C, K, K] (filters).
    pub mean: TensorId,
    /// z [S, I] for a dense layer, [S, O] for filters.
    pub multipliers: TensorId,
}

/// z mean of each part, [S, ..] with the S of its multipliers.
///
/// # Errors
/// When there is no part or more than a call takes, or the multipliers do not fit.
pub fn scaled_means(g: &mut Graph, name: &str, parts: &[Scaled]) -> Result<Vec<TensorId>> {
    let (group, inputs) = (group(g, name, parts, false)?, parts.iter().flat_map(|part| [part.mean, part.multipliers]));
    node(g, name, group, &inputs.collect::<Vec<_>>())
}

/// z mean + e^(log variance / 2) * eps of each part, eps ~ N(0, 1) of each element and sample, from a stream called after `name`
/// and the mean.
///
/// # Errors
/// As [`scaled_means`], and when a log variance is not of its mean's shape.
pub fn scaled_samples(g: &mut Graph, name: &str, parts: &[(Scaled, TensorId)]) -> Result<Vec<TensorId>> {
    let scaled: Vec<Scaled> = parts.iter().map(|part| part.0).collect();
    let group = group(g, name, &scaled, true)?;
    for (part, log_variance) in parts {
        if g.shape(*log_variance) != g.shape(part.mean) {
            let like_mean = format!("{} like its mean", g.shape(part.mean));
            return Err(mismatch(g, "scaled_samples", name, "log variance", *log_variance, &like_mean));
        }
    }
    let inputs = parts.iter().flat_map(|(part, log_variance)| [part.mean, part.multipliers, *log_variance]);
    node(g, name, group, &inputs.collect::<Vec<_>>())
}

fn node(g: &mut Graph, name: &str, group: ScaledGroup, inputs: &[TensorId]) -> Result<Vec<TensorId>> {
    let means = inputs.iter().step_by(inputs_of_part(&group));
    let shapes: Vec<_> =
        means.map(|&mean| (format!(".{}", g.name(mean)), g.shape(mean).with_samples(group.samples as usize))).collect();
    g.node(Op::ScaledSamples(group), name, inputs, &outputs(&shapes))
}

fn group(g: &mut Graph, name: &str, parts: &[Scaled], noise: bool) -> Result<ScaledGroup> {
    let op = "scaled_samples";
    expect_parts(op, name, parts.len())?;
    let samples = g.shape(parts[0].multipliers).samples();
    let mut group = ScaledGroup::empty(samples as u32, noise);
    for part in parts {
        let dense = g.shape(part.mean).letters() == "SOI";
        let [outer, channels, inner] = if dense {
            let [_, outputs, inputs] = axes(g, op, name, "mean", part.mean, "SOI")?;
            [outputs, inputs, 1]
        } else {
            let [_, outputs, channels, height, width] = axes(g, op, name, "mean", part.mean, "SOCKK")?;
            [1, outputs, channels * height * width]
        };
        if g.shape(part.mean).samples() != 1 {
            return Err(mismatch(g, op, name, "mean", part.mean, "of one sample"));
        }
        if g.shape(part.multipliers).sizes() != [samples, channels] {
            let expected = format!("of {channels} elements in each of {samples} samples");
            return Err(mismatch(g, op, name, "multipliers", part.multipliers, &expected));
        }
        let stream = match noise {
            true => g.store.stream(&format!("{name}.{}", g.name(part.mean)))?,
            false => 0,
        };
        let [outer, channels, inner] = [outer, channels, inner].map(|size| size as u32);
        group.push(ScaledPart { outer, channels, inner, stream });
    }
    Ok(group)
}

/// Mean, multipliers, and log variance when there is noise.
fn inputs_of_part(group: &ScaledGroup) -> usize {
    2 + usize::from(group.noise)
}

pub(super) fn forward(e: &mut Emit, node: &Node, group: &ScaledGroup) {
    let mut reads = e.values(&node.inputs);
    if group.noise {
        reads.push(e.words());
    }
    let writes: Vec<_> = e.values(&node.outputs).into_iter().map(|y| (y, Write::Set)).collect();
    e.call(Kind::ScaledSamples(*group), &reads, &writes);
}

/// dmean = sum over samples of dy z, dz = sum over a multiplier's weights of dy mean; dlog variance as that of Gaussian samples.
pub(super) fn backward(e: &mut Emit, node: &Node, group: &ScaledGroup) {
    let mut wanted = ScaledGroup::empty(group.samples, group.noise);
    let mut of_noise = GaussianGroup::empty(group.samples);
    let [mut reads, mut noise_reads] = [Vec::new(), Vec::new()];
    let [mut writes, mut noise_writes] = [Vec::new(), Vec::new()];
    for (index, (inputs, &y)) in node.inputs.chunks(inputs_of_part(group)).zip(&node.outputs).enumerate() {
        let Some(dy) = e.gradient(y) else { continue };
        if inputs[..2].iter().any(|&input| e.wants(input)) {
            wanted.push(group.part[index]);
            reads.extend([e.value(inputs[0]), e.value(inputs[1]), dy]);
            writes.extend(inputs[..2].iter().map(|&input| e.gradient_or_scratch(input)));
        }
        if let Some(&log_variance) = inputs.get(2)
            && e.wants(log_variance)
        {
            let value = e.value(log_variance);
            of_noise.push(value.elements() as u32, group.part[index].stream);
            noise_reads.extend([value, dy]);
            let unused = e.scratch("unused.gradient", Dtype::Real, value.elements());
            noise_writes.extend([(unused, Write::Set), e.gradient_target(log_variance)]);
        }
    }
    if wanted.parts > 0 {
        e.call(Kind::ScaledSamplesGrad(wanted), &reads, &writes);
    }
    if of_noise.parts > 0 {
        noise_reads.push(e.words());
        e.call(Kind::GaussianSamplesGrad(of_noise), &noise_reads, &noise_writes);
    }
}
