//! Main networks, each said once: which weights it has, and how an image becomes logits.

mod lenet;
mod likelihood;
mod mlp;
mod resnet;
mod weights;

pub use lenet::LeNet;
pub use likelihood::{Likelihood, with_adversarial_inputs};
pub use mlp::Mlp;
pub use resnet::ResNet;
pub use weights::{Multipliers, Weights};

use crate::Result;
use crate::graph::{Graph, Shape, TensorId};

/// One weight tensor of a main network, without its sample axis.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightSpec {
    /// `conv1.w`, `conv1.b`, ...
    pub name: String,
    /// Axes O C K K (convolution), O I (dense) or O (bias).
    pub axes: Vec<(char, usize)>,
    /// Inputs that one output element sums over (of the layer, for a bias too).
    pub fan_in: usize,
    /// Second moment of the weights times fan-in that keeps activations in scale: 2 before a ReLU, 1 before logits.
    pub gain: f32,
}

impl WeightSpec {
    /// Elements of one sample.
    pub fn elements(&self) -> usize {
        self.axes.iter().map(|axis| axis.1).product()
    }

    /// Output channels or units O.
    pub fn outputs(&self) -> usize {
        self.axes[0].1
    }

    /// True for matrices and filters, false for biases.
    pub fn is_kernel(&self) -> bool {
        self.axes.len() > 1
    }

    /// [S, ..axes]
    pub fn shape(&self, samples: usize) -> Shape {
        let mut axes = vec![('S', samples)];
        axes.extend(&self.axes);
        Shape::new(&axes)
    }
}

/// A main network.
pub trait Model {
    /// Name in configuration files.
    fn name(&self) -> &'static str;

    /// Its weights, in the order in which generators number them.
    fn weights(&self) -> Vec<WeightSpec>;

    /// Images x [S or 1, N, C, H, W] and weights of S networks -> logits [S, N, I = classes].
    ///
    /// # Errors
    /// When x or the weights have other shapes.
    fn logits(&self, g: &mut Graph, x: TensorId, weights: &Weights) -> Result<TensorId>;
}

/// A dense layer's weight and bias.
fn dense(name: &str, inputs: usize, outputs: usize, gain: f32) -> [WeightSpec; 2] {
    layer(name, vec![('O', outputs), ('I', inputs)], inputs, gain)
}

/// A convolution's filters and bias.
fn filters(name: &str, channels: usize, outputs: usize, kernel: usize, gain: f32) -> [WeightSpec; 2] {
    let axes = vec![('O', outputs), ('C', channels), ('K', kernel), ('K', kernel)];
    layer(name, axes, channels * kernel * kernel, gain)
}

fn layer(name: &str, axes: Vec<(char, usize)>, fan_in: usize, gain: f32) -> [WeightSpec; 2] {
    let bias = vec![axes[0]];
    [
        WeightSpec { name: format!("{name}.w"), axes, fan_in, gain },
        WeightSpec { name: format!("{name}.b"), axes: bias, fan_in, gain },
    ]
}
