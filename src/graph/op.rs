//! The list of ops, as plain data: what a node of the graph computes. Rules (shapes, calls, gradients) stand in `ops`.

use crate::call::{
    AugmentDims, BiasDims, Conv2dDims, DropoutDims, GatherDims, GaussianGroup, LinearDims, NoiseDims, NormDims,
    OneHotDims, PairwiseDims, Pool2dDims, SampleDims, ScaledGroup, Schedule, ShortcutDims, SoftmaxDims, SubsetDims,
    Unary,
};

/// One op with its dims. Inputs and outputs are listed by each op's file in `ops`.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// x, w, [b] -> y
    Linear(LinearDims, Unary),
    /// x, w, [b] -> y
    Conv2d(Conv2dDims, Unary),
    /// x, w, b -> y, argmax: convolution, bias, 2x2 max pool and ReLU in one, made by `plan::fuse`
    Conv2dPool(Conv2dDims),
    /// x, b -> y
    Bias(BiasDims),
    /// x -> y
    Unary(Unary),
    /// a, b -> a + beta b
    Add(f32),
    /// a, b -> a b
    Multiply,
    /// x -> factor x
    Scale(f32),
    /// x, scalar -> factor scalar x; the scalar is a step scalar and has no gradient
    ScaleByScalar(f32),
    /// x -> sum
    Sum,
    /// x, ... -> sum of squares / 2
    HalfSquaredNorm,
    /// x -> y, argmax
    MaxPool2d(Pool2dDims),
    /// x -> y
    AvgPool2d(Pool2dDims),
    /// x, gamma, beta -> y, statistics
    Norm(NormDims),
    /// h, x -> h, with x added to its middle channels
    Shortcut(ShortcutDims),
    /// z -> [z, one-hot]
    ConcatOneHot(OneHotDims),
    /// x -> x - mean over samples
    CenterSamples(SampleDims),
    /// x -> mean over samples
    MeanSamples(SampleDims),
    /// x -> probabilities
    Softmax(SoftmaxDims),
    /// x -> log of the mean over samples of softmax
    LogMeanSoftmax(SoftmaxDims),
    /// x, labels, row weights -> loss, correct
    SoftmaxXent(SoftmaxDims),
    /// -> y
    Normal(NoiseDims),
    /// -> y
    Uniform(NoiseDims),
    /// parts -> y [S, M], some of the elements of each sample's vector
    Subset(Vec<SubsetDims>),
    /// x -> y, elements kept at random and scaled
    Dropout(DropoutDims),
    /// x, loss (1 element) -> x + step * sign(d loss / dx), a constant for gradients
    FastGradientSign(f32),
    /// w, one tensor for each part -> kl, partner, slope
    NearestNeighbourKl(Vec<PairwiseDims>),
    /// w -> kl
    PerWeightKl(PairwiseDims),
    /// mean, log variance of each part -> samples of each part
    GaussianSamples(GaussianGroup),
    /// mean, log variance of each part -> kl to N(0, prior_scale^2)
    GaussianKl { prior_scale: f32 },
    /// mean, multipliers, [log variance] of each part -> samples of each part
    ScaledSamples(ScaledGroup),
    /// log variance of each part -> log variance at most `bound`, and variance, of each part
    CappedVariances { bound: f32 },
    /// mean, variance -> y; random stream
    LocalReparameterization(u32),
    /// z, mean, log variance of each part -> sum of log densities
    LogDensity,
    /// z of each part -> masked z of each part
    CouplingMask(GaussianGroup),
    /// z, mean, gate of each part -> y of each part, log determinant
    Coupling(GaussianGroup),
    /// images, labels -> x, labels, row weights
    GatherBatch(GatherDims),
    /// x -> standardised crops
    Augment(AugmentDims),
    /// step words and scalars move to the next step
    AdvanceStep(Schedule),
    /// loss, cross-entropy, kl, scaled kl, correct, row weights: added to the metrics
    Metrics,
    /// x -> copy in a persistent buffer
    Keep,
}

impl Op {
    /// True when the op's kernels read input `index` in strided blocks, one for each sample; else it must be contiguous.
    pub fn reads_blocks(&self, index: usize) -> bool {
        match self {
            Self::Linear(..) | Self::Conv2d(..) | Self::Conv2dPool(..) | Self::Bias(..) => index > 0,
            Self::Scale(..) | Self::ScaleByScalar(..) | Self::HalfSquaredNorm | Self::Keep | Self::Subset(..) => true,
            Self::NearestNeighbourKl(..) | Self::PerWeightKl(..) => true,
            _ => false,
        }
    }

    /// Name in messages and printed plans.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linear(..) => "linear",
            Self::Conv2d(..) => "conv2d",
            Self::Conv2dPool(..) => "conv2d_pool",
            Self::Bias(..) => "bias",
            Self::Unary(function) => function.name(),
            Self::Add(..) => "add",
            Self::Multiply => "multiply",
            Self::Scale(..) => "scale",
            Self::ScaleByScalar(..) => "scale_by_scalar",
            Self::Sum => "sum",
            Self::HalfSquaredNorm => "half_squared_norm",
            Self::MaxPool2d(..) => "max_pool2d",
            Self::AvgPool2d(..) => "avg_pool2d",
            Self::Norm(..) => "norm",
            Self::Shortcut(..) => "shortcut",
            Self::ConcatOneHot(..) => "concat_one_hot",
            Self::CenterSamples(..) => "center_samples",
            Self::MeanSamples(..) => "mean_samples",
            Self::Softmax(..) => "softmax",
            Self::LogMeanSoftmax(..) => "log_mean_softmax",
            Self::SoftmaxXent(..) => "softmax_xent",
            Self::Normal(..) => "normal",
            Self::Uniform(..) => "uniform",
            Self::Subset(..) => "subset",
            Self::Dropout(..) => "dropout",
            Self::FastGradientSign(..) => "fast_gradient_sign",
            Self::NearestNeighbourKl(..) => "nearest_neighbour_kl",
            Self::PerWeightKl(..) => "per_weight_kl",
            Self::GaussianSamples(..) => "gaussian_samples",
            Self::GaussianKl { .. } => "gaussian_kl",
            Self::ScaledSamples(..) => "scaled_samples",
            Self::CappedVariances { .. } => "capped_variances",
            Self::LocalReparameterization(..) => "local_reparameterization",
            Self::LogDensity => "log_density",
            Self::CouplingMask(..) => "coupling_mask",
            Self::Coupling(..) => "coupling",
            Self::GatherBatch(..) => "gather_batch",
            Self::Augment(..) => "augment",
            Self::AdvanceStep(..) => "advance_step",
            Self::Metrics => "metrics",
            Self::Keep => "keep",
        }
    }
}
