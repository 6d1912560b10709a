//! Weight tensors whose rows or columns are scaled by multipliers, many in one call.

use super::MOST_PARTS;

/// One tensor [outer, channels, inner]: element i is scaled by multiplier i / inner % channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScaledPart {
    /// Output units of a dense layer, 1 for filters.
    pub outer: u32,
    /// Multipliers of one sample: inputs of a dense layer, filters of a convolution.
    pub channels: u32,
    /// 1 for a dense layer, weights of one filter for a convolution.
    pub inner: u32,
    /// Random stream of the noise, numbered as that of [`GaussianGroup`](super::GaussianGroup).
    pub stream: u32,
}

impl ScaledPart {
    /// Elements of one sample.
    pub fn elements(&self) -> u32 {
        self.outer * self.channels * self.inner
    }
}

/// What the tensors of a call have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaledGroup {
    /// Parts, at most [`MOST_PARTS`].
    pub parts: u32,
    /// Samples S of the multipliers.
    pub samples: u32,
    /// True when samples get noise of the weights' own besides.
    pub noise: bool,
    /// Those behind the last are empty.
    pub part: [ScaledPart; MOST_PARTS],
}

impl ScaledGroup {
    /// No part yet.
    pub fn empty(samples: u32, noise: bool) -> Self {
        Self { parts: 0, samples, noise, part: [ScaledPart::default(); MOST_PARTS] }
    }

    /// Adds a part.
    pub fn push(&mut self, part: ScaledPart) {
        self.part[self.parts as usize] = part;
        self.parts += 1;
    }

    /// The parts there are.
    pub fn parts(&self) -> &[ScaledPart] {
        &self.part[..self.parts as usize]
    }

    /// Elements of one sample of all parts.
    pub fn elements(&self) -> u32 {
        self.parts().iter().map(ScaledPart::elements).sum()
    }
}
