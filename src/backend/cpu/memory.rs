//! Arenas and the typed views of them that kernels see. The only place where arena bytes become slices.
//!
//! Soundness rests on the plan: `plan::verify` refuses a plan in which a call's written elements overlap another region of
//! the same call or lie outside their buffer, and calls run one after another. Hence no two live slices that this module
//! hands out overlap while one of them is mutable.

use super::real::Real;
use crate::call::{Call, Place, Region, Write};
use crate::graph::Layout;
use bytemuck::Pod;
use rayon::prelude::*;
use std::alloc::{Layout as AllocLayout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Alignment of every buffer in an arena, bytes: one cache line, one AVX-512 register.
pub const ALIGNMENT: usize = 64;

/// One zeroed allocation that all buffers of a region share. Pages are touched first by the kernels that use them.
pub struct Arena {
    bytes: NonNull<u8>,
    len: usize,
}

// SAFETY: the arena owns its allocation; access is handed out by `Memory`, whose calls run one at a time.
unsafe impl Send for Arena {}
// SAFETY: as above; a shared arena is read or written only through regions that a verified plan keeps disjoint.
unsafe impl Sync for Arena {}

impl Arena {
    /// A zeroed arena of `len` bytes (at least one cache line), or `None` when the machine refuses the memory.
    pub fn new(len: usize) -> Option<Self> {
        let len = len.max(ALIGNMENT);
        let layout = AllocLayout::from_size_align(len, ALIGNMENT).ok()?;
        // SAFETY: the layout has a non-zero size.
        let bytes = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { bytes, len })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes, for reading.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the allocation is `len` initialised bytes; no call runs while the host holds `&self` of the backend.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }

    /// All bytes, for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout.
        unsafe { dealloc(self.bytes.as_ptr(), AllocLayout::from_size_align_unchecked(self.len, ALIGNMENT)) }
    }
}

/// The two arenas with the layouts that say where each buffer stands.
pub struct Memory<'a> {
    pub persistent: (&'a Arena, &'a Layout),
    pub workspace: (&'a Arena, &'a Layout),
}

impl Memory<'_> {
    /// Address of the first element of a region, checked to lie inside its buffer and its arena.
    fn address<E: Pod>(&self, region: &Region) -> *mut E {
        let (arena, layout) = match region.buffer.place {
            Place::Persistent => self.persistent,
            Place::Workspace => self.workspace,
        };
        let slot = &layout.slots[region.buffer.index];
        let size = std::mem::size_of::<E>();
        assert_eq!(layout.element_bytes(slot.dtype), size, "element size of {}", slot.name);
        assert!(region.offset + region.span() <= slot.len, "region outside buffer {}", slot.name);
        let start = slot.offset + region.offset * size;
        assert!(start + region.span() * size <= arena.len(), "buffer {} outside its arena", slot.name);
        // SAFETY: the offset was just checked to lie inside the allocation.
        unsafe { arena.bytes.as_ptr().add(start).cast() }
    }
}

/// A region for reading: blocks of equal length.
#[derive(Clone, Copy)]
pub struct Strided<'a, E> {
    pointer: *const E,
    pub count: usize,
    pub len: usize,
    pub stride: usize,
    life: PhantomData<&'a [E]>,
}

// SAFETY: read-only view of plain data.
unsafe impl<E: Sync> Sync for Strided<'_, E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Send for Strided<'_, E> {}

impl<'a, E: Pod> Strided<'a, E> {
    /// A view of a slice as `count` blocks, `stride` apart.
    pub fn from_slice(slice: &'a [E], count: usize, len: usize, stride: usize) -> Self {
        assert!(count > 0 && (count - 1) * stride + len <= slice.len());
        Self { pointer: slice.as_ptr(), count, len, stride, life: PhantomData }
    }

    /// Block `s` (a weight sample, for [S]-strided regions).
    pub fn block(&self, s: usize) -> &'a [E] {
        assert!(s < self.count);
        // SAFETY: block `s` lies inside the span that was checked when the view was made.
        unsafe { std::slice::from_raw_parts(self.pointer.add(s * self.stride), self.len) }
    }

    /// All elements of a region without gaps.
    pub fn flat(&self) -> &'a [E] {
        assert!(self.count == 1 || self.stride == self.len, "a strided region has no flat view");
        // SAFETY: blocks follow each other, so the span is exactly the elements.
        unsafe { std::slice::from_raw_parts(self.pointer, self.count * self.len) }
    }
}

/// A region for writing: blocks of equal length, each handed out once.
pub struct StridedMut<'a, E> {
    pointer: *mut E,
    pub count: usize,
    pub len: usize,
    pub stride: usize,
    life: PhantomData<&'a mut [E]>,
}

// SAFETY: the view is the only one of its elements; blocks do not overlap.
unsafe impl<E: Send> Send for StridedMut<'_, E> {}
// SAFETY: as above; shared access hands out nothing without consuming the view.
unsafe impl<E: Send> Sync for StridedMut<'_, E> {}

impl<'a, E: Pod + Send> StridedMut<'a, E> {
    /// A view of a slice as `count` blocks, `stride` apart; blocks must not overlap.
    pub fn from_slice(slice: &'a mut [E], count: usize, len: usize, stride: usize) -> Self {
        assert!(count > 0 && (count == 1 || stride >= len) && (count - 1) * stride + len <= slice.len());
        Self { pointer: slice.as_mut_ptr(), count, len, stride, life: PhantomData }
    }

