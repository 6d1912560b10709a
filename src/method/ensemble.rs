//! Deep ensembles (Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive uncertainty estimation"): networks of
//! different random starts, each on batches of its own, trained side by side as the samples S of one plan.

use super::{Method, Networks, decay, start_of_mean};
use crate::Result;
use crate::graph::{Graph, TensorId};
use crate::model::{WeightSpec, Weights};

/// Settings of the method.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    pub members: usize,
    /// As that of MAP, for each member.
    pub prior_scale: f32,
}

impl Method for Ensemble {
    fn name(&self) -> &'static str {
        "ensemble"
    }

    fn networks(&self) -> Networks {
        Networks::Members(self.members)
    }

    /// S = members, whatever `samples` says.
    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], _samples: usize) -> Result<Vec<TensorId>> {
        specs.iter().map(|spec| g.parameter(&spec.name, spec.shape(self.members), start_of_mean(spec))).collect()
    }

    fn network(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Weights> {
        let tensors = self.weights(g, specs, samples)?;
        Ok(Weights { members: self.members, ..Weights::new(tensors) })
    }

    /// The sum over the members.
    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &[TensorId]) -> Result<Option<TensorId>> {
        decay(g, specs, weights, self.prior_scale)
    }
}
