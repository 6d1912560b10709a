//! Multiplicative normalising flows (Louizos & Welling 2017, "Multiplicative normalizing flows for variational Bayesian neural
//! networks"): Gaussian weights whose means are scaled by multipliers z ~ q(z), w ~ N(z mean, sigma^2): one for
//! each input of a dense layer, one for each filter of a convolution. q(z) is a Gaussian pushed through flows. Training draws the
//! outputs of each layer, with one z for the whole batch; biases are Gaussian without multipliers.

use super::auxiliary::{Kernel, less, log_auxiliary};
use super::flow::{Flow, Layer};
use super::{Method, Networks, start_of_mean, total};
use crate::call::MOST_PARTS;
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::model::{Multipliers, WeightSpec, Weights};
use crate::ops::capped_variances::capped_variances;
use crate::ops::gaussian::{Gaussian, gaussian_kl, gaussian_samples};
use crate::ops::log_density::log_density;
use crate::ops::scaled::{Scaled, scaled_means, scaled_samples};
use crate::{Error, Result};

/// Deviation of the log variances at the start.
const SPREAD: f32 = 0.05;
/// Variance of the multipliers at the start, as in the authors' code.
const MULTIPLIER_VARIANCE: f32 = 0.1;

/// Settings of the method.
#[derive(Clone, Debug, PartialEq)]
pub struct Mnf {
    pub prior_scale: f32,
    /// Standard deviation at which weights start.
    pub initial_sigma: f32,
    /// Largest standard deviation of a weight: what the authors' code clips and then squares, so that variances are at most its
    /// square. The divergence is that of the clipped ones; theirs is not.
    pub variance_threshold: f32,
    /// Steps of q(z), and of r(z | W).
    pub flow_steps: usize,
    /// Hidden units of a step of q(z).
    pub flow_hidden: usize,
    /// Hidden units of a step of r(z | W).
    pub aux_hidden: usize,
}

