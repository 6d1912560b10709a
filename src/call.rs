//! Everything a backend can be asked to do, as plain data: one [`Kind`] per kernel, dims by value.
//!
//! A [`Call`] is a kind plus the regions it reads and writes, in the order that the kind's comment gives. Ops emit calls,
//! backends run them, and the planner reorders, verifies and prints them without knowing what they compute.
//!
//! Letters, fixed once: S weight sample, N batch row, C channel in, O channel (or unit) out, H W height and width,
//! K kernel side, I unit in; x w b y are input, weight, bias, output and dx dw db dy their gradients.

use bytemuck::{Pod, Zeroable};

/// Element type of a buffer. `Real` is f32 in training and f64 in gradient checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    Real,
    F64,
    U32,
    U8,
}

/// Which of the two memory regions a buffer lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Parameters, optimiser state, data sets, step words: shared by all plans and kept between steps.
    Persistent,
    /// One plan's activations, gradients and scratch: dead after the step.
    Workspace,
}

/// A buffer of the persistent [`Store`](crate::graph::Store) or of one plan's workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId {
    pub place: Place,
    pub index: usize,
}

/// `count` blocks of `len` elements, `stride` elements apart, from `offset` in a buffer.
///
/// A contiguous tensor is one block. One weight tensor inside generated vectors [S, D] is S blocks, D apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    pub buffer: BufferId,
    pub offset: usize,
    pub count: usize,
    pub len: usize,
    pub stride: usize,
}

impl Region {
    /// One contiguous block of `len` elements from `offset`.
    pub fn contiguous(buffer: BufferId, offset: usize, len: usize) -> Self {
        Self { buffer, offset, count: 1, len, stride: len }
    }

    /// Number of elements in all blocks.
    pub fn elements(&self) -> usize {
        self.count * self.len
    }

    /// Elements from the first of the first block to the last of the last.
    pub fn span(&self) -> usize {
        (self.count - 1) * self.stride + self.len
    }

    /// True when the blocks follow each other without a gap.
    pub fn is_contiguous(&self) -> bool {
        self.count == 1 || self.stride == self.len
    }

    /// Half-open intervals of elements, one per block (one in all when contiguous).
    pub fn intervals(&self) -> impl Iterator<Item = (usize, usize)> {
        let joined = self.is_contiguous();
        let (count, len) = if joined { (1, self.elements()) } else { (self.count, self.len) };
        let (offset, stride) = (self.offset, self.stride);
        (0..count).map(move |block| (offset + block * stride, offset + block * stride + len))
    }
}

/// How a call treats what stands in a region that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Overwrites; the former content is not read.
    Set,
    /// Adds to the former content.
    Add,
    /// Reads the former content and replaces it (optimisers, counters).
    Update,
}

/// One unit of work of a plan.
#[derive(Clone, Debug)]
pub struct Call {
    pub kind: Kind,
    /// Which node of the graph asked for it, for messages and profiles.
    pub label: String,
    pub reads: Vec<Region>,
    pub writes: Vec<(Region, Write)>,
}

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
        }
    }

    /// True when the gradient follows from the output alone, so that a fused kernel need not keep its input.
    pub fn gradient_from_output(&self) -> bool {
        matches!(self, Self::Identity | Self::Relu | Self::LeakyRelu(_) | Self::Tanh | Self::Sigmoid | Self::Exp)
    }
}

// ---- linear: y[s,n,o] = f(sum_i x[s,n,i] w[s,o,i] + b[s,o]) -------------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct LinearDims {
    /// Weight samples S.
    pub samples: u32,
    /// Rows N of each sample.
    pub rows: u32,
    pub inputs: u32,
    pub outputs: u32,
    /// 1 when x (and dx) is [1, N, I], shared by all samples; dx is then the sum over samples.
    pub shared_input: u32,
    /// 1 when a bias [S, O] is read.
    pub bias: u32,
}

impl LinearDims {
    /// Rows N up to which a rank update is offered.
    pub const MOST_RANK: usize = 16;

    /// Rows of w that one block of a rank update covers: at most 128 blocks, none of them under 2^16 elements.
    pub fn rank_update_rows(&self) -> usize {
        let (inputs, outputs) = (self.inputs as usize, self.outputs as usize);
        outputs.div_ceil(128).max((1usize << 16).div_ceil(inputs)).next_multiple_of(4)
    }

    /// Elements of a rank update's scratch: one [N, I] for each block.
    pub fn rank_update_scratch(&self) -> usize {
        (self.outputs as usize).div_ceil(self.rank_update_rows()) * self.rows as usize * self.inputs as usize
    }
}

