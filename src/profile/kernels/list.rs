//! The kernels by name: their letters with LeNet's sizes (batch 100, S = 5), and the graph that leads to them.

use super::graphs::{self, Built, Sizes};
use crate::Result;
use crate::graph::Graph;
use std::fmt::Write;

/// What a plan does with a graph so that a kernel's call is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Computes the output.
    Forward,
    /// Differentiates the output by all arguments.
    Gradient,
    /// Trains the arguments by Adam.
    Update,
    /// The same with gradients clipped by value.
    Clip,
}

use Mode::{Clip, Forward, Gradient, Update};

/// Kernels of one graph.
#[derive(Debug)]
pub struct Entry {
    pub kernels: &'static [(&'static str, Mode)],
    /// Letters in the order of [`crate::call`], with default sizes.
    pub letters: &'static [(char, usize)],
    /// What a shape must satisfy for the engine to choose this kernel.
    pub condition: &'static str,
    pub build: fn(&mut Graph, &Sizes) -> Result<Built>,
}

impl Entry {
    /// `S=5,N=100`: the letters with their defaults.
    pub fn text(&self) -> String {
        sizes(self.letters)
    }
}

/// `S=5,N=100`
pub fn sizes(letters: &[(char, usize)]) -> String {
    letters.iter().map(|(letter, size)| format!("{letter}={size}")).collect::<Vec<_>>().join(",")
}

/// Every kernel with its letters and their defaults, a line each.
pub fn text() -> String {
    let mut text = format!("{:<26} letters and their sizes unless --shape gives others\n", "kernel");
    for entry in KERNELS {
        for (name, _) in entry.kernels {
            let _ = writeln!(text, "{name:<26} {}", entry.text());
        }
    }
    text
}

const ANY: &str = "other sizes";

/// Second convolution: 20 channels 12x12, 50 filters 5x5.
const CONV2D: &[(char, usize)] = &[('S', 5), ('N', 100), ('C', 20), ('H', 12), ('W', 12), ('O', 50), ('K', 5)];
/// What the first convolution leaves.
const POOL2D: &[(char, usize)] = &[('S', 5), ('N', 100), ('C', 20), ('H', 24), ('W', 24), ('K', 2)];
/// All weights of one network, and of S of them.
const WEIGHTS: &[(char, usize)] = &[('D', 431_080)];
/// Inputs of LeNet's first dense layer.
const MULTIPLIERS: &[(char, usize)] = &[('D', 800)];
const SAMPLES: &[(char, usize)] = &[('S', 5), ('D', 431_080)];
const LOGITS: &[(char, usize)] = &[('S', 5), ('N', 100), ('O', 10)];