impl Method for Mnf {
    fn name(&self) -> &'static str {
        "mnf"
    }

    fn networks(&self) -> Networks {
        Networks::Drawn
    }

    /// Each sample with a z of its own.
    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>> {
        let posteriors = self.posteriors(g, specs)?;
        let z = self.multipliers(g, specs, samples)?.z;
        let (kernels, biases): (Vec<usize>, Vec<usize>) = (0..specs.len()).partition(|&index| specs[index].is_kernel());
        let mut weights = vec![TensorId(0); specs.len()];
        for (chunk, layers) in kernels.chunks(MOST_PARTS).enumerate() {
            let of_layer = |(place, &index): (usize, &usize)| {
                let Posterior { mean, log_variance, .. } = posteriors[index];
                (Scaled { mean, multipliers: z[chunk * MOST_PARTS + place] }, log_variance)
            };
            let parts: Vec<_> = layers.iter().enumerate().map(of_layer).collect();
            let drawn = scaled_samples(g, &format!("kernels{chunk}"), &parts)?;
            layers.iter().zip(drawn).for_each(|(&index, w)| weights[index] = w);
        }
        for (chunk, layers) in biases.chunks(MOST_PARTS).enumerate() {
            let parts: Vec<Gaussian> = layers.iter().map(|&index| posteriors[index].gaussian()).collect();
            let drawn = gaussian_samples(g, &format!("biases{chunk}"), &parts, (samples, false))?;
            layers.iter().zip(drawn).for_each(|(&index, w)| weights[index] = w);
        }
        Ok(weights)
    }

    /// One z, whatever `samples` says: outputs are drawn instead of weights.
    fn network(&self, g: &mut Graph, specs: &[WeightSpec], _samples: usize) -> Result<Weights> {
        let posteriors = self.posteriors(g, specs)?;
        let drawn = self.multipliers(g, specs, 1)?;
        let log_density = drawn.log_density(g)?;
        let z = drawn.z;
        let mut tensors: Vec<TensorId> = posteriors.iter().map(|posterior| posterior.mean).collect();
        let kernels: Vec<usize> = (0..specs.len()).filter(|&index| specs[index].is_kernel()).collect();
        let parts: Vec<Scaled> =
            kernels.iter().zip(&z).map(|(&index, &multipliers)| Scaled { mean: tensors[index], multipliers }).collect();
        let mut scaled = Vec::with_capacity(parts.len());
        for (chunk, parts) in parts.chunks(MOST_PARTS).enumerate() {
            scaled.extend(scaled_means(g, &format!("means{chunk}"), parts)?);
        }
        kernels.iter().zip(scaled).for_each(|(&index, mean)| tensors[index] = mean);
        let variances = posteriors.iter().map(|posterior| posterior.variance).collect();
        let log_variances = posteriors.iter().map(|posterior| posterior.log_variance).collect();
        let multipliers = Some(Multipliers { z, log_density, log_variances });
        Ok(Weights { variances, multipliers, ..Weights::new(tensors) })
    }

    /// KL(q(W | z) || p(W)) + log q(z) - log r(z | W) for the z of this step: the bound of Louizos & Welling 2017 on
    /// the divergence, with one sample, over all layers.
    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &Weights) -> Result<Option<TensorId>> {
        let Some(multipliers) = &weights.multipliers else {
            return Err(Error::input("mnf: the divergence needs the multipliers that the weights were made with"));
        };
        let log_variances = multipliers.log_variances.iter();
        let gaussian = |(&mean, &log_variance): (&TensorId, &TensorId)| Gaussian { mean, log_variance };
        let parts: Vec<Gaussian> = weights.tensors.iter().zip(log_variances).map(gaussian).collect();
        let mut terms = vec![multipliers.log_density];
        for (chunk, parts) in parts.chunks(MOST_PARTS).enumerate() {
            terms.push(gaussian_kl(g, &format!("kl{chunk}"), parts, self.prior_scale)?);
        }
        let layers = layers(specs);
        let flow = Flow { name: "aux", layers: &layers, steps: self.flow_steps, hidden: self.aux_hidden };
        let kernels = specs.iter().zip(weights.tensors.iter().zip(&weights.variances));
        let kernels: Vec<Kernel> = kernels
            .filter(|(spec, _)| spec.is_kernel())
            .map(|(_, (&mean, &variance))| Kernel { mean, variance })
            .collect();
        let rows = rows(g, &multipliers.z)?;
        let log_r = log_auxiliary(g, &flow, &kernels, rows)?;
        let Some(sum) = total(g, "kl.sum", &terms)? else { return Ok(None) };
        less(g, "kl", sum, log_r).map(Some)
    }
}

/// The posterior of one weight tensor given z, [S = 1, ..] each.
#[derive(Clone, Copy)]
struct Posterior {
    mean: TensorId,
    log_variance: TensorId,
    variance: TensorId,
}

impl Posterior {
    fn gaussian(self) -> Gaussian {
        Gaussian { mean: self.mean, log_variance: self.log_variance }
    }
}

impl Mnf {
    /// The parameters of each weight tensor; means start as the weights of an ordinary network.
    fn posteriors(&self, g: &mut Graph, specs: &[WeightSpec]) -> Result<Vec<Posterior>> {
        let about = Init::NormalAbout { mean: 2.0 * self.initial_sigma.ln(), deviation: SPREAD };
        let cap = self.variance_threshold * self.variance_threshold;
        let mut posteriors = Vec::with_capacity(specs.len());
        for (chunk, specs) in specs.chunks(MOST_PARTS).enumerate() {
            let mut log_variances = Vec::with_capacity(specs.len());
            for spec in specs {
                log_variances.push(g.parameter(&format!("{}.log_variance", spec.name), spec.shape(1), about)?);
            }
            let capped = capped_variances(g, &format!("variances{chunk}"), &log_variances, cap)?;
            for (spec, (log_variance, variance)) in specs.iter().zip(capped) {
                let mean = g.parameter(&format!("{}.mean", spec.name), spec.shape(1), start_of_mean(spec))?;
                posteriors.push(Posterior { mean, log_variance, variance });
            }
        }
        Ok(posteriors)
    }

