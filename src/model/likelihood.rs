//! The likelihood term of a training step.

use super::{Model, Weights};
use crate::Result;
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::adversarial::fast_gradient_sign;
use crate::ops::elementwise::{add, scale};
use crate::ops::softmax::softmax_xent;

/// What the cross-entropy of a batch is made of.
pub struct Likelihood<'a> {
    pub model: &'a dyn Model,
    pub weights: Weights,
    /// U32 [N = S N] of S members, or [N].
    pub labels: TensorId,
    /// As the labels.
    pub row_weights: TensorId,
    /// Step of the adversarial images that half of the likelihood is of.
    pub adversarial: Option<f32>,
}

impl Likelihood<'_> {
    /// The cross-entropy summed over the members, and the number of correct predictions. With adversarial images
    /// (Lakshminarayanan et al. 2017, algorithm 1): half of it for x, half for x + step sign(d cross-entropy / dx).
    ///
    /// # Errors
    /// When x, the weights or the labels have other shapes than the model's.
    pub fn cross_entropy(&self, g: &mut Graph, x: TensorId) -> Result<(TensorId, TensorId)> {
        let members = self.weights.members as f32;
        let (plain, correct) = self.of_images(g, "cross_entropy", x)?;
        let Some(step) = self.adversarial else {
            let sum = if self.weights.members > 1 { scale(g, "cross_entropy.sum", plain, members)? } else { plain };
            return Ok((sum, correct));
        };
        let half = scale(g, "cross_entropy.half", plain, 0.5 * members)?;
        let moved = fast_gradient_sign(g, "adversarial", x, half, step)?;
        let (other, _) = self.of_images(g, "adversarial.cross_entropy", moved)?;
        let other = scale(g, "adversarial.half", other, 0.5 * members)?;
        let half = g.stop_gradient(half);
        Ok((add(g, "cross_entropy.sum", half, other, 1.0)?, correct))
    }

    fn of_images(&self, g: &mut Graph, name: &str, x: TensorId) -> Result<(TensorId, TensorId)> {
        let mut logits = self.model.logits(g, x, &self.weights)?;
        if self.weights.members > 1 {
            let [rows, classes] = [g.shape(self.labels).elements(), g.shape(logits).axis('I').unwrap_or(1)];
            logits = g.reshape(logits, Shape::new(&[('S', 1), ('N', rows), ('I', classes)]))?;
        }
        softmax_xent(g, name, logits, self.labels, self.row_weights)
    }
}