    /// All elements of a region without gaps.
    pub fn flat(self) -> &'a mut [E] {
        assert!(self.count == 1 || self.stride == self.len, "a strided region has no flat view");
        // SAFETY: blocks follow each other; the view is consumed, so the slice is the only access.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.count * self.len) }
    }

    /// The blocks, one after another.
    pub fn blocks(self) -> impl Iterator<Item = &'a mut [E]> {
        // SAFETY: each index is visited once and blocks are disjoint (stride >= len).
        (0..self.count).map(move |s| unsafe { self.slice(s) })
    }

    /// The blocks, in parallel.
    pub fn par_blocks(self) -> impl IndexedParallelIterator<Item = &'a mut [E]> {
        // SAFETY: each index is visited once and blocks are disjoint (stride >= len).
        (0..self.count).into_par_iter().map(move |s| unsafe { self.slice(s) })
    }

    /// # Safety
    /// No two live slices of the same block.
    unsafe fn slice(&self, s: usize) -> &'a mut [E] {
        // SAFETY: block `s` lies inside the span that was checked when the view was made.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(s * self.stride), self.len) }
    }

    /// Pointer to the first element, for kernels that tile a block across threads (`matmul`).
    pub fn as_ptr(&self) -> *mut E {
        self.pointer
    }
}

/// One call with the memory it works on: what a kernel receives.
pub struct Io<'a, T> {
    memory: &'a Memory<'a>,
    call: &'a Call,
    real: PhantomData<T>,
}

impl<'a, T: Real> Io<'a, T> {
    pub fn new(memory: &'a Memory<'a>, call: &'a Call) -> Self {
        Self { memory, call, real: PhantomData }
    }

    /// Read region `i` as blocks of E.
    pub fn strided<E: Pod>(&self, i: usize) -> Strided<'a, E> {
        let region = &self.call.reads[i];
        let pointer = self.memory.address::<E>(region);
        Strided { pointer, count: region.count, len: region.len, stride: region.stride, life: PhantomData }
    }

    /// Written region `i` as blocks of E. Ask once per region.
    pub fn strided_mut<E: Pod>(&self, i: usize) -> StridedMut<'a, E> {
        let region = &self.call.writes[i].0;
        let pointer = self.memory.address::<E>(region);
        StridedMut { pointer, count: region.count, len: region.len, stride: region.stride, life: PhantomData }
    }

    /// Read region `i`, contiguous, of Real elements.
    pub fn read(&self, i: usize) -> &'a [T] {
        self.strided::<T>(i).flat()
    }

    /// Read region `i`, contiguous, of E elements.
    pub fn read_as<E: Pod>(&self, i: usize) -> &'a [E] {
        self.strided::<E>(i).flat()
    }

    /// Number and length of the blocks of written region `i`.
    pub fn written_blocks(&self, i: usize) -> (usize, usize) {
        let region = &self.call.writes[i].0;
        (region.count, region.len)
    }

    /// Written region `i`, contiguous, of Real elements. Ask once per region.
    pub fn write(&self, i: usize) -> &'a mut [T] {
        self.strided_mut::<T>(i).flat()
    }

    /// Written region `i`, contiguous, of E elements. Ask once per region.
    pub fn write_as<E: Pod + Send>(&self, i: usize) -> &'a mut [E] {
        self.strided_mut::<E>(i).flat()
    }

    /// Written region `i`.
    pub fn written(&self, i: usize) -> &'a Region {
        &self.call.writes[i].0
    }

    /// Number of regions read.
    pub fn reads(&self) -> usize {
        self.call.reads.len()
    }

    /// Number of regions written.
    pub fn writes(&self) -> usize {
        self.call.writes.len()
    }

    /// True when written region `i` is to be added to, false when it is to be overwritten.
    pub fn adds(&self, i: usize) -> bool {
        self.call.writes[i].1 == Write::Add
    }
}

/// A cache line: memory that threads keep starts on one.
#[repr(C, align(64))]
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
pub struct Line([u8; ALIGNMENT]);

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    static CALL_SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `len` elements of this thread's scratch, content undefined. Not for nested use: `work` must not start
/// parallel work or ask for scratch again.
pub fn with_scratch<E: Pod, R>(len: usize, work: impl FnOnce(&mut [E]) -> R) -> R {
    SCRATCH.with(|lines| with_lines(lines, len, work))
}

/// Runs `work` with `len` elements of scratch that the tasks of a call share, content undefined. `work` may start parallel
/// work: the memory is taken from the thread meanwhile, so that another call on it would get memory of its own.
pub fn with_call_scratch<E: Pod, R>(len: usize, work: impl FnOnce(&mut [E]) -> R) -> R {
    let lines = RefCell::new(CALL_SCRATCH.take());
    let result = with_lines(&lines, len, work);
    CALL_SCRATCH.replace(lines.into_inner());
    result
}

/// Runs `work` with `len` elements of memory that a thread keeps: it grows on first use, so that a step allocates nothing.
pub fn with_lines<E: Pod, R>(lines: &RefCell<Vec<Line>>, len: usize, work: impl FnOnce(&mut [E]) -> R) -> R {
    let mut lines = lines.borrow_mut();
    let needed = (len * std::mem::size_of::<E>()).div_ceil(ALIGNMENT);
    if lines.len() < needed {
        lines.resize(needed, bytemuck::Zeroable::zeroed());
    }
    work(&mut bytemuck::cast_slice_mut(&mut lines[..needed])[..len])
}
