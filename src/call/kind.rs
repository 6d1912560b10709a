//! The list of calls.

use super::*;

/// Parts of a tensor list that one call takes.
pub const MOST_PARTS: usize = 16;

/// What to compute. The comment of each variant lists its regions: reads -> writes.
/// Regions are Real and contiguous unless said; [S]-strided marks those whose blocks are samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// x [S or 1, N, I], w [S]-strided [O, I], b [S]-strided [O] if `bias` -> y [S, N, O]
    LinearForward(LinearDims, Unary),
    /// dy, w -> dx
    LinearGradInput(LinearDims),
    /// x, dy -> dw [S]-strided
    LinearGradWeight(LinearDims),
    /// x [1, N, I] with N <= 16, dy [1, N, O], scalars, words U32 if the moments are bf16 -> w, m (Adam), v updated in place,
    /// the moments Real or Bf16; if `input_gradient`, also dx [1, N, I] and scratch [`LinearDims::rank_update_scratch`] (Set).
    /// dw = dy^T x is formed in registers and never stored; dx uses w before the update.
    LinearRankUpdate { dims: LinearDims, optimizer: Optimizer, input_gradient: bool },
    /// For each map: x as N blocks of I, w as O blocks of I, b [O] if `bias` -> y as N blocks of O
    LinearGroupForward(LinearGroup),
    /// For each map, with dz = dy f'(y), shapes as above: x, dy, y unless the function is the identity, w if
    /// `input_gradient` -> dw = dz^T x, db = sum over rows of dz if `bias`, dx = dz w if `input_gradient`, and scratch
    /// for dz unless the function is the identity (Set). See [`LinearGroup::grad_places`].
    LinearGroupGrad { group: LinearGroup, input_gradient: bool },

    /// x [S or 1, N, C, H, W], w [S]-strided [O, C, K, K], b [S]-strided [O] if `bias` -> y [S, N, O, H', W']
    Conv2dForward(Conv2dDims, Unary),
    /// dy, w -> dx
    Conv2dGradInput(Conv2dDims),
    /// x, dy -> dw [S]-strided, scratch [`Conv2dDims::grad_weight_partials`] (set; content of no use afterwards)
    Conv2dGradWeight(Conv2dDims),
    /// As Conv2dForward with bias, then max pool and ReLU: x, w, b -> y [S, N, O, H'/2, W'/2], argmax U8 of the same shape
    /// (0..3: row-major place in the 2x2 window; 4: the ReLU is closed).
    Conv2dPoolForward(Conv2dDims),
    /// dy, argmax, w -> dx
    Conv2dPoolGradInput(Conv2dDims),
    /// x, dy, argmax -> dw, db, both [S]-strided, scratch [`Conv2dDims::grad_weight_partials`] (as above)
    Conv2dPoolGradWeight(Conv2dDims),

    /// x, b [S]-strided [O] -> y
    BiasForward(BiasDims),
    /// dy -> db [S]-strided
    BiasGrad(BiasDims),

    /// x -> y
    UnaryForward { elements: u32, function: Unary },
    /// `gradient_from_output`: y, dy -> dx; else x, dy -> dx
    UnaryGrad { elements: u32, function: Unary },
    /// a, b -> y = a + beta * b
    AddForward { elements: u32, beta: f32 },
    /// a, b -> y = a * b
    Multiply { elements: u32 },
    /// x -> y = factor * x; x and y may be [S]-strided with the same block length
    Scale { elements: u32, factor: f32 },
    /// For each part: x -> y = factor * x, as above, with factors of their own
    ScaleGroup(ScaleGroup),
    /// x of 1 to [`MOST_PARTS`] parts, scalar (1 element) -> y = factor * scalar * x, part by part; x and y may be
    /// [S]-strided with the same block length. `elements` of all parts.
    ScaleByScalar { elements: u32, factor: f32 },
    /// Single elements -> single elements: see [`ScalarProgram`]. Elements that are added to are Add, others Set.
    ScalarProgram(ScalarProgram),
    /// -> y = value; y may be [S]-strided
    Fill { elements: u32, value: f32 },
    /// x -> y = sum of the elements (1 element)
    Sum { elements: u32 },
    /// dy (1 element) -> dx = dy everywhere
    SumGrad { elements: u32 },
    /// x of 1 to [`MOST_PARTS`] parts, each [S]-strided -> y = sum of x^2 / 2 (1 element). `elements` of all parts.
    HalfSquaredNorm { elements: u32 },

    /// x -> y, argmax U32 (index in the image's H*W; the first of equals)
    MaxPool2dForward(Pool2dDims),
    /// dy, argmax -> dx
    MaxPool2dGrad(Pool2dDims),
    /// x -> y, mean of the window
    AvgPool2dForward(Pool2dDims),
    /// dy -> dx
    AvgPool2dGrad(Pool2dDims),

    /// x [S, N, C, H, W], gamma, beta [S or 1, C] -> y, statistics [`NormDims::statistics`]
    NormForward(NormDims),
    /// x, dy, gamma, beta, statistics -> dx, dgamma, dbeta, scratch [`NormDims::grad_partials`] (set; content of no use
    /// afterwards)
    NormGrad(NormDims),
    /// h [images, channels, inner], x [images, narrow, inner] -> y = h, with x added to the channels from `before` on
    ShortcutForward(ShortcutDims),
    /// dy -> dx: the channels from `before` on
    ShortcutGrad(ShortcutDims),

    /// z [S, k] -> y [S, C, k + C]
    ConcatOneHot(OneHotDims),
    /// dy -> dz
    ConcatOneHotGrad(OneHotDims),
    /// x [S, inner] -> y = x - mean over samples. Its own gradient.
    CenterSamples(SampleDims),
    /// x [S, inner] -> y [inner], mean over samples
    MeanSamples(SampleDims),
    /// dy [inner] -> dx [S, inner]
    MeanSamplesGrad(SampleDims),

    /// x [S, N, classes] -> y, probabilities
    Softmax(SoftmaxDims),
    /// y, dy -> dx
    SoftmaxGrad(SoftmaxDims),
    /// x [S, N, classes] -> y [N, classes], log of the mean over samples of softmax(x), stable
    LogMeanSoftmax(SoftmaxDims),
    /// x, dy -> dx
    LogMeanSoftmaxGrad(SoftmaxDims),
    /// x [S, N, classes], labels U32 [N], row weights [N] -> loss (1 element), correct predictions (1 element).
    /// loss = -sum_n weight_n log mean_s softmax(x_s,n)[label_n] / sum_n weight_n
    SoftmaxXentForward(SoftmaxDims),
    /// x, labels, row weights, dloss -> dx
    SoftmaxXentGrad(SoftmaxDims),

    /// words U32 -> y: Philox 4x32-10 and Box-Muller of (seed, step, stream, index)
    Normal(NoiseDims),
    /// words U32 -> y
    Uniform(NoiseDims),
    /// w [S]-strided [weights], words U32 -> y [S, M], Set: 0 where another part has the element; Add: untouched there
    Subset(SubsetDims),
    /// dy [S, M], words U32 -> dw [S]-strided: dy at the chosen places, 0 elsewhere
    SubsetGrad(SubsetDims),
    /// x, words U32 -> y = x / keep where U(0, 1) of (seed, step, stream, element) is below keep, else 0. Its own gradient.
    Dropout(DropoutDims),

    /// w [S]-strided [weights], words U32 -> squared distances F64 [2, S, S] of this part:
    /// [0, i, j] = |w_i - w_j|^2, [1, i, j] = |p_i - w_j|^2
    PairwiseDistances(PairwiseDims),
    /// distances F64 [parts, 2, S, S] -> kl (1 element), partner U32 [2, S] (nearest w of w_j, nearest p of w_j),
    /// slope [2, S]: d kl / d squared distance to that partner
    NearestNeighbourKl(NearestDims),
    /// w [S]-strided, words, partner, slope, dkl (1 element) -> dw [S]-strided
    PairwiseDistancesGrad(PairwiseDims),
    /// w [S]-strided [weights], words -> kl (1 element): the estimator of each weight alone, summed over this part
    PerWeightKl(PairwiseDims),
    /// w, words, dkl -> dw
    PerWeightKlGrad(PairwiseDims),

    /// mean [D], log variance [D] of each part, words U32 -> y [S, D] of each part: mean + e^(log variance / 2) * N(0, 1)
    GaussianSamples(GaussianGroup),
    /// log variance [D], dy [S, D] of each part, words -> dmean, dlog variance of each part
    GaussianSamplesGrad(GaussianGroup),
    /// mean, log variance of each of 1 to [`MOST_PARTS`] parts -> kl (1 element): KL(N(mean, e^log variance) ||
    /// N(0, prior_scale^2)), summed over the `elements` of all parts
    GaussianKl { elements: u32, prior_scale: f32 },
    /// mean, log variance of each part, dkl (1 element) -> dmean, dlog variance of each part
    GaussianKlGrad { elements: u32, prior_scale: f32 },

    /// mean [D], multipliers z [S, channels], log variance [D] if `noise`, of each part, words U32 if `noise` -> y [S, D] of each
    /// part: z mean, plus e^(log variance / 2) * N(0, 1) if `noise`
    ScaledSamples(ScaledGroup),
    /// mean, z, dy [S, D] of each part -> dmean, dz of each part
    ScaledSamplesGrad(ScaledGroup),
    /// log variance of each part -> log variance, at most `bound`, and e^ that, of each part. `elements` of all parts.
    CappedVariances { elements: u32, bound: f32 },
    /// log variance (before), variance, dvariance, d log variance (after) if `of_log`, of each part -> d log variance (before)
    CappedVariancesGrad { elements: u32, bound: f32, of_log: bool },
    /// mean, variance, words U32 -> y = mean + sqrt(variance) * N(0, 1) of (seed, step, stream, element); a variance of 0 or
    /// below adds nothing
    LocalReparameterization { elements: u32, stream: u32 },
    /// variance, dy, words -> dmean, dvariance
    LocalReparameterizationGrad { elements: u32, stream: u32 },
    /// z [S, D], mean [S, D], log variance [S, D] of each part -> sum of the log densities of z under N(mean, e^log variance)
    /// (1 element). `elements` of all parts.
    LogDensity { elements: u32 },
    /// z, mean, log variance of each part, d (1 element) -> dz, dmean, dlog variance of each part
    LogDensityGrad { elements: u32 },

    /// z [S, D] of each part, words U32 -> m z, m a mask of elements kept with probability 1/2 by (seed, step, stream, element).
    /// Its own gradient.
    CouplingMask(GaussianGroup),
    /// z, mean, gate [S, D] of each part, words -> y of each part: z where the mask keeps it, else s z + (1 - s) mean with
    /// s = sigmoid(gate)
    Coupling(GaussianGroup),
    /// gate of each part, words -> sum of log s over the elements that the mask drops (1 element)
    CouplingLogDeterminant(GaussianGroup),
    /// z, mean, gate, dy of each part, words, d log determinant (1 element) -> dz, dmean, dgate of each part
    CouplingGrad(GaussianGroup),

    /// g, scalars, words U32 if the moments are bf16 -> w, then the moments in their order, Real or Bf16, updated in place
    OptimizerStep { elements: u32, optimizer: Optimizer },
    /// -> g clipped to [-bound, bound] in place
    ClipByValue { elements: u32, bound: f32 },

    /// images U8, labels U8, words -> x [N, pixels] = byte / 255, labels U32 [N], row weights [N] (0 for rows past the end)
    GatherBatch(GatherDims),
    /// x [N, C, H, W], words -> y [N, C, side, side], each image with mean 0 and standard deviation 1
    Augment(AugmentDims),
    /// -> words (step + 1), scalars: learning rate, anneal and corrections of the new step
    AdvanceStep(Schedule),
    /// loss, cross-entropy, kl, scaled kl, correct (1 element each), row weights [N] -> metrics F64, added
    AccumulateMetrics { rows: u32 },
}

