//! What calls are parameterised with besides dims: element-wise functions and optimisers.

use super::Dtype;
use serde::{Deserialize, Serialize};

/// Function applied after a linear map or a convolution, element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    Identity,
    Relu,
    /// x for x > 0, else slope * x.
    LeakyRelu(f32),
    Tanh,
    Sigmoid,
    Exp,
    Log,
    Sign,
    /// a * x + b
    Affine(f32, f32),
    Square,
    /// ln(1 + e^x)
    Softplus,
}

impl Unary {
    /// Name in messages and printed plans.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Sign => "sign",
            Self::Affine(..) => "affine",
            Self::Square => "square",
            Self::Softplus => "softplus",
        }
    }

    /// True when the gradient follows from the output alone, so that a fused kernel need not keep its input.
    pub fn gradient_from_output(&self) -> bool {
        matches!(self, Self::Identity | Self::Relu | Self::LeakyRelu(_) | Self::Tanh | Self::Sigmoid | Self::Exp)
    }
}

/// How the moments of an optimiser are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Moments {
    #[default]
    Fp32,
    /// Rounded at random to one of the two neighbours, so that the mean is kept (`random::round_at_random`).
    Bf16,
}

impl Moments {
    /// Element type of their buffers.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::Fp32 => Dtype::Real,
            Self::Bf16 => Dtype::Bf16,
        }
    }
}

/// Adam (Kingma & Ba 2015, algorithm 1) or RMSProp, with the constants that do not change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    Adam {
        beta1: f32,
        beta2: f32,
        epsilon: f32,
        moments: Moments,
    },
    /// Mean square decayed by `decay`, `epsilon` inside the root.
    RmsProp {
        decay: f32,
        epsilon: f32,
        moments: Moments,
    },
}

impl Optimizer {
    /// Name in messages and configuration files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adam { .. } => "adam",
            Self::RmsProp { .. } => "rmsprop",
        }
    }

    /// Moment buffers per parameter: 2 for Adam (m, v), 1 for RMSProp (v).
    pub fn moment_count(&self) -> usize {
        match self {
            Self::Adam { .. } => 2,
            Self::RmsProp { .. } => 1,
        }
    }

    /// How the moments are stored.
    pub fn moments(&self) -> Moments {
        match self {
            Self::Adam { moments, .. } | Self::RmsProp { moments, .. } => *moments,
        }
    }
}
