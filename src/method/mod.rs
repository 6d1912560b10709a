//! Methods: where a main network's weights come from, and what keeps them near their prior.

mod bbb;
mod bbh;
mod generator;
mod map;

pub use bbb::Bbb;
pub use bbh::{Bbh, GeneratorKind, InitKind, KlKind, NoiseKind};
pub use generator::shared_slices;
pub use map::Map;

use crate::graph::{Graph, Init, TensorId};
use crate::model::WeightSpec;
use crate::ops::pairwise::nearest_neighbour_kl;
use crate::ops::per_weight_kl::per_weight_kl;
use crate::{Error, Result};

/// A source of weights.
pub trait Method {
    /// Name in configuration files.
    fn name(&self) -> &'static str;

    /// True when `weights` draws another network each time; false when there is one network only.
    fn is_stochastic(&self) -> bool;

    /// One tensor [S, ..] for each spec, S = `samples` (1 for a method without samples).
    ///
    /// # Errors
    /// When the method's settings do not fit the network.
    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>>;

    /// The term that, times anneal / N, is added to the cross-entropy; `None` when there is none.
    ///
    /// # Errors
    /// When the estimate needs more samples than there are.
    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &[TensorId]) -> Result<Option<TensorId>>;
}

/// The divergence from N(0, prior_scale^2), estimated from samples of the weights.
fn sample_kl(g: &mut Graph, kl: KlKind, weights: &[TensorId], prior_scale: f32) -> Result<Option<TensorId>> {
    match kl {
        KlKind::None => Ok(None),
        KlKind::Full => nearest_neighbour_kl(g, "kl", weights, prior_scale).map(Some),
        KlKind::PerWeight => {
            let parts = per_weight_kl(g, "kl", weights, prior_scale)?;
            total(g, "kl.sum", &parts)
        }
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
