//! Tensors of independent Gaussian weights, many in one call.

use super::MOST_PARTS;

/// Parts of independent N(mean, e^log variance) elements, of each of which S samples are drawn; their sizes follow from the regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianGroup {
    /// Parts, at most [`MOST_PARTS`].
    pub parts: u32,
    /// Samples S.
    pub samples: u32,
    /// Elements of one sample of all parts.
    pub elements: u32,
    /// All elements of a part share the noise of the first, one number for each sample.
    pub aligned: bool,
    /// Random stream of each part, in which each sample begins at a counter of its own: element i of D of sample s is element
    /// s * 4 ceil(D / 4) + i. Those behind the last are 0.
    pub streams: [u32; MOST_PARTS],
}

impl GaussianGroup {
    /// No part yet.
    pub fn empty(samples: u32) -> Self {
        Self { parts: 0, samples, elements: 0, aligned: false, streams: [0; MOST_PARTS] }
    }

    /// Adds a part of `elements` in each sample.
    pub fn push(&mut self, elements: u32, stream: u32) {
        self.streams[self.parts as usize] = stream;
        self.parts += 1;
        self.elements += elements;
    }
}
