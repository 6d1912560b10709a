//! MAP: one set of weights, with weight decay on the kernels as the log of a Gaussian prior.

use super::{Method, start_of_mean, total};
use crate::Result;
use crate::call::MOST_PARTS;
use crate::graph::{Graph, TensorId};
use crate::model::WeightSpec;
use crate::ops::elementwise::{half_squared_norm, scale};

/// Maximum a posteriori.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// The decay is sum of w^2 / (2 prior_scale), scaled by anneal / N like a KL.
    pub prior_scale: f32,
}

impl Method for Map {
    fn name(&self) -> &'static str {
        "map"
    }

    fn is_stochastic(&self) -> bool {
        false
    }

    /// Parameters of the network's own, N(0, gain / fan-in), biases 0.
    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], _samples: usize) -> Result<Vec<TensorId>> {
        specs.iter().map(|spec| g.parameter(&spec.name, spec.shape(1), start_of_mean(spec))).collect()
    }

    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &[TensorId]) -> Result<Option<TensorId>> {
        let kernels = specs.iter().zip(weights).filter(|(spec, _)| spec.is_kernel());
        let kernels: Vec<TensorId> = kernels.map(|(_, &w)| w).collect();
        let mut terms = Vec::new();
        for (index, list) in kernels.chunks(MOST_PARTS).enumerate() {
            terms.push(half_squared_norm(g, &format!("decay.norm{index}"), list)?);
        }
        let Some(sum) = total(g, "decay", &terms)? else { return Ok(None) };
        Ok(Some(scale(g, "decay", sum, 1.0 / self.prior_scale)?))
    }
}