// ---- conv2d: y[s,n,o,p,q] = b[s,o] + sum_{c,i,j} x[s,n,c,p*stride+i-pad,q*stride+j-pad] w[s,o,c,i,j] ---------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Conv2dDims {
    pub samples: u32,
    pub batch: u32,
    pub channels: u32,
    pub height: u32,
    pub width: u32,
    pub outputs: u32,
    pub kernel: u32,
    pub stride: u32,
    /// Zero rows above and columns left; below and right follow from the output size (TensorFlow's SAME may differ).
    pub pad: u32,
    pub out_height: u32,
    pub out_width: u32,
    pub shared_input: u32,
    pub bias: u32,
}

/// Chunks of images that a weight gradient is cut into, over all samples: enough to balance the threads of a CPU, few enough
/// to repay what each chunk sets up.
const GRAD_WEIGHT_CHUNKS: usize = 16;

impl Conv2dDims {
    /// Images N of one chunk of work of one sample.
    pub fn images_per_chunk(&self) -> usize {
        let chunks = GRAD_WEIGHT_CHUNKS.div_ceil(self.samples as usize);
        (self.batch as usize).div_ceil(chunks).max(1)
    }

    /// Chunks of images of one sample whose weight gradients are summed apart and then added in order.
    pub fn grad_weight_chunks(&self) -> usize {
        (self.batch as usize).div_ceil(self.images_per_chunk())
    }

    /// Elements of the scratch region that a weight gradient writes: [S, chunks, O*C*K*K + O].
    pub fn grad_weight_partials(&self) -> usize {
        let weights = self.channels as usize * (self.kernel * self.kernel) as usize;
        self.samples as usize * self.grad_weight_chunks() * self.outputs as usize * (weights + 1)
    }
}

// ---- pool2d: windows of K x K, `stride` apart, no padding, over [images, H, W] with images = S*N*C ----------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Pool2dDims {
    pub images: u32,
    pub height: u32,
    pub width: u32,
    pub kernel: u32,
    pub stride: u32,
    pub out_height: u32,
    pub out_width: u32,
}

// ---- softmax and losses over [S, N, classes] -----------------------------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct SoftmaxDims {
    pub samples: u32,
    pub rows: u32,
    pub classes: u32,
}

// ---- noise -----------------------------------------------------------------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct NoiseDims {
    pub elements: u32,
    /// Random stream: the third coordinate of the counter (see `random`).
    pub stream: u32,
    /// Standard deviation (normal) or width of the interval (uniform).
    pub scale: f32,
    /// Mean (normal) or lower end (uniform).
    pub shift: f32,
}

// ---- concat one-hot: y[s,c,:] = [z[s,:], e_c] -------------------------------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct OneHotDims {
    pub samples: u32,
    pub conditions: u32,
    pub noise: u32,
}

// ---- nearest-neighbour KL between w [S, D] and P = S prior draws of N(0, prior_scale^2) -------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct PairwiseDims {
    pub samples: u32,
    /// Weights of this part of the vector.
    pub weights: u32,
    /// Index of the part's first weight in the whole vector: prior draw i of weight d is element i * total + first + d.
    pub first: u32,
    /// Weights D of the whole vector.
    pub total: u32,
    pub stream: u32,
    pub prior_scale: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct NearestDims {
    pub samples: u32,
    /// Parts whose distance matrices are summed.
    pub parts: u32,
    pub total: u32,
}

// ---- reductions over samples: x [S, inner] -----------------------------------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct SampleDims {
    pub samples: u32,
    pub inner: u32,
}

// ---- bias: y[s,n,o,:] = x[s,n,o,:] + b[s,o], rows of `inner` elements ----------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct BiasDims {
    pub samples: u32,
    pub rows: u32,
    pub channels: u32,
    /// Elements per channel: H*W after a convolution, 1 after a linear map.
    pub inner: u32,
}

// ---- optimisers ----------------------------------------------------------------------------------------------------------

/// Adam (Kingma & Ba 2015, algorithm 1) or RMSProp, with the constants that do not change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    Adam {
        beta1: f32,
        beta2: f32,
        epsilon: f32,
    },
    /// Mean square decayed by `decay`, `epsilon` inside the root.
    RmsProp {
        decay: f32,
        epsilon: f32,
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
    pub fn moments(&self) -> usize {
        match self {
            Self::Adam { .. } => 2,
            Self::RmsProp { .. } => 1,
        }
    }
}

// ---- data and step state -------------------------------------------------------------------------------------------------

/// Indices into the persistent U32 buffer of step words.
pub mod word {
    /// Training steps begun: 1 during the first. Part of every training noise counter, and Adam's t.
    pub const STEP: usize = 0;
    /// Low and high half of the seed: the key of every noise counter.
    pub const SEED_LOW: usize = 1;
    pub const SEED_HIGH: usize = 2;
    /// Batch that an evaluation plan gathers, set by the host.
    pub const BATCH: usize = 3;
    pub const COUNT: usize = 4;
}

