//! What a method gives a main network to run with, and the layers that use it.

use super::WeightSpec;
use crate::graph::{Graph, TensorId};
use crate::ops::conv2d::{Padding, conv2d};
use crate::ops::dropout::dropout;
use crate::ops::linear::linear;
use crate::{Error, Result};

/// The weights of a main network. Its layers are pairs of a kernel and a bias, counted in the order of its specs.
#[derive(Clone, Debug)]
pub struct Weights {
    /// One tensor [S, ..] for each spec.
    pub tensors: Vec<TensorId>,
    /// Probability with which dropout keeps an activation; `None` keeps all.
    pub keep: Option<f32>,
    /// Networks trained side by side along the sample axis; 1 when the samples are of one distribution.
    pub members: usize,
}

impl Weights {
    /// Weights alone.
    pub fn new(tensors: Vec<TensorId>) -> Self {
        Self { tensors, keep: None, members: 1 }
    }

    /// The first samples of each tensor, or all.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn first_samples(&self, g: &mut Graph, samples: usize) -> Result<Self> {
        if self.tensors.iter().all(|&w| g.shape(w).samples() == samples) {
            return Ok(self.clone());
        }
        let tensors = self.tensors.iter().map(|&w| g.first_samples(w, samples)).collect::<Result<_>>()?;
        Ok(Self { tensors, ..self.clone() })
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

    /// Kernel and bias of a layer.
    fn layer(&self, layer: usize) -> Result<(TensorId, TensorId)> {
        match self.tensors.get(2 * layer..2 * layer + 2) {
            Some(&[kernel, bias]) => Ok((kernel, bias)),
            _ => Err(Error::input(format!("expected weights of layer {layer}, found {} tensors", self.tensors.len()))),
        }
    }

    /// The dense layer number `layer`: x [S or 1, N, I] -> [S, N, O].
    ///
    /// # Errors
    /// When the weights have other shapes.
    pub fn dense(&self, g: &mut Graph, name: &str, x: TensorId, layer: usize) -> Result<TensorId> {
        let (w, b) = self.layer(layer)?;
        linear(g, name, x, w, Some(b))
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
        let (w, b) = self.layer(layer)?;
        conv2d(g, name, (x, w, Some(b)), stride, padding)
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
