//! LeNet: conv 5x5 -> 20, ReLU, pool; conv 5x5 -> 50, ReLU, pool; dense -> 500, ReLU; dense -> classes.

use super::{Model, WeightSpec, Weights, dense, filters};
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::conv2d::Padding;
use crate::ops::elementwise::relu;
use crate::ops::pool2d::max_pool2d;
use crate::{Error, Result};

/// Sizes of a LeNet. [`LeNet::new`] gives those of the paper (431,080 weights for 28x28x1 images and 10 classes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeNet {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub filters: [usize; 2],
    pub units: usize,
    pub classes: usize,
}

const KERNEL: usize = 5;

impl LeNet {
    /// The network of arXiv 1711.01297 for images of the given size.
    ///
    /// # Errors
    /// When the images are smaller than 16x16, so that nothing is left after two convolutions and pools.
    pub fn new(channels: usize, height: usize, width: usize, classes: usize) -> Result<Self> {
        if height.min(width) < 16 {
            return Err(Error::input(format!(
                "lenet: expected images of at least 16x16 pixels, found {height}x{width}"
            )));
        }
        Ok(Self { channels, height, width, filters: [20, 50], units: 500, classes })
    }

    /// Elements of an image after both convolutions and pools.
    fn features(&self) -> usize {
        let pooled = |pixels: usize| (pixels + 1 - KERNEL) / 2;
        let side = |pixels: usize| pooled(pooled(pixels));
        self.filters[1] * side(self.height) * side(self.width)
    }
}

impl Model for LeNet {
    fn name(&self) -> &'static str {
        "lenet"
    }

    fn weights(&self) -> Vec<WeightSpec> {
        [
            filters("conv1", self.channels, self.filters[0], KERNEL, 2.0),
            filters("conv2", self.filters[0], self.filters[1], KERNEL, 2.0),
            dense("fc1", self.features(), self.units, 2.0),
            dense("fc2", self.units, self.classes, 1.0),
        ]
        .concat()
    }

    fn logits(&self, g: &mut Graph, x: TensorId, weights: &Weights) -> Result<TensorId> {
        weights.expect(self.name(), &self.weights())?;
        let h = conv_relu_pool(g, "conv1", (x, 0), weights)?;
        let h = conv_relu_pool(g, "conv2", (h, 1), weights)?;
        let (samples, batch) = (g.shape(h).sizes()[0], g.shape(h).sizes()[1]);
        let h = g.reshape(h, Shape::new(&[('S', samples), ('N', batch), ('I', self.features())]))?;
        let h = weights.dense(g, "fc1", h, 2)?;
        let h = relu(g, "fc1.relu", h)?;
        let h = weights.dropout(g, "fc1", h)?;
        weights.dense(g, "fc2", h, 3)
    }
}

/// Dropout stands before the pool.
fn conv_relu_pool(g: &mut Graph, name: &str, (x, layer): (TensorId, usize), weights: &Weights) -> Result<TensorId> {
    let h = weights.conv2d(g, name, (x, layer), 1, Padding::Valid)?;
    let h = relu(g, &format!("{name}.relu"), h)?;
    let h = weights.dropout(g, name, h)?;
    max_pool2d(g, &format!("{name}.pool"), h, 2, 2)
}
