//! MAP: one set of weights, with weight decay on the kernels as the log of a Gaussian prior.

use super::{Method, Networks, decay, start_of_mean};
use crate::Result;
use crate::graph::{Graph, TensorId};
use crate::model::WeightSpec;

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

    fn networks(&self) -> Networks {
        Networks::One
    }

    /// Parameters of the network's own, N(0, gain / fan-in), biases 0.
    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], _samples: usize) -> Result<Vec<TensorId>> {
        specs.iter().map(|spec| g.parameter(&spec.name, spec.shape(1), start_of_mean(spec))).collect()
    }

    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &[TensorId]) -> Result<Option<TensorId>> {
        decay(g, specs, weights, self.prior_scale)
    }
}
