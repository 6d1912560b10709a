//! MC dropout (Gal & Ghahramani 2016, "Dropout as a Bayesian approximation"): one set of weights, activations dropped at random in
//! training and in each prediction, weight decay as for MAP (their equation 1).

use super::{Map, Method, Networks};
use crate::Result;
use crate::graph::{Graph, TensorId};
use crate::model::{WeightSpec, Weights};

/// Settings of the method.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// Probability with which an activation is kept.
    pub keep: f32,
    /// As that of [`Map`].
    pub prior_scale: f32,
}

impl Dropout {
    fn map(&self) -> Map {
        Map { prior_scale: self.prior_scale }
    }
}

impl Method for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn networks(&self) -> Networks {
        Networks::Masked
    }

    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>> {
        self.map().weights(g, specs, samples)
    }

    fn network(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Weights> {
        let tensors = self.weights(g, specs, samples)?;
        Ok(Weights { keep: Some(self.keep), ..Weights::new(tensors) })
    }

    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &[TensorId]) -> Result<Option<TensorId>> {
        self.map().kl(g, specs, weights)
    }
}
