//! A multilayer perceptron of any depth and width: dense layers with ReLU between them.

use super::{Model, WeightSpec, dense};
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::elementwise::relu;
use crate::ops::linear::linear;
use crate::{Error, Result};

/// Sizes of a perceptron.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mlp {
    /// Pixels of an image, all channels.
    pub inputs: usize,
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    pub classes: usize,
}

impl Model for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn weights(&self) -> Vec<WeightSpec> {
        let mut inputs = self.inputs;
        let mut specs = Vec::new();
        for (index, &units) in self.hidden.iter().enumerate() {
            specs.extend(dense(&format!("fc{}", index + 1), inputs, units, 2.0));
            inputs = units;
        }
        specs.extend(dense(&format!("fc{}", self.hidden.len() + 1), inputs, self.classes, 1.0));
        specs
    }

    fn logits(&self, g: &mut Graph, x: TensorId, weights: &[TensorId]) -> Result<TensorId> {
        let layers = self.hidden.len() + 1;
        if weights.len() != 2 * layers {
            return Err(Error::input(format!("mlp: expected {} weight tensors, found {}", 2 * layers, weights.len())));
        }
        let batch = g.shape(x).axis('N').unwrap_or(1);
        let mut h = g.reshape(x, Shape::new(&[('S', 1), ('N', batch), ('I', self.inputs)]))?;
        for (index, pair) in weights.chunks_exact(2).enumerate() {
            let name = format!("fc{}", index + 1);
            h = linear(g, &name, h, pair[0], Some(pair[1]))?;
            if index + 1 < layers {
                h = relu(g, &format!("{name}.relu"), h)?;
            }
        }
        Ok(h)
    }
}
