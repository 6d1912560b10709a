//! The likelihood term of a training step, and adversarial training of any loss.

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
    /// The cross-entropy summed over the members, and the number of correct predictions; with adversarial images, as
    /// [`with_adversarial_inputs`] says.
    ///
    /// # Errors
    /// When x, the weights or the labels have other shapes than the model's.
    pub fn cross_entropy(&self, g: &mut Graph, x: TensorId) -> Result<(TensorId, TensorId)> {
        let members = self.weights.members as f32;
        if let Some(step) = self.adversarial {
            let name = "cross_entropy";
            return with_adversarial_inputs(g, name, x, (step, members), |g, name, x| self.of_images(g, name, x));
        }
        let (mean, correct) = self.of_images(g, "cross_entropy", x)?;
        let sum = if self.weights.members > 1 { scale(g, "cross_entropy.sum", mean, members)? } else { mean };
        Ok((sum, correct))
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

/// `factor` times half of a loss at x and half of it at x + step sign(d loss / dx), which is a constant for gradients
/// (Lakshminarayanan et al. 2017, algorithm 1). `loss` builds one element at the given inputs, and a figure beside it, which is
/// returned for x itself. The result must be a term of the step's loss as it is: the reverse pass of its first half, which starts
/// from 1, has run by then.
///
/// # Errors
/// As `loss`.
pub fn with_adversarial_inputs(
    g: &mut Graph,
    name: &str,
    x: TensorId,
    (step, factor): (f32, f32),
    loss: impl Fn(&mut Graph, &str, TensorId) -> Result<(TensorId, TensorId)>,
) -> Result<(TensorId, TensorId)> {
    let (plain, figure) = loss(g, name, x)?;
    let half = scale(g, &format!("{name}.half"), plain, 0.5 * factor)?;
    let moved = fast_gradient_sign(g, "adversarial", x, half, step)?;
    let (other, _) = loss(g, &format!("adversarial.{name}"), moved)?;
    let other = scale(g, "adversarial.half", other, 0.5 * factor)?;
    let half = g.stop_gradient(half);
    Ok((add(g, &format!("{name}.sum"), half, other, 1.0)?, figure))
}
