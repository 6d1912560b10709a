//! Bayes by Backprop (Blundell, Cornebise, Kavukcuoglu & Wierstra 2015, "Weight uncertainty in neural networks"): every weight an
//! independent Gaussian, w = mean + sigma * eps with eps ~ N(0, 1) (section 3.2), sigma^2 = e^log variance, trained on the
//! variational free energy KL(q(w) || p(w)) - E log p(data | w) (equation 1), prior N(0, prior_scale^2).

use super::discriminator::discriminator_loss;
use super::{KlKind, Method, Networks, sample_kl, start_of_mean, total};
use crate::Result;
use crate::call::MOST_PARTS;
use crate::graph::{Graph, Init, TensorId};
use crate::model::{WeightSpec, Weights};
use crate::ops::gaussian::{Gaussian, gaussian_kl, gaussian_samples};

/// Deviation of the log variances at the start.
const SPREAD: f32 = 0.05;

/// Settings of the method.
#[derive(Clone, Debug, PartialEq)]
pub struct Bbb {
    /// In closed form, or an estimate from the samples.
    pub kl: KlKind,
    /// Weights that a discriminator sees in a step.
    pub random_weights: usize,
    pub prior_scale: f32,
    /// One number of noise for each tensor and sample, instead of one for each weight.
    pub aligned_noise: bool,
    /// Standard deviation at which weights start; log variances start as N(2 ln of it, 0.05^2).
    pub initial_sigma: f32,
}

impl Method for Bbb {
    fn name(&self) -> &'static str {
        "bbb"
    }

    fn networks(&self) -> Networks {
        Networks::Drawn
    }

    /// Means start as the weights of an ordinary network.
    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>> {
        let posteriors = self.posteriors(g, specs)?;
        let mut weights = Vec::with_capacity(specs.len());
        for (index, parts) in posteriors.chunks(MOST_PARTS).enumerate() {
            weights.extend(gaussian_samples(g, &format!("weights{index}"), parts, (samples, self.aligned_noise))?);
        }
        Ok(weights)
    }

    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &Weights) -> Result<Option<TensorId>> {
        if self.kl != KlKind::ClosedForm {
            return sample_kl(g, self.kl, &weights.tensors, (self.prior_scale, self.random_weights));
        }
        let posteriors = self.posteriors(g, specs)?;
        let mut terms = Vec::new();
        for (index, parts) in posteriors.chunks(MOST_PARTS).enumerate() {
            terms.push(gaussian_kl(g, &format!("kl{index}"), parts, self.prior_scale)?);
        }
        total(g, "kl", &terms)
    }

    fn auxiliary_loss(&self, g: &mut Graph, weights: &[TensorId]) -> Result<Option<TensorId>> {
        discriminator_loss(g, self.kl, weights, (self.prior_scale, self.random_weights))
    }
}

impl Bbb {
    /// The parameters of each weight tensor.
    fn posteriors(&self, g: &mut Graph, specs: &[WeightSpec]) -> Result<Vec<Gaussian>> {
        let about = Init::NormalAbout { mean: 2.0 * self.initial_sigma.ln(), deviation: SPREAD };
        let posterior = |spec: &WeightSpec| {
            let mean = g.parameter(&format!("{}.mean", spec.name), spec.shape(1), start_of_mean(spec))?;
            let log_variance = g.parameter(&format!("{}.log_variance", spec.name), spec.shape(1), about)?;
            Ok(Gaussian { mean, log_variance })
        };
        specs.iter().map(posterior).collect()
    }
}
