//! Methods: where a main network's weights come from, and what keeps them near their prior.

mod auxiliary;
mod bbb;
mod bbh;
mod discriminator;
mod draws_kl;
mod dropout;
mod ensemble;
mod flow;
mod generator;
mod map;
mod mnf;

pub use bbb::Bbb;
pub use bbh::{Bbh, GeneratorKind, InitKind, KlKind, NoiseKind};
pub use draws_kl::draws_kl;
pub use dropout::Dropout;
pub use ensemble::Ensemble;
pub use generator::shared_slices;
pub use map::Map;
pub use mnf::Mnf;

use crate::call::MOST_PARTS;
use crate::graph::{Graph, Init, TensorId};
use crate::model::{WeightSpec, Weights};
use crate::ops::elementwise::{half_squared_norm, scale};
use crate::ops::pairwise::nearest_neighbour_kl;
use crate::ops::per_weight_kl::per_weight_kl;
use crate::{Error, Result};

/// A source of weights.
pub trait Method {
    /// Name in configuration files.
    fn name(&self) -> &'static str;

    /// Which networks its predictions are the mean of.
    fn networks(&self) -> Networks;

    /// One tensor [S, ..] for each spec, S = `samples` when networks are drawn, the number of members, or 1.
    ///
    /// # Errors
    /// When the method's settings do not fit the network.
    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>>;

    /// What a main network runs with in training: the weights, and how activations are treated.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    fn network(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Weights> {
        self.weights(g, specs, samples).map(Weights::new)
    }

    /// The term that, times anneal / N, is added to the cross-entropy; `None` when there is none.
    ///
    /// # Errors
    /// When the estimate needs more samples than there are.
    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &Weights) -> Result<Option<TensorId>>;

    /// What else a step minimises, with a factor of 1 from the first step on and gradients of its own only: the loss of a
    /// discriminator; `None` when there is none.
    ///
    /// # Errors
    /// As [`kl`](Self::kl).
    fn auxiliary_loss(&self, _g: &mut Graph, _weights: &[TensorId]) -> Result<Option<TensorId>> {
        Ok(None)
    }
}

/// The networks that a method predicts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Networks {
    /// One.
    One,
    /// A fixed number, side by side along the sample axis.
    Members(usize),
    /// As many as are drawn by [`Method::weights`].
    Drawn,
    /// One set of weights, activations dropped anew for each prediction.
    Masked,
}

impl Networks {
    /// Samples S of a training step that would draw `wanted`.
    pub fn samples(self, wanted: usize) -> usize {
        match self {
            Self::One | Self::Masked => 1,
            Self::Members(members) => members,
            Self::Drawn => wanted,
        }
    }

    /// Networks (or masks) that predict when `wanted` would be drawn.
    pub fn predicting(self, wanted: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Members(members) => members,
            Self::Drawn | Self::Masked => wanted,
        }
    }

    /// Networks trained side by side, each on batches of its own.
    pub fn members(self) -> usize {
        if let Self::Members(members) = self { members } else { 1 }
    }
}

/// Weight decay on the kernels of all samples: sum of w^2 / (2 prior_scale), as a log prior.
fn decay(g: &mut Graph, specs: &[WeightSpec], weights: &[TensorId], prior_scale: f32) -> Result<Option<TensorId>> {
    let kernels = specs.iter().zip(weights).filter(|(spec, _)| spec.is_kernel());
    let kernels: Vec<TensorId> = kernels.map(|(_, &w)| w).collect();
    let mut terms = Vec::new();
    for (index, list) in kernels.chunks(MOST_PARTS).enumerate() {
        terms.push(half_squared_norm(g, &format!("decay.norm{index}"), list)?);
    }
    let Some(sum) = total(g, "decay", &terms)? else { return Ok(None) };
    Ok(Some(scale(g, "decay", sum, 1.0 / prior_scale)?))
}

/// The divergence from N(0, prior_scale^2), estimated from samples of the weights, `random_weights` of them by a discriminator.
fn sample_kl(
    g: &mut Graph,
    kl: KlKind,
    weights: &[TensorId],
    (prior_scale, random_weights): (f32, usize),
) -> Result<Option<TensorId>> {
    match kl {
        KlKind::None => Ok(None),
        KlKind::Full => nearest_neighbour_kl(g, "kl", weights, prior_scale).map(Some),
        KlKind::PerWeight => {
            let parts = per_weight_kl(g, "kl", weights, prior_scale)?;
            total(g, "kl.sum", &parts)
        }
        KlKind::Disc => discriminator::kl(g, weights, random_weights).map(Some),
        KlKind::ClosedForm => {
            Err(Error::input("kl: closed-form needs the density of the weights; choose full or per-weight"))
        }
    }
}

/// How the weights of an ordinary network start: N(0, gain / fan-in), biases 0.
fn start_of_mean(spec: &WeightSpec) -> Init {
    match spec.is_kernel() {
        true => Init::Normal((spec.gain / spec.fan_in as f32).sqrt()),
        false => Init::Constant(0.0),
    }
}

/// The sum of tensors of one element.
fn total(g: &mut Graph, name: &str, terms: &[TensorId]) -> Result<Option<TensorId>> {
    let Some((&first, rest)) = terms.split_first() else { return Ok(None) };
    let mut sum = first;
    for (index, &term) in rest.iter().enumerate() {
        sum = crate::ops::elementwise::add(g, &format!("{name}.{index}"), sum, term, 1.0)?;
    }
    Ok(Some(sum))
}
