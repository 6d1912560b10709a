//! Dims of calls, by value: one section per op. The same bytes go to a GPU kernel.

use bytemuck::{Pod, Zeroable};

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

    /// Elements of one chunk's weight and bias gradients: O rows of K times K*C, rounded up to whole vectors, and O.
    pub fn grad_weight_partial(&self) -> usize {
        let row = (self.kernel * self.channels).next_multiple_of(16) as usize;
        self.outputs as usize * (self.kernel as usize * row + 1)
    }

    /// Elements of the scratch region that a weight gradient writes: [S, chunks, one chunk's gradients].
    pub fn grad_weight_partials(&self) -> usize {
        self.samples as usize * self.grad_weight_chunks() * self.grad_weight_partial()
    }
}

// ---- pool2d: windows of K x K, `stride` apart (those of a mean may end at the lower and right border), over [images, H, W] with images = S*N*C ----------------

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

// ---- norm: y = gamma (x - mean) / sqrt(variance + epsilon) + beta over [S, N, C, inner = H*W] -------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct NormDims {
    pub samples: u32,
    pub batch: u32,
    pub channels: u32,
    pub inner: u32,
    /// 1: mean and variance of each plane (s, n, c); 0: of each (s, c), over the batch too.
    pub per_image: u32,
    /// 1: gamma and beta are [1, C], shared by all samples; 0: [S, C].
    pub shared: u32,
    /// 1: followed by a ReLU.
    pub relu: u32,
    pub epsilon: f32,
}

impl NormDims {
    /// Planes (s, n, c).
    pub fn planes(&self) -> usize {
        self.groups_of_samples() * self.batch as usize
    }

    /// Groups (s, c).
    pub fn groups_of_samples(&self) -> usize {
        self.samples as usize * self.channels as usize
    }

    /// Groups of elements with statistics of their own.
    pub fn groups(&self) -> usize {
        if self.per_image == 1 { self.planes() } else { self.groups_of_samples() }
    }

    /// Elements of one group.
    pub fn group_elements(&self) -> u32 {
        if self.per_image == 1 { self.inner } else { self.batch * self.inner }
    }

    /// Elements of the statistics: mean and 1 / sqrt(variance + epsilon) of each group, then, unless a group is a plane, mean
    /// and sum of squared deviations of each plane.
    pub fn statistics(&self) -> usize {
        2 * self.groups() + if self.per_image == 1 { 0 } else { 2 * self.planes() }
    }

    /// Elements of a gradient's scratch: the two sums of each plane, then of each (s, c).
    pub fn grad_partials(&self) -> usize {
        2 * (self.planes() + self.groups_of_samples())
    }
}

// ---- shortcut: y = h + x in the middle of h's channels, over [images = S*N, C, inner = H*W] ----------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct ShortcutDims {
    pub images: u32,
    /// Channels of h and y.
    pub channels: u32,
    /// Channels of x, at most as many.
    pub narrow: u32,
    /// Channels of h before those to which x is added: half of the difference, rounded down.
    pub before: u32,
    pub inner: u32,
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

// ---- dropout: y = x / keep with probability keep, else 0 -------------------------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct DropoutDims {
    pub elements: u32,
    pub stream: u32,
    pub keep: f32,
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

// ---- subset: y[s, j] = element permutation(j) of sample s's vector, as far as this part has it ---------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct SubsetDims {
    pub samples: u32,
    /// Elements M that are chosen of the whole vector.
    pub chosen: u32,
    /// Elements of this part of the vector.
    pub weights: u32,
    /// Index of the part's first element in the whole vector.
    pub first: u32,
    /// Elements D of the whole vector.
    pub total: u32,
    pub stream: u32,
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

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct GatherDims {
    /// Images in the set.
    pub images: u32,
    /// Batches, one after the other, each of its own permutation.
    pub members: u32,
    /// Rows of one batch.
    pub batch: u32,
    /// Bytes of one image.
    pub pixels: u32,
    /// Steps of one epoch: ceil(images / batch).
    pub steps_per_epoch: u32,
    /// 1: batch (step - 1) mod steps_per_epoch of the epoch's permutation; 0: batch word::BATCH in order.
    pub shuffle: u32,
    pub stream: u32,
}

// ---- augment: y[n] = standardised crop of x[n] [C, H, W] -----------------------------------------------------------------

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct AugmentDims {
    pub batch: u32,
    /// At most [`MOST_CHANNELS`](Self::MOST_CHANNELS).
    pub channels: u32,
    pub height: u32,
    pub width: u32,
    /// Height and width of the crop, at most those of the image.
    pub side: u32,
    /// Zeros on each side of the image before a random crop.
    pub pad: u32,
    /// 1: place, flip and contrast of row n from counter n of `stream`; 0: the centre as it is.
    pub random: u32,
    pub stream: u32,
    /// Lower end and width of the interval of contrast factors.
    pub contrast_low: f32,
    pub contrast_width: f32,
}

impl AugmentDims {
    /// Channels that a kernel keeps the means of.
    pub const MOST_CHANNELS: usize = 4;
}