/// All kernels that can be asked for alone.
pub const KERNELS: &[Entry] = &[
    Entry {
        kernels: &[("linear", Forward), ("linear_grad_input", Gradient), ("linear_grad_weight", Gradient)],
        letters: &[('S', 5), ('N', 100), ('I', 800), ('O', 500)],
        condition: ANY,
        build: graphs::linear,
    },
    Entry {
        kernels: &[("linear_rank_update", Update)],
        letters: &[('N', 5), ('I', 512), ('O', 400_000)],
        condition: "N of at most 16 and I times O of at least 1048576",
        build: graphs::linear,
    },
    Entry {
        kernels: &[("conv2d", Forward), ("conv2d_grad_input", Gradient), ("conv2d_grad_weight", Gradient)],
        letters: CONV2D,
        condition: ANY,
        build: graphs::conv2d,
    },
    Entry {
        kernels: &[
            ("conv2d_pool", Forward),
            ("conv2d_pool_grad_input", Gradient),
            ("conv2d_pool_grad_weight", Gradient),
        ],
        letters: CONV2D,
        condition: ANY,
        build: graphs::conv2d_pool,
    },
    Entry {
        kernels: &[("bias", Forward), ("bias_grad", Gradient)],
        letters: &[('S', 5), ('N', 100), ('O', 50), ('H', 8), ('W', 8)],
        condition: ANY,
        build: graphs::bias,
    },
    Entry {
        kernels: &[("unary", Forward), ("unary_grad", Gradient)],
        letters: &[('D', 250_000)],
        condition: ANY,
        build: graphs::unary,
    },
    Entry { kernels: &[("add", Forward)], letters: WEIGHTS, condition: ANY, build: graphs::add },
    Entry { kernels: &[("multiply", Forward)], letters: WEIGHTS, condition: ANY, build: graphs::multiply },
    Entry { kernels: &[("scale", Forward)], letters: WEIGHTS, condition: ANY, build: graphs::scale },
    Entry {
        kernels: &[("scale_by_scalar", Forward)],
        letters: WEIGHTS,
        condition: ANY,
        build: graphs::scale_by_scalar,
    },
    Entry {
        kernels: &[("sum", Forward), ("sum_grad", Gradient)],
        letters: WEIGHTS,
        condition: ANY,
        build: graphs::sum,
    },
    Entry {
        kernels: &[("half_squared_norm", Forward)],
        letters: WEIGHTS,
        condition: ANY,
        build: graphs::half_squared_norm,
    },
    Entry {
        kernels: &[("max_pool2d", Forward), ("max_pool2d_grad", Gradient)],
        letters: POOL2D,
        condition: ANY,
        build: graphs::max_pool2d,
    },
    Entry {
        kernels: &[("avg_pool2d", Forward), ("avg_pool2d_grad", Gradient)],
        letters: POOL2D,
        condition: ANY,
        build: graphs::avg_pool2d,
    },
    Entry {
        kernels: &[("norm", Forward), ("norm_grad", Gradient)],
        letters: &[('S', 5), ('N', 100), ('C', 16), ('H', 12), ('W', 12)],
        condition: ANY,
        build: graphs::norm_of,
    },
    Entry {
        kernels: &[("shortcut", Forward), ("shortcut_grad", Gradient)],
        letters: &[('S', 5), ('N', 100), ('C', 16), ('H', 6), ('W', 6), ('O', 32)],
        condition: "O of at least C",
        build: graphs::shortcut_of,
    },
    Entry {
        kernels: &[("concat_one_hot", Forward), ("concat_one_hot_grad", Gradient)],
        letters: &[('S', 5), ('C', 130), ('I', 8)],
        condition: ANY,
        build: graphs::concat_one_hot,
    },
    Entry { kernels: &[("center_samples", Forward)], letters: SAMPLES, condition: ANY, build: graphs::center_samples },
    Entry {
        kernels: &[("mean_samples", Forward), ("mean_samples_grad", Gradient)],
        letters: SAMPLES,
        condition: ANY,
        build: graphs::mean_samples,
    },
    Entry {
        kernels: &[("softmax", Forward), ("softmax_grad", Gradient)],
        letters: LOGITS,
        condition: ANY,
        build: graphs::softmax,
    },
    Entry {
        kernels: &[("log_mean_softmax", Forward), ("log_mean_softmax_grad", Gradient)],
        letters: LOGITS,
        condition: ANY,
        build: graphs::log_mean_softmax,
    },
    Entry {
        kernels: &[("softmax_xent", Forward), ("softmax_xent_grad", Gradient)],
        letters: LOGITS,
        condition: ANY,
        build: graphs::softmax_xent,
    },
    Entry { kernels: &[("dropout", Forward)], letters: &[('D', 1_152_000)], condition: ANY, build: graphs::dropout_of },
    Entry {
        kernels: &[("subset", Forward), ("subset_grad", Gradient)],
        letters: &[('S', 5), ('D', 431_080), ('N', 5000)],
        condition: ANY,
        build: graphs::subset_of,
    },
    Entry { kernels: &[("normal", Forward)], letters: &[('D', 2_155_400)], condition: ANY, build: graphs::normal },
    Entry { kernels: &[("uniform", Forward)], letters: &[('D', 2_155_400)], condition: ANY, build: graphs::uniform },
    Entry {
        kernels: &[
            ("pairwise_distances", Forward),
            ("nearest_neighbour_kl", Forward),
            ("pairwise_distances_grad", Gradient),
        ],
        letters: SAMPLES,
        condition: ANY,
        build: graphs::nearest_neighbour_kl,
    },
    Entry {
        kernels: &[("per_weight_kl", Forward), ("per_weight_kl_grad", Gradient)],
        letters: SAMPLES,
        condition: ANY,
        build: graphs::per_weight_kl,
    },
    Entry {
        kernels: &[("gaussian_samples", Forward), ("gaussian_samples_grad", Gradient)],
        letters: SAMPLES,
        condition: ANY,
        build: graphs::gaussian_samples,
    },
    Entry {
        kernels: &[("gaussian_kl", Forward), ("gaussian_kl_grad", Gradient)],
        letters: WEIGHTS,
        condition: ANY,
        build: graphs::gaussian_kl,
    },
    Entry {
        kernels: &[("scaled_samples", Forward), ("scaled_samples_grad", Gradient)],
        letters: &[('S', 1), ('O', 500), ('I', 800)],
        condition: ANY,
        build: graphs::scaled_means,
    },
    Entry {
        kernels: &[("capped_variances", Forward), ("capped_variances_grad", Gradient)],
        letters: WEIGHTS,
        condition: ANY,
        build: graphs::capped_variances,
    },
    Entry {
        kernels: &[("local_reparameterization", Forward), ("local_reparameterization_grad", Gradient)],
        letters: &[('D', 1_152_000)],
        condition: ANY,
        build: graphs::local_reparameterization,
    },
    Entry {
        kernels: &[("log_density", Forward), ("log_density_grad", Gradient)],
        letters: MULTIPLIERS,
        condition: ANY,
        build: graphs::log_density,
    },
    Entry {
        kernels: &[("coupling_mask", Forward)],
        letters: MULTIPLIERS,
        condition: ANY,
        build: graphs::coupling_mask,
    },
    Entry {
        kernels: &[("coupling", Forward), ("coupling_grad", Gradient)],
        letters: MULTIPLIERS,
        condition: ANY,
        build: graphs::coupling,
    },
    Entry {
        kernels: &[("coupling_log_determinant", Forward)],
        letters: MULTIPLIERS,
        condition: ANY,
        build: graphs::coupling_log_determinant,
    },
    Entry {
        kernels: &[("optimizer_step", Update), ("clip_by_value", Clip)],
        letters: &[('D', 1_858_228)],
        condition: ANY,
        build: graphs::half_squared_norm,
    },
    Entry {
        kernels: &[("gather_batch", Forward)],
        letters: &[('N', 100), ('C', 1), ('H', 28), ('W', 28)],
        condition: ANY,
        build: graphs::gather_batch_of,
    },
    Entry {
        kernels: &[("augment", Forward)],
        letters: &[('N', 100), ('C', 3), ('H', 32), ('W', 32), ('K', 24)],
        condition: ANY,
        build: graphs::augment_of,
    },
];
