//! Residual network of pre-activation units (He et al. 2016, "Identity mappings in deep residual networks"): conv 3x3; three
//! scales of units, the first of each with stride 2; ReLU, global average pool, dense -> classes.

use super::{Model, WeightSpec, Weights, dense, filters};
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::conv2d::Padding;
use crate::ops::elementwise::relu;
use crate::ops::norm::{NormKind, norm};
use crate::ops::pool2d::{avg_pool2d_ceil, global_avg_pool2d};
use crate::ops::shortcut::shortcut;
use crate::{Error, Result};

/// Sizes of a residual network. That of arXiv 1711.01297 has `depth` 5 and `filters` 16: 462,693 weights for 24x24x3 images and 5
/// classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNet {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Units of each scale.
    pub depth: usize,
    /// Filters of the first scale; each further one has twice as many.
    pub filters: usize,
    pub norm: NormKind,
    /// A norm before the last ReLU, which the paper's MAP, dropout and ensemble have.
    pub final_norm: bool,
    pub classes: usize,
}

const KERNEL: usize = 3;
const SCALES: usize = 3;

/// One residual unit.
struct Unit {
    /// `scale1.unit1`
    name: String,
    inputs: usize,
    outputs: usize,
    stride: usize,
}

impl ResNet {
    /// The same sizes when a network has them.
    ///
    /// # Errors
    /// When the images are not square, or so small that the last norm would take a single pixel's deviation from itself.
    pub fn checked(self) -> Result<Self> {
        let (height, width) = (self.height, self.width);
        if height != width {
            return Err(Error::input(format!("resnet: expected square images, found {height}x{width}")));
        }
        if self.final_norm && self.norm == NormKind::Instance && height.div_ceil(1 << SCALES) < 2 {
            return Err(Error::input(format!(
                "resnet: expected images of at least 9x9 pixels for --norm instance, found {height}x{width}: nothing \
                 would be left of the single pixel of the last scale; take --norm batch"
            )));
        }
        Ok(self)
    }

    fn units(&self) -> Vec<Unit> {
        let mut inputs = self.filters;
        let mut units = Vec::with_capacity(SCALES * self.depth);
        for scale in 0..SCALES {
            let outputs = self.filters << scale;
            for unit in 0..self.depth {
                let name = format!("scale{}.unit{}", scale + 1, unit + 1);
                units.push(Unit { name, inputs, outputs, stride: if unit == 0 { 2 } else { 1 } });
                inputs = outputs;
            }
        }
        units
    }

    /// Channels before the global pool.
    fn features(&self) -> usize {
        self.units().last().map_or(self.filters, |unit| unit.outputs)
    }

    /// Norm and ReLU. gamma and beta are parameters beside the weights: one set, or one for each member.
    fn norm_relu(&self, g: &mut Graph, name: &str, x: TensorId, weights: &Weights) -> Result<TensorId> {
        let shape = Shape::new(&[('S', weights.members), ('C', g.shape(x).axis('C').unwrap_or(1))]);
        let gamma = g.parameter(&format!("{name}.gamma"), shape.clone(), Init::Constant(1.0))?;
        let beta = g.parameter(&format!("{name}.beta"), shape, Init::Constant(0.0))?;
        let h = norm(g, name, (x, gamma, beta), self.norm)?;
        relu(g, &format!("{name}.relu"), h)
    }

    /// Norm, ReLU, conv, norm, ReLU, conv, and x beside them: averaged where the convolution strides. Its convolutions are layers
    /// `layer` and the next.
    fn unit(&self, g: &mut Graph, unit: &Unit, (x, layer): (TensorId, usize), weights: &Weights) -> Result<TensorId> {
        let name = |part: &str| format!("{}.{part}", unit.name);
        let h = self.norm_relu(g, &name("norm1"), x, weights)?;
        let h = weights.conv2d(g, &name("conv1"), (h, layer), unit.stride, Padding::Same)?;
        let h = self.norm_relu(g, &name("norm2"), h, weights)?;
        let h = weights.dropout(g, &name("norm2"), h)?;
        let h = weights.conv2d(g, &name("conv2"), (h, layer + 1), 1, Padding::Same)?;
        let x = if unit.stride > 1 { avg_pool2d_ceil(g, &name("pool"), x, unit.stride)? } else { x };
        shortcut(g, &name("sum"), h, x)
    }
}

