//! Tensors that are scaled by a factor each, many in one call.

/// Parts x -> y = factor * x that do not depend on each other; their sizes follow from the regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleGroup {
    /// Parts, at most [`ScaleGroup::MOST_PARTS`].
    pub parts: u32,
    /// Elements of all parts.
    pub elements: u32,
    /// Factor of each part; those behind the last are 0.
    pub factors: [f32; Self::MOST_PARTS],
}

impl ScaleGroup {
    /// Parts of one call: their addresses and factors travel with a launch.
    pub const MOST_PARTS: usize = super::MOST_PARTS;

    /// One part as a group.
    pub fn of(elements: u32, factor: f32) -> Self {
        let mut factors = [0.0; Self::MOST_PARTS];
        factors[0] = factor;
        Self { parts: 1, elements, factors }
    }

    /// Adds the first part of another group.
    pub fn push(&mut self, other: &Self) {
        self.factors[self.parts as usize] = other.factors[0];
        self.parts += 1;
        self.elements += other.elements;
    }
}
