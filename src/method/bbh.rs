//! Bayes by Hypernet (arXiv 1711.01297): q(w) is the push-forward of z ~ N(0, I) through generators.

use super::discriminator::discriminator_loss;
use super::generator::{Generator, shared_slices};
use super::{Method, Networks, sample_kl};
use crate::graph::{Graph, Shape, TensorId};
use crate::model::{WeightSpec, Weights};
use crate::ops::elementwise::scale;
use crate::ops::noise::normal;
use crate::ops::samples::center_samples;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How generators divide the weights among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorKind {
    /// One generator for each weight tensor; the last layer of the largest has 205 million parameters (LeNet).
    LayerWise,
    /// One generator for each weight tensor, which makes it in slices, one per output channel.
    Sliced,
    /// One generator for everything, in slices.
    Shared,
}

/// Which generators see the same noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseKind {
    /// One z per sample, for all generators.
    Aligned,
    /// A z of its own for each generator.
    Independent,
}

/// How far q is from the prior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KlKind {
    /// Nearest neighbours of whole weight vectors.
    Full,
    /// Nearest neighbours of each weight alone, summed.
    PerWeight,
    /// The integral itself, for Gaussian weights.
    ClosedForm,
    /// The log ratio that a network learns by telling generated weights from draws of the prior.
    Disc,
    /// No KL term.
    None,
}

/// How generators start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum InitKind {
    /// Glorot uniform, outputs used as they are.
    Glorot,
    /// Fan-in variances, outputs scaled so that generated weights start as those of a well-initialised network.
    HyperfanIn,
}

/// Biases start smaller than the kernels of their layer by this factor: an ordinary network starts them at 0.
const BIAS_SHARE: f32 = 0.1;

/// Settings of the method.
#[derive(Clone, Debug, PartialEq)]
pub struct Bbh {
    pub generator: GeneratorKind,
    /// Dimension k of z.
    pub noise_dim: usize,
    pub noise: NoiseKind,
    /// Subtracts the mean over the samples from the generated weights.
    pub zero_mean: bool,
    pub kl: KlKind,
    /// Weights that a discriminator sees in a step.
    pub random_weights: usize,
    pub prior_scale: f32,
    /// Hidden units of the generators.
    pub hidden: Vec<usize>,
    pub init: InitKind,
}

impl Method for Bbh {
    fn name(&self) -> &'static str {
        "bbh"
    }

    fn networks(&self) -> Networks {
        Networks::Drawn
    }

    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>> {
        let raw = match self.generator {
            GeneratorKind::Shared => self.shared(g, specs, samples)?,
            GeneratorKind::LayerWise | GeneratorKind::Sliced => self.layer_wise(g, specs, samples)?,
        };
        specs.iter().zip(raw).map(|(spec, w)| self.scaled(g, spec, w)).collect()
    }

    fn kl(&self, g: &mut Graph, _specs: &[WeightSpec], weights: &Weights) -> Result<Option<TensorId>> {
        sample_kl(g, self.kl, &weights.tensors, (self.prior_scale, self.random_weights))
    }

    fn auxiliary_loss(&self, g: &mut Graph, weights: &[TensorId]) -> Result<Option<TensorId>> {
        discriminator_loss(g, self.kl, weights, (self.prior_scale, self.random_weights))
    }
}

impl Bbh {
    /// One generator for each spec; a sliced one makes one output channel per row.
    fn layer_wise(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>> {
        if self.zero_mean {
            return Err(Error::input("--zero-mean goes with --generator shared; leave it out or change the generator"));
        }
        let aligned = match self.noise {
            NoiseKind::Aligned => Some(self.noise(g, "noise", samples)?),
            NoiseKind::Independent => None,
        };
        let mut weights = Vec::with_capacity(specs.len());
        for spec in specs {
            let z = match aligned {
                Some(z) => z,
                None => self.noise(g, &format!("noise.{}", spec.name), samples)?,
            };
            let sliced = self.generator == GeneratorKind::Sliced && spec.is_kernel();
            let slices = if sliced { spec.outputs() } else { 1 };
            let name = format!("gen.{}", spec.name);
            let generator = self.generator_of(&name, slices, spec.elements() / slices);
            let rows = generator.generate(g, z)?;
            weights.push(g.reshape(rows, spec.shape(samples))?);
        }
        Ok(weights)
    }

    /// One generator whose slices, end to end, are all weights in the order of the specs.
    fn shared(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>> {
        let total: usize = specs.iter().map(WeightSpec::elements).sum();
        let (slices, outputs) = shared_slices(total);
        let z = self.noise(g, "noise", samples)?;
        let rows = self.generator_of("gen", slices, outputs).generate(g, z)?;
        let mut vector = g.reshape(rows, Shape::new(&[('S', samples), ('D', slices * outputs)]))?;
        if self.zero_mean {
            vector = center_samples(g, "gen.center", vector)?;
        }
        let mut offset = 0;
        let mut weights = Vec::with_capacity(specs.len());
        for spec in specs {
            weights.push(g.part(vector, &spec.name, offset, spec.shape(samples))?);
            offset += spec.elements();
        }
        Ok(weights)
    }

    /// Hyperfan-in: outputs of second moment 1 become kernels of variance gain / fan-in, and small biases.
    fn scaled(&self, g: &mut Graph, spec: &WeightSpec, w: TensorId) -> Result<TensorId> {
        let of_kernel = (spec.gain / spec.fan_in as f32).sqrt();
        match (self.init, spec.is_kernel()) {
            (InitKind::Glorot, _) => Ok(w),
            (InitKind::HyperfanIn, true) => scale(g, &spec.name, w, of_kernel),
            (InitKind::HyperfanIn, false) => scale(g, &spec.name, w, BIAS_SHARE * of_kernel),
        }
    }

    fn noise(&self, g: &mut Graph, name: &str, samples: usize) -> Result<TensorId> {
        normal(g, name, Shape::new(&[('S', samples), ('I', self.noise_dim)]), 1.0)
    }

    fn generator_of<'a>(&'a self, name: &'a str, slices: usize, outputs: usize) -> Generator<'a> {
        Generator { name, hidden: &self.hidden, slices, outputs, init: self.init }
    }
}
