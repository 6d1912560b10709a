//! Values of settings that nobody gave.

use super::options::{Anneal, MethodKind};
use crate::method::GeneratorKind;

/// The KL's factor reaches 1/3 at the last epoch; for the synthetic set, whose KL / N is six times as large, 1/12.
pub fn default_anneal(epochs: f32, synthetic: bool) -> Anneal {
    Anneal(epochs * 0.5, epochs * if synthetic { 6.0 } else { 1.5 })
}

/// The best of a few learning rates tried for few epochs of MNIST.
pub fn default_rate(method: MethodKind, generator: GeneratorKind) -> f32 {
    match (method, generator) {
        (MethodKind::Bbh, GeneratorKind::Sliced | GeneratorKind::LayerWise) => 1e-3,
        _ => 2e-3,
    }
}

/// Log variance -30, as in the authors' code for the residual network.
pub const RESNET_SIGMA: f32 = 3.059e-7;

/// Log variance -9, as in the authors' code.
pub fn default_sigma() -> f32 {
    0.011_109
}

pub fn default_random_weights() -> usize {
    5000
}

pub fn default_keep() -> f32 {
    0.5
}

pub fn default_depth() -> usize {
    5
}

pub fn default_width() -> usize {
    16
}

pub fn default_members() -> usize {
    10
}

pub fn default_threshold() -> f32 {
    0.5
}

pub fn default_flow_steps() -> usize {
    2
}

pub fn default_flow_hidden() -> usize {
    50
}

pub fn default_aux_hidden() -> usize {
    100
}

pub fn is_cifar(data: &str) -> bool {
    matches!(data, "cifar10" | "cifar5")
}

/// The out-of-distribution set that a newcomer would expect beside a data set.
pub fn default_ood(data: &str) -> &'static str {
    match data {
        "mnist" | "fashion-mnist" => "notmnist",
        "cifar5" => "cifar5-rest",
        "synthetic" => "letters",
        _ => "uniform",
    }
}