    /// A z of each kernel for each sample.
    fn multipliers(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Drawn> {
        let layers = layers(specs);
        let mut parts = Vec::with_capacity(layers.len());
        for layer in &layers {
            let shape = Shape::new(&[('S', 1), ('D', layer.multipliers)]);
            let mean = g.parameter(&format!("mnf.{}.z.mean", layer.name), shape.clone(), Init::Constant(1.0))?;
            let about = Init::NormalAbout { mean: MULTIPLIER_VARIANCE.ln(), deviation: SPREAD };
            let log_variance = g.parameter(&format!("mnf.{}.z.log_variance", layer.name), shape, about)?;
            parts.push(Gaussian { mean, log_variance });
        }
        let mut start = Vec::with_capacity(layers.len());
        for (chunk, parts) in parts.chunks(MOST_PARTS).enumerate() {
            let drawn = gaussian_samples(g, &format!("mnf.z{chunk}"), parts, (samples, false))?;
            start.extend(drawn.into_iter().zip(parts.iter().copied()));
        }
        let flow = Flow { name: "flow", layers: &layers, steps: self.flow_steps, hidden: self.flow_hidden };
        let before: Vec<TensorId> = start.iter().map(|(z, _)| *z).collect();
        let before = rows(g, &before)?;
        let (after, log_determinants) = flow.apply(g, before)?;
        let vectors = layers.iter().zip(after);
        let z = vectors
            .map(|(layer, z)| g.reshape(z, Shape::new(&[('S', samples), ('D', layer.multipliers)])))
            .collect::<Result<_>>()?;
        Ok(Drawn { start, z, log_determinants })
    }
}

/// Samples of the multipliers.
struct Drawn {
    /// What the flows begin with, and its distribution.
    start: Vec<(TensorId, Gaussian)>,
    /// [S, D] of each kernel.
    z: Vec<TensorId>,
    log_determinants: Vec<TensorId>,
}

impl Drawn {
    /// log q(z) of all kernels together, one element, for one sample: the log density of what the flows begin with, less their
    /// log-determinants (change of variables).
    fn log_density(&self, g: &mut Graph) -> Result<TensorId> {
        let mut terms = Vec::new();
        for (chunk, parts) in self.start.chunks(MOST_PARTS).enumerate() {
            terms.push(log_density(g, &format!("mnf.z{chunk}.log_density"), parts)?);
        }
        let at_start =
            total(g, "mnf.log_q0", &terms)?.ok_or_else(|| Error::input("mnf: expected a layer, found none"))?;
        let log_determinant = total(g, "mnf.log_determinant", &self.log_determinants)?;
        less(g, "mnf.log_q", at_start, log_determinant)
    }
}

/// [S, D] as the rows of a linear map: [S = 1, N = S, I = D].
fn rows(g: &mut Graph, vectors: &[TensorId]) -> Result<Vec<TensorId>> {
    let row = |&z: &TensorId| {
        let samples = g.shape(z).samples();
        let len = g.shape(z).elements() / samples;
        g.reshape(z, Shape::new(&[('S', 1), ('N', samples), ('I', len)]))
    };
    vectors.iter().map(row).collect()
}

/// Each kernel's layer, in order.
fn layers(specs: &[WeightSpec]) -> Vec<Layer> {
    let layer = |spec: &WeightSpec| Layer {
        name: spec.name.trim_end_matches(".w").to_string(),
        multipliers: if spec.axes.len() == 2 { spec.axes[1].1 } else { spec.outputs() },
    };
    specs.iter().filter(|spec| spec.is_kernel()).map(layer).collect()
}
