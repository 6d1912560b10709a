//! A multilayer perceptron of any depth and width: dense layers with ReLU between them.

use super::{Model, WeightSpec, Weights, dense};
use crate::Result;
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::elementwise::relu;

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

    fn logits(&self, g: &mut Graph, x: TensorId, weights: &Weights) -> Result<TensorId> {
        weights.expect(self.name(), &self.weights())?;
        let (samples, batch) = (g.shape(x).samples(), g.shape(x).axis('N').unwrap_or(1));
        let mut h = g.reshape(x, Shape::new(&[('S', samples), ('N', batch), ('I', self.inputs)]))?;
        for layer in 0..self.hidden.len() {
            let name = format!("fc{}", layer + 1);
            h = weights.dense(g, &name, h, layer)?;
            h = relu(g, &format!("{name}.relu"), h)?;
            h = weights.dropout(g, &name, h)?;
        }
        weights.dense(g, &format!("fc{}", self.hidden.len() + 1), h, self.hidden.len())
    }
}