impl Kind {
    /// Name of the kernel.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LinearForward(..) => "linear",
            Self::LinearGradInput(..) => "linear_grad_input",
            Self::LinearGradWeight(..) => "linear_grad_weight",
            Self::LinearRankUpdate { .. } => "linear_rank_update",
            Self::LinearGroupForward(..) => "linear_group",
            Self::LinearGroupGrad { .. } => "linear_group_grad",
            Self::Conv2dForward(..) => "conv2d",
            Self::Conv2dGradInput(..) => "conv2d_grad_input",
            Self::Conv2dGradWeight(..) => "conv2d_grad_weight",
            Self::Conv2dPoolForward(..) => "conv2d_pool",
            Self::Conv2dPoolGradInput(..) => "conv2d_pool_grad_input",
            Self::Conv2dPoolGradWeight(..) => "conv2d_pool_grad_weight",
            Self::BiasForward(..) => "bias",
            Self::BiasGrad(..) => "bias_grad",
            Self::UnaryForward { .. } => "unary",
            Self::UnaryGrad { .. } => "unary_grad",
            Self::AddForward { .. } => "add",
            Self::Multiply { .. } => "multiply",
            Self::Scale { .. } => "scale",
            Self::ScaleGroup(..) => "scale_group",
            Self::ScaleByScalar { .. } => "scale_by_scalar",
            Self::ScalarProgram(..) => "scalar_program",
            Self::Fill { .. } => "fill",
            Self::Sum { .. } => "sum",
            Self::SumGrad { .. } => "sum_grad",
            Self::HalfSquaredNorm { .. } => "half_squared_norm",
            Self::MaxPool2dForward(..) => "max_pool2d",
            Self::MaxPool2dGrad(..) => "max_pool2d_grad",
            Self::AvgPool2dForward(..) => "avg_pool2d",
            Self::AvgPool2dGrad(..) => "avg_pool2d_grad",
            Self::NormForward(..) => "norm",
            Self::NormGrad(..) => "norm_grad",
            Self::ShortcutForward(..) => "shortcut",
            Self::ShortcutGrad(..) => "shortcut_grad",
            Self::ConcatOneHot(..) => "concat_one_hot",
            Self::ConcatOneHotGrad(..) => "concat_one_hot_grad",
            Self::CenterSamples(..) => "center_samples",
            Self::MeanSamples(..) => "mean_samples",
            Self::MeanSamplesGrad(..) => "mean_samples_grad",
            Self::Softmax(..) => "softmax",
            Self::SoftmaxGrad(..) => "softmax_grad",
            Self::LogMeanSoftmax(..) => "log_mean_softmax",
            Self::LogMeanSoftmaxGrad(..) => "log_mean_softmax_grad",
            Self::SoftmaxXentForward(..) => "softmax_xent",
            Self::SoftmaxXentGrad(..) => "softmax_xent_grad",
            Self::Normal(..) => "normal",
            Self::Uniform(..) => "uniform",
            Self::Subset(..) => "subset",
            Self::SubsetGrad(..) => "subset_grad",
            Self::Dropout(..) => "dropout",
            Self::PairwiseDistances(..) => "pairwise_distances",
            Self::NearestNeighbourKl(..) => "nearest_neighbour_kl",
            Self::PairwiseDistancesGrad(..) => "pairwise_distances_grad",
            Self::PerWeightKl(..) => "per_weight_kl",
            Self::PerWeightKlGrad(..) => "per_weight_kl_grad",
            Self::GaussianSamples(..) => "gaussian_samples",
            Self::GaussianSamplesGrad(..) => "gaussian_samples_grad",
            Self::GaussianKl { .. } => "gaussian_kl",
            Self::GaussianKlGrad { .. } => "gaussian_kl_grad",
            Self::ScaledSamples(..) => "scaled_samples",
            Self::ScaledSamplesGrad(..) => "scaled_samples_grad",
            Self::CappedVariances { .. } => "capped_variances",
            Self::CappedVariancesGrad { .. } => "capped_variances_grad",
            Self::LocalReparameterization { .. } => "local_reparameterization",
            Self::LocalReparameterizationGrad { .. } => "local_reparameterization_grad",
            Self::LogDensity { .. } => "log_density",
            Self::LogDensityGrad { .. } => "log_density_grad",
            Self::CouplingMask(..) => "coupling_mask",
            Self::Coupling(..) => "coupling",
            Self::CouplingLogDeterminant(..) => "coupling_log_determinant",
            Self::CouplingGrad(..) => "coupling_grad",
            Self::OptimizerStep { .. } => "optimizer_step",
            Self::ClipByValue { .. } => "clip_by_value",
            Self::GatherBatch(..) => "gather_batch",
            Self::Augment(..) => "augment",
            Self::AdvanceStep(..) => "advance_step",
            Self::AccumulateMetrics { .. } => "accumulate_metrics",
        }
    }
}
