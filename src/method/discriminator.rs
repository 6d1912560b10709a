//! The divergence by a density ratio (arXiv 1711.01297): a network that tells generated weights from draws of the prior learns, as its
//! logit, log q(w) / p(w) of single weights (Sugiyama, Suzuki & Kanamori 2012, "Density ratio estimation in machine learning").

use super::KlKind;
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::elementwise::{add, relu, scale, sum, unary};
use crate::ops::linear::linear;
use crate::ops::noise::normal;
use crate::ops::subset::subset;

/// Units of its hidden layers.
const HIDDEN: [usize; 3] = [64, 64, 64];

/// Who is to learn from a pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Learns {
    Discriminator,
    Weights,
}

/// KL = sum over all D weights of the mean logit over samples, from `random_weights` of them. No gradient reaches the
/// discriminator.
///
/// # Errors
/// When the parts have different numbers of samples.
pub(super) fn kl(g: &mut Graph, weights: &[TensorId], random_weights: usize) -> Result<TensorId> {
    let (w, total) = chosen(g, weights, random_weights)?;
    let rows = g.shape(w).elements();
    let logits = logits(g, "kl", w, Learns::Weights)?;
    let logits = sum(g, "kl.sum", logits)?;
    // rows = M S: D / M for the weights left out, 1 / S for the mean over samples.
    scale(g, "kl", logits, total as f32 / rows as f32)
}

/// The discriminator's loss, if `kl` needs one: mean of softplus(-logit) over generated weights plus mean of softplus(logit) over as many
/// draws of N(0, prior_scale^2). No gradient reaches the weights.
///
/// # Errors
/// As [`kl`].
pub(super) fn discriminator_loss(
    g: &mut Graph,
    kl: KlKind,
    weights: &[TensorId],
    (prior_scale, random_weights): (f32, usize),
) -> Result<Option<TensorId>> {
    if kl != KlKind::Disc {
        return Ok(None);
    }
    let (w, _) = chosen(g, weights, random_weights)?;
    let (w, rows) = (g.stop_gradient(w), g.shape(w).elements());
    let prior = normal(g, "kl.prior", Shape::new(&[('S', 1), ('N', rows), ('I', 1)]), prior_scale)?;
    let of_generated = mean_softplus(g, "disc.generated", w, -1.0)?;
    let of_prior = mean_softplus(g, "disc.prior", prior, 1.0)?;
    add(g, "disc.loss", of_generated, of_prior, 1.0).map(Some)
}

/// Weights [1, N = S M, 1] of this step, and D.
fn chosen(g: &mut Graph, weights: &[TensorId], random_weights: usize) -> Result<(TensorId, usize)> {
    let total: usize = weights.iter().map(|&w| g.shape(w).elements() / g.shape(w).samples()).sum();
    let w = subset(g, "kl.subset", weights, random_weights.min(total))?;
    let rows = g.shape(w).elements();
    let w = g.reshape(w, Shape::new(&[('S', 1), ('N', rows), ('I', 1)]))?;
    Ok((w, total))
}

/// Mean over the rows of ln(1 + e^(sign logit)).
fn mean_softplus(g: &mut Graph, name: &str, x: TensorId, sign: f32) -> Result<TensorId> {
    let rows = g.shape(x).elements();
    let logits = logits(g, name, x, Learns::Discriminator)?;
    let signed = scale(g, &format!("{name}.signed"), logits, sign)?;
    let losses = unary(g, &format!("{name}.softplus"), signed, Unary::Softplus)?;
    let losses = sum(g, &format!("{name}.sum"), losses)?;
    scale(g, name, losses, 1.0 / rows as f32)
}

/// x [1, N, 1] -> logits [1, N, 1]
fn logits(g: &mut Graph, name: &str, x: TensorId, learns: Learns) -> Result<TensorId> {
    let (mut h, mut inputs) = (x, 1);
    for (index, outputs) in HIDDEN.into_iter().chain([1]).enumerate() {
        let layer = format!("disc.layer{}", index + 1);
        let gain = if index == HIDDEN.len() { 1.0 } else { 2.0 };
        let init = Init::Normal((gain / inputs as f32).sqrt());
        let mut w = g.parameter(&format!("{layer}.w"), Shape::new(&[('S', 1), ('O', outputs), ('I', inputs)]), init)?;
        let mut b = g.parameter(&format!("{layer}.b"), Shape::new(&[('S', 1), ('O', outputs)]), Init::Constant(0.0))?;
        if learns == Learns::Weights {
            (w, b) = (g.stop_gradient(w), g.stop_gradient(b));
        }
        let label = format!("{name}.layer{}", index + 1);
        h = linear(g, &label, h, w, Some(b))?;
        if index < HIDDEN.len() {
            h = relu(g, &format!("{label}.relu"), h)?;
        }
        inputs = outputs;
    }
    Ok(h)
}
