//! Methods: where a main network's weights come from, and what keeps them near their prior.

mod bbh;
mod generator;
mod map;

pub use bbh::{Bbh, GeneratorKind, InitKind, KlKind, NoiseKind};
pub use generator::shared_slices;
pub use map::Map;

use crate::Result;
use crate::graph::{Graph, TensorId};
use crate::model::WeightSpec;

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

/// The sum of tensors of one element.
fn total(g: &mut Graph, name: &str, terms: &[TensorId]) -> Result<Option<TensorId>> {
    let Some((&first, rest)) = terms.split_first() else { return Ok(None) };
    let mut sum = first;
    for (index, &term) in rest.iter().enumerate() {
        sum = crate::ops::elementwise::add(g, &format!("{name}.{index}"), sum, term, 1.0)?;
    }
    Ok(Some(sum))
}
