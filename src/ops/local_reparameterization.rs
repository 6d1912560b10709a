//! Local reparameterisation (Kingma, Salimans & Welling 2015, "Variational dropout and the local reparameterization trick",
//! equation 6): the outputs of a layer of Gaussian weights are drawn, not its weights.

use super::mismatch;
use crate::Result;
use crate::call::{Dtype, Kind, Write};
use crate::graph::{Emit, Graph, Node, Op, TensorId};

/// y = mean + sqrt(variance) * eps, eps ~ N(0, 1) of each element, from the stream called `name`. The gradient draws eps again: it
/// is never stored. Where the variance is not above 0, y = mean, and the variance gets no gradient.
///
/// # Errors
/// When the shapes differ.
pub fn local_reparameterization(g: &mut Graph, name: &str, mean: TensorId, variance: TensorId) -> Result<TensorId> {
    let shape = g.shape(mean).clone();
    if g.shape(variance) != &shape {
        let like_mean = format!("{shape} like its mean");
        return Err(mismatch(g, "local_reparameterization", name, "variance", variance, &like_mean));
    }
    let stream = g.store.stream(name)?;
    Ok(g.node(Op::LocalReparameterization(stream), name, &[mean, variance], &[("", shape, Dtype::Real)])?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node, stream: u32) {
    let y = e.value(node.outputs[0]);
    let reads = [e.value(node.inputs[0]), e.value(node.inputs[1]), e.words()];
    let elements = y.elements() as u32;
    e.call(Kind::LocalReparameterization { elements, stream }, &reads, &[(y, Write::Set)]);
}

/// dmean = dy, dvariance = dy eps / (2 sqrt(variance))
pub(super) fn backward(e: &mut Emit, node: &Node, stream: u32) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    let reads = [e.value(node.inputs[1]), dy, e.words()];
    let writes = [e.gradient_or_scratch(node.inputs[0]), e.gradient_or_scratch(node.inputs[1])];
    let elements = dy.elements() as u32;
    e.call(Kind::LocalReparameterizationGrad { elements, stream }, &reads, &writes);
}
