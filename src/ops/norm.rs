//! norm: y = gamma (x - mean) / sqrt(variance + epsilon) + beta with the statistics of the data at hand, in training and in
//! evaluation alike (Ioffe & Szegedy 2015, "Batch normalization", algorithm 1; without running averages).

use super::{axes, mismatch};
use crate::Result;
use crate::call::{Dtype, Kind, NormDims, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};
use serde::{Deserialize, Serialize};

/// Added to the variance.
const EPSILON: f32 = 1e-3;

/// What shares a mean and a variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// Each channel of each image: what is computed from an image does not depend on its batch.
    #[default]
    Instance,
    /// Each channel, over all images of the batch, those that fill up the last one of a pass included.
    Batch,
}

/// x [S, N, C, H, W], gamma and beta [S or 1, C] -> y of x's shape.
///
/// # Errors
/// When gamma or beta have another shape.
pub fn norm(
    g: &mut Graph,
    name: &str,
    (x, gamma, beta): (TensorId, TensorId, TensorId),
    kind: NormKind,
) -> Result<TensorId> {
    let [samples, batch, channels, height, width] = axes(g, "norm", name, "x", x, "SNCHW")?;
    let [sets, _] = axes(g, "norm", name, "gamma", gamma, "SC")?;
    for (argument, tensor) in [("gamma", gamma), ("beta", beta)] {
        if (sets != 1 && sets != samples) || g.shape(tensor) != &Shape::new(&[('S', sets), ('C', channels)]) {
            let expected = format!("[S={samples} or 1, C={channels}]");
            return Err(mismatch(g, "norm", name, argument, tensor, &expected));
        }
    }
    let dims = NormDims {
        samples: samples as u32,
        batch: batch as u32,
        channels: channels as u32,
        inner: (height * width) as u32,
        per_image: u32::from(kind == NormKind::Instance),
        shared: u32::from(sets == 1),
        relu: 0,
        epsilon: EPSILON,
    };
    let statistics = Shape::new(&[('D', dims.statistics())]);
    let outputs = [("", g.shape(x).clone(), Dtype::Real), (".statistics", statistics, Dtype::Real)];
    Ok(g.node(Op::Norm(dims), name, &[x, gamma, beta], &outputs)?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &NormDims) {
    let reads = e.values(&node.inputs);
    let (y, statistics) = (e.value(node.outputs[0]), e.value(node.outputs[1]));
    e.call(Kind::NormForward(*d), &reads, &[(y, Write::Set), (statistics, Write::Set)]);
}

/// With u = (x - mean) / sqrt(variance + epsilon), dz = dy where a ReLU is open, means over the elements that share statistics:
/// dx = gamma / sqrt(variance + epsilon) (dz - mean of dz - u * mean of dz u); dgamma = sum of dz u, dbeta = sum of dz.
pub(super) fn backward(e: &mut Emit, node: &Node, d: &NormDims) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    let [x, gamma, beta, statistics] =
        [node.inputs[0], node.inputs[1], node.inputs[2], node.outputs[1]].map(|tensor| e.value(tensor));
    let mut writes: Vec<_> = node.inputs.iter().map(|&input| e.gradient_or_scratch(input)).collect();
    writes.push((e.scratch(&format!("partials.{}", node.name), Dtype::Real, d.grad_partials()), Write::Set));
    e.call(Kind::NormGrad(*d), &[x, dy, gamma, beta, statistics], &writes);
}
