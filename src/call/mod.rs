//! Everything a backend can be asked to do, as plain data: one [`Kind`] per kernel, dims by value.
//!
//! A [`Call`] is a kind plus the regions it reads and writes, in the order that the kind's comment gives. Ops emit calls,
//! backends run them, and the planner reorders, verifies and prints them without knowing what they compute.
//!
//! Letters, fixed once: S weight sample, N batch row, C channel in, O channel (or unit) out, H W height and width,
//! K kernel side, I unit in; x w b y are input, weight, bias, output and dx dw db dy their gradients.

mod dims;
mod function;
mod gaussian_group;
mod kind;
mod linear_group;
mod scalar_program;
mod scale_group;
mod scaled_group;
mod schedule;
mod state;

pub use dims::*;
pub use function::{Moments, Optimizer, Unary};
pub use gaussian_group::GaussianGroup;
pub use kind::{Kind, MOST_PARTS};
pub use linear_group::{GradPlaces, LinearGroup};
pub use scalar_program::{MOST_STEPS, ScalarCode, ScalarProgram, ScalarStep};
pub use scale_group::ScaleGroup;
pub use scaled_group::{ScaledGroup, ScaledPart};
pub use schedule::{Schedule, StepScalars};
pub use state::{metric, scalar, word};

/// Element type of a buffer. `Real` is f32 in training and f64 in gradient checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    Real,
    F64,
    U32,
    U8,
    /// The upper half of an f32, as its bits (u16).
    Bf16,
}

/// Which of the two memory regions a buffer lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Parameters, optimiser state, data sets, step words: shared by all plans and kept between steps.
    Persistent,
    /// One plan's activations, gradients and scratch: dead after the step.
    Workspace,
}

/// A buffer of the persistent store or of one plan's workspace.
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

    /// The same elements, without a gap between them, as `count` blocks.
    pub fn in_blocks(&self, count: usize) -> Self {
        assert!(self.is_contiguous() && self.elements().is_multiple_of(count), "{count} equal blocks without a gap");
        let len = self.elements() / count;
        Self { count, len, stride: len, ..*self }
    }

    /// True when some element is in both.
    pub fn touches(&self, other: &Self) -> bool {
        let meet = |(start, end): (usize, usize)| other.intervals().any(|(s, e)| start < e && s < end);
        self.buffer == other.buffer && self.intervals().any(meet)
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