impl Model for ResNet {
    fn name(&self) -> &'static str {
        "resnet"
    }

    fn weights(&self) -> Vec<WeightSpec> {
        let mut specs = filters("conv1", self.channels, self.filters, KERNEL, 2.0).to_vec();
        for unit in self.units() {
            specs.extend(filters(&format!("{}.conv1", unit.name), unit.inputs, unit.outputs, KERNEL, 2.0));
            specs.extend(filters(&format!("{}.conv2", unit.name), unit.outputs, unit.outputs, KERNEL, 2.0));
        }
        specs.extend(dense("fc1", self.features(), self.classes, 1.0));
        specs
    }

    fn logits(&self, g: &mut Graph, x: TensorId, weights: &Weights) -> Result<TensorId> {
        weights.expect(self.name(), &self.weights())?;
        let units = self.units();
        let mut h = weights.conv2d(g, "conv1", (x, 0), 1, Padding::Same)?;
        for (index, unit) in units.iter().enumerate() {
            h = self.unit(g, unit, (h, 1 + 2 * index), weights)?;
        }
        h = if self.final_norm { self.norm_relu(g, "norm", h, weights)? } else { relu(g, "relu", h)? };
        let h = global_avg_pool2d(g, "pool", h)?;
        weights.dense(g, "fc1", h, 1 + 2 * units.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Cpu;
    use crate::graph::Store;
    use crate::plan::{Plan, Request};

    fn paper() -> ResNet {
        let norm = NormKind::Instance;
        ResNet { channels: 3, height: 24, width: 24, depth: 5, filters: 16, norm, final_norm: true, classes: 5 }
    }

    #[test]
    fn the_papers_network_has_as_many_weights_as_there() {
        assert_eq!(paper().weights().iter().map(WeightSpec::elements).sum::<usize>(), 462_693);
    }

    /// Logits of one network for images [N = 2, C = 3, H, W] of which the second is `mate` everywhere but at a corner.
    fn logits(network: &ResNet, mate: f64) -> Vec<f64> {
        let mut store = Store::new();
        let mut g = Graph::new(&mut store);
        let (pixels, specs) = (network.height * network.width, network.weights());
        let axes = [('S', 1), ('N', 2), ('C', 3), ('H', network.height), ('W', network.width)];
        let x = g.parameter("x", Shape::new(&axes), Init::Constant(0.0)).expect("a new name");
        let parameter = |spec: &WeightSpec| g.parameter(&spec.name, spec.shape(1), Init::Constant(0.0));
        let tensors = specs.iter().map(parameter).collect::<Result<_>>().expect("new names");
        let logits = network.logits(&mut g, x, &Weights::new(tensors)).expect("fitting shapes");
        let plan = Plan::build(g, &Request { keep: &[logits], ..Request::default() }, 8).expect("a plan");
        let mut device = Cpu::<f64>::new(&store, &[&plan]).expect("memory");
        for parameter in store.parameters() {
            let values = device.persistent_mut::<f64>(parameter.region);
            values.iter_mut().enumerate().for_each(|(i, value)| *value = ((i * 7919) % 2003) as f64 / 2003.0 - 0.45);
            if parameter.name == "x" {
                values[3 * pixels + 1..].fill(mate);
            }
        }
        device.run(&plan);
        device.read::<f64>(&plan, plan.kept[0]).to_vec()
    }

    #[test]
    fn an_images_logits_depend_on_its_batch_with_batch_norms_only() {
        let of = |norm| {
            let network = ResNet { height: 16, width: 16, depth: 1, filters: 4, norm, ..paper() };
            (logits(&network, 0.0), logits(&network, 1.0))
        };
        let (one, other) = of(NormKind::Instance);
        assert!(one.iter().all(|logit| logit.is_finite()) && one[..5] != one[5..]);
        assert_eq!(one[..5], other[..5]);
        let (one, other) = of(NormKind::Batch);
        assert_ne!(one[..5], other[..5]);
    }

    #[test]
    fn images_that_no_norm_can_tell_apart_are_refused() {
        let of = |side: usize| ResNet { height: side, width: side, ..paper() }.checked();
        let error = of(8).expect_err("one pixel in the last scale").to_string();
        assert!(error.contains("8x8") && error.contains("--norm batch"), "{error}");
        assert!(of(9).is_ok());
        assert!(ResNet { final_norm: false, height: 8, width: 8, ..paper() }.checked().is_ok());
        assert!(ResNet { norm: NormKind::Batch, height: 8, width: 8, ..paper() }.checked().is_ok());
        assert!(ResNet { height: 16, ..paper() }.checked().is_err());
    }
}
