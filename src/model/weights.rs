//! What a method gives a main network to run with, and the layers that use it.

use super::WeightSpec;
use crate::call::Unary;
use crate::graph::{Graph, TensorId};
use crate::ops::conv2d::{Padding, conv2d};
use crate::ops::dropout::dropout;
use crate::ops::elementwise::unary;
use crate::ops::linear::linear;
use crate::ops::local_reparameterization::local_reparameterization;
use crate::{Error, Result};

/// The weights of a main network. Its layers are pairs of a kernel and a bias, counted in the order of its specs.
#[derive(Clone, Debug)]
pub struct Weights {
    /// One tensor [S, ..] for each spec.
    pub tensors: Vec<TensorId>,
    /// One tensor [S, ..] for each spec when the weights are Gaussian and `tensors` their means: a layer then draws its outputs
    /// (local reparameterisation). Else empty.
    pub variances: Vec<TensorId>,
    /// What scaled the means of Gaussian weights, when something did.
    pub multipliers: Option<Multipliers>,
    /// Probability with which dropout keeps an activation; `None` keeps all.
    pub keep: Option<f32>,
    /// Networks trained side by side along the sample axis; 1 when the samples are of one distribution.
    pub members: usize,
}

/// Multiplicative noise of Gaussian weights, one sample, and what their divergence from a prior needs besides means and variances.
#[derive(Clone, Debug)]
pub struct Multipliers {
    /// [S = 1, D] for each kernel.
    pub z: Vec<TensorId>,
    /// The log density of all of them together, one element.
    pub log_density: TensorId,
    /// The logarithms of the variances, one for each spec.
    pub log_variances: Vec<TensorId>,
}

impl Weights {
    /// Weights alone.
    pub fn new(tensors: Vec<TensorId>) -> Self {
        Self { tensors, variances: Vec::new(), multipliers: None, keep: None, members: 1 }
    }

    /// The first samples of each tensor, or all.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn first_samples(&self, g: &mut Graph, samples: usize) -> Result<Self> {
        if self.tensors.iter().all(|&w| g.shape(w).samples() == samples) {
            return Ok(self.clone());
        }
        let mut first = |tensors: &[TensorId]| tensors.iter().map(|&w| g.first_samples(w, samples)).collect();
        let (tensors, variances): (Result<_>, Result<_>) = (first(&self.tensors), first(&self.variances));
        Ok(Self { tensors: tensors?, variances: variances?, ..self.clone() })
    }

    /// Checks that there is one tensor for each spec of a network.
    ///
    /// # Errors
    /// A sentence with both numbers.
    pub fn expect(&self, model: &str, specs: &[WeightSpec]) -> Result<()> {
        if self.tensors.len() != specs.len() {
            let (expected, found) = (specs.len(), self.tensors.len());
            return Err(Error::input(format!("{model}: expected {expected} weight tensors, found {found}")));
        }
        Ok(())
    }

    /// The dense layer number `layer`: x [S or 1, N, I] -> [S, N, O].
    ///
    /// # Errors
    /// When the weights have other shapes.
    pub fn dense(&self, g: &mut Graph, name: &str, x: TensorId, layer: usize) -> Result<TensorId> {
        self.outputs(g, name, (x, layer), |g, name, x, (w, b)| linear(g, name, x, w, Some(b)))
    }

    /// The convolution number `layer`: x [S or 1, N, C, H, W] -> [S, N, O, H', W'].
    ///
    /// # Errors
    /// When the weights have other shapes.
    pub fn conv2d(
        &self,
        g: &mut Graph,
        name: &str,
        (x, layer): (TensorId, usize),
        stride: usize,
        padding: Padding,
    ) -> Result<TensorId> {
        self.outputs(g, name, (x, layer), |g, name, x, (w, b)| conv2d(g, name, (x, w, Some(b)), stride, padding))
    }

    /// The outputs of a layer, `map` being its linear map by a kernel and a bias. Those of Gaussian weights are drawn: their mean is
    /// the map of x by the means, their variance the map of x^2 by the variances.
    fn outputs(
        &self,
        g: &mut Graph,
        name: &str,
        (x, layer): (TensorId, usize),
        map: impl Fn(&mut Graph, &str, TensorId, (TensorId, TensorId)) -> Result<TensorId>,
    ) -> Result<TensorId> {
        let mean = map(g, name, x, pair(&self.tensors, layer)?)?;
        if self.variances.is_empty() {
            return Ok(mean);
        }
        let squared = unary(g, &format!("{name}.squared"), x, Unary::Square)?;
        let variance = map(g, &format!("{name}.variance"), squared, pair(&self.variances, layer)?)?;
        local_reparameterization(g, &format!("{name}.drawn"), mean, variance)
    }

    /// Where the paper's networks drop activations: x itself unless the method is dropout.
    ///
    /// # Errors
    /// As those of [`dropout`].
    pub fn dropout(&self, g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
        match self.keep {
            Some(keep) => dropout(g, &format!("{name}.dropout"), x, keep),
            None => Ok(x),
        }
    }
}

/// Kernel and bias of a layer.
fn pair(tensors: &[TensorId], layer: usize) -> Result<(TensorId, TensorId)> {
    match tensors.get(2 * layer..2 * layer + 2) {
        Some(&[kernel, bias]) => Ok((kernel, bias)),
        _ => Err(Error::input(format!("expected weights of layer {layer}, found {} tensors", tensors.len()))),
    }
}
