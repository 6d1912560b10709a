//! Where each buffer of an arena stands.

use crate::call::{Dtype, Region};
use std::ops::Range;

/// One buffer of an arena.
#[derive(Clone, Debug)]
pub struct Slot {
    pub name: String,
    pub dtype: Dtype,
    /// Elements.
    pub len: usize,
    /// Bytes from the start of the arena.
    pub offset: usize,
}

/// The buffers of an arena, for one size of a Real element.
#[derive(Clone, Debug)]
pub struct Layout {
    pub slots: Vec<Slot>,
    /// Size of the arena.
    pub bytes: usize,
    /// 4 (f32) or 8 (f64).
    pub real_bytes: usize,
}

impl Layout {
    /// Size of one element, bytes.
    pub fn element_bytes(&self, dtype: Dtype) -> usize {
        match dtype {
            Dtype::Real => self.real_bytes,
            Dtype::F64 => 8,
            Dtype::U32 => 4,
            Dtype::Bf16 => 2,
            Dtype::U8 => 1,
        }
    }

    /// Bytes of the arena that a region without gaps covers.
    ///
    /// # Panics
    /// When the region has gaps or lies outside its buffer: a defect of the caller.
    pub fn bytes_of(&self, region: &Region) -> Range<usize> {
        let slot = &self.slots[region.buffer.index];
        assert!(region.is_contiguous() && region.offset + region.span() <= slot.len, "region of {}", slot.name);
        let size = self.element_bytes(slot.dtype);
        let start = slot.offset + region.offset * size;
        start..start + region.elements() * size
    }
}

/// The next multiple of 64 bytes: a cache line, and what a GPU's wide accesses want.
pub(crate) fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(64)
}