/// Indices into the persistent Real buffer of step scalars.
pub mod scalar {
    pub const LEARNING_RATE: usize = 0;
    /// Factor of KL / N.
    pub const ANNEAL: usize = 1;
    /// 1 - beta1^t and 1 - beta2^t.
    pub const CORRECTION1: usize = 2;
    pub const CORRECTION2: usize = 3;
    pub const COUNT: usize = 4;
}

/// Indices into the persistent F64 buffer of sums since the host last cleared it.
pub mod metric {
    pub const LOSS: usize = 0;
    pub const CROSS_ENTROPY: usize = 1;
    pub const KL: usize = 2;
    /// anneal * KL / N
    pub const SCALED_KL: usize = 3;
    pub const CORRECT: usize = 4;
    pub const IMAGES: usize = 5;
    pub const STEPS: usize = 6;
    pub const COUNT: usize = 7;
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct GatherDims {
    /// Images in the set.
    pub images: u32,
    pub batch: u32,
    /// Bytes of one image.
    pub pixels: u32,
    /// Steps of one epoch: ceil(images / batch).
    pub steps_per_epoch: u32,
    /// 1: batch (step - 1) mod steps_per_epoch of the epoch's permutation; 0: batch word::BATCH in order.
    pub shuffle: u32,
    pub stream: u32,
}

/// Learning rate and annealing as functions of the step t = 1, 2, ... (see `train::schedule`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Schedule {
    pub learning_rate: f32,
    /// Steps over which the rate rises linearly from 0.
    pub warmup_steps: u32,
    /// Step at which the cosine decay reaches `final_fraction` of the rate; 0: constant rate.
    pub decay_steps: u32,
    pub final_fraction: f32,
    pub anneal_start_step: u32,
    /// 0: the anneal factor is 1 from `anneal_start_step` on.
    pub anneal_length_steps: u32,
    pub beta1: f32,
    pub beta2: f32,
}

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
    /// x [1, N, I] with N <= 16, dy [1, N, O], scalars -> w, m (Adam), v updated in place; if `input_gradient`, also
    /// dx [1, N, I] and scratch [`LinearDims::rank_update_scratch`] (Set).
    /// dw = dy^T x is formed in registers and never stored; dx uses w before the update.
    LinearRankUpdate { dims: LinearDims, optimizer: Optimizer, input_gradient: bool },

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
    /// x, scalar (1 element) -> y = factor * scalar * x; x and y may be [S]-strided with the same block length
    ScaleByScalar { elements: u32, factor: f32 },
    /// -> y = value; y may be [S]-strided
    Fill { elements: u32, value: f32 },
    /// x -> y = sum of the elements (1 element)
    Sum { elements: u32 },
    /// dy (1 element) -> dx = dy everywhere
    SumGrad { elements: u32 },
    /// x [S]-strided -> y = sum of x^2 / 2 (1 element)
    HalfSquaredNorm { elements: u32 },

    /// x -> y, argmax U32 (index in the image's H*W; the first of equals)
    MaxPool2dForward(Pool2dDims),
    /// dy, argmax -> dx
    MaxPool2dGrad(Pool2dDims),
    /// x -> y, mean of the window
    AvgPool2dForward(Pool2dDims),
    /// dy -> dx
    AvgPool2dGrad(Pool2dDims),

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

    /// g, scalars -> w, then the moments in their order, updated in place
    OptimizerStep { elements: u32, optimizer: Optimizer },
    /// -> g clipped to [-bound, bound] in place
    ClipByValue { elements: u32, bound: f32 },

    /// images U8, labels U8, words -> x [N, pixels] = byte / 255, labels U32 [N], row weights [N] (0 for rows past the end)
    GatherBatch(GatherDims),
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
            Self::ScaleByScalar { .. } => "scale_by_scalar",
            Self::Fill { .. } => "fill",
            Self::Sum { .. } => "sum",
            Self::SumGrad { .. } => "sum_grad",
            Self::HalfSquaredNorm { .. } => "half_squared_norm",
            Self::MaxPool2dForward(..) => "max_pool2d",
            Self::MaxPool2dGrad(..) => "max_pool2d_grad",
            Self::AvgPool2dForward(..) => "avg_pool2d",
            Self::AvgPool2dGrad(..) => "avg_pool2d_grad",
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
            Self::PairwiseDistances(..) => "pairwise_distances",
            Self::NearestNeighbourKl(..) => "nearest_neighbour_kl",
            Self::PairwiseDistancesGrad(..) => "pairwise_distances_grad",
            Self::PerWeightKl(..) => "per_weight_kl",
            Self::PerWeightKlGrad(..) => "per_weight_kl_grad",
            Self::OptimizerStep { .. } => "optimizer_step",
            Self::ClipByValue { .. } => "clip_by_value",
            Self::GatherBatch(..) => "gather_batch",
            Self::AdvanceStep(..) => "advance_step",
            Self::AccumulateMetrics { .. } => "accumulate_metrics",
        }
    }
}
