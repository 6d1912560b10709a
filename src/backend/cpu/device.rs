//! The CPU as a device: the arenas of one store and its plans, and the loop over a plan's calls.

use super::ceilings::timed;
use super::{Arena, Memory, Real, run_call};
use crate::backend::Backend;
use crate::call::{Dtype, Place, Region};
use crate::graph::{Layout, Store};
use crate::plan::{Plan, bytes};
use crate::{Error, Result};
use bytemuck::Pod;
use std::borrow::Cow;
use std::marker::PhantomData;

/// Memory and execution of plans over one store, with Real = T.
pub struct Cpu<T> {
    persistent: Arena,
    layout: Layout,
    workspace: Arena,
    real: PhantomData<T>,
}

impl<T: Real> Cpu<T> {
    /// Zeroed memory for a store and the largest workspace of its plans (they run one at a time).
    ///
    /// # Errors
    /// When the machine refuses the memory.
    pub fn new(store: &Store, plans: &[&Plan]) -> Result<Self> {
        let layout = store.layout(size_of::<T>());
        let workspace = plans.iter().map(|plan| plan.workspace.bytes).max().unwrap_or(0);
        let refused = |needed: usize| {
            Error::run(format!(
                "out of memory: {} are needed at once; use a smaller --batch, --samples or generator",
                bytes(needed)
            ))
        };
        let persistent = Arena::new(layout.bytes).ok_or_else(|| refused(layout.bytes))?;
        let workspace = Arena::new(workspace).ok_or_else(|| refused(workspace))?;
        Ok(Self { persistent, layout, workspace, real: PhantomData })
    }

    /// Runs all calls of a plan, one after another.
    pub fn run(&mut self, plan: &Plan) {
        for index in 0..plan.calls.len() {
            self.run_one(plan, index);
        }
    }

    /// Runs call `index` of a plan alone (profiles).
    pub fn run_one(&mut self, plan: &Plan, index: usize) {
        let memory =
            Memory { persistent: (&self.persistent, &self.layout), workspace: (&self.workspace, &plan.workspace) };
        run_call::<T>(&memory, &plan.calls[index]);
    }

    /// Elements of a region without gaps, of the persistent memory or of the plan that ran last.
    ///
    /// # Panics
    /// When E has not the size of the buffer's elements, or the region has gaps: a defect of the caller.
    pub fn read<E: Pod>(&self, plan: &Plan, region: Region) -> &[E] {
        let (arena, start) = self.place::<E>(&plan.workspace, &region);
        bytemuck::cast_slice(&arena.bytes()[start..start + region.elements() * size_of::<E>()])
    }

    /// Elements of a persistent region without gaps.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn persistent<E: Pod>(&self, region: Region) -> &[E] {
        let (arena, start) = self.place::<E>(&self.layout, &region);
        bytemuck::cast_slice(&arena.bytes()[start..start + region.elements() * size_of::<E>()])
    }

    /// The same, for writing.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn persistent_mut<E: Pod>(&mut self, region: Region) -> &mut [E] {
        let (_, start) = self.place::<E>(&self.layout, &region);
        bytemuck::cast_slice_mut(&mut self.persistent.bytes_mut()[start..start + region.elements() * size_of::<E>()])
    }

    /// As [`read`](Self::read), for writing.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    pub fn read_mut<E: Pod>(&mut self, plan: &Plan, region: Region) -> &mut [E] {
        let (arena, start) = self.place::<E>(&plan.workspace, &region);
        let bytes = region.elements() * size_of::<E>();
        let arena = if std::ptr::eq(arena, &self.persistent) { &mut self.persistent } else { &mut self.workspace };
        bytemuck::cast_slice_mut(&mut arena.bytes_mut()[start..start + bytes])
    }

    fn place<E: Pod>(&self, workspace: &Layout, region: &Region) -> (&Arena, usize) {
        let (arena, layout) = match region.buffer.place {
            Place::Persistent => (&self.persistent, &self.layout),
            Place::Workspace => (&self.workspace, workspace),
        };
        let slot = &layout.slots[region.buffer.index];
        assert_eq!(layout.element_bytes(slot.dtype), size_of::<E>(), "element size of {}", slot.name);
        assert!(region.is_contiguous() && region.offset + region.span() <= slot.len, "region of {}", slot.name);
        (arena, slot.offset + region.offset * size_of::<E>())
    }

    /// Element type of a region's buffer.
    pub fn dtype(&self, plan: &Plan, region: &Region) -> Dtype {
        match region.buffer.place {
            Place::Persistent => self.layout.slots[region.buffer.index].dtype,
            Place::Workspace => plan.workspace.slots[region.buffer.index].dtype,
        }
    }
}

impl Backend for Cpu<f32> {
    fn run(&mut self, plan: &Plan) -> Result<()> {
        Cpu::run(self, plan);
        Ok(())
    }

    fn run_one(&mut self, plan: &Plan, index: usize) -> Result<()> {
        Cpu::run_one(self, plan, index);
        Ok(())
    }

    fn bytes(&self, plan: Option<&Plan>, region: Region) -> Result<Cow<'_, [u8]>> {
        let (arena, layout) = match (region.buffer.place, plan) {
            (Place::Persistent, _) => (&self.persistent, &self.layout),
            (Place::Workspace, Some(plan)) => (&self.workspace, &plan.workspace),
            (Place::Workspace, None) => return Err(Error::run("a workspace region was named without its plan")),
        };
        Ok(Cow::Borrowed(&arena.bytes()[layout.bytes_of(&region)]))
    }

    fn write_bytes(&mut self, region: Region, bytes: &[u8]) -> Result<()> {
        assert_eq!(region.buffer.place, Place::Persistent, "the host writes persistent regions");
        let range = self.layout.bytes_of(&region);
        self.persistent.bytes_mut()[range].copy_from_slice(bytes);
        Ok(())
    }

    fn time(&mut self, plan: &Plan, call: Option<usize>, _: bool) -> Result<Option<f64>> {
        Ok(Some(timed(|| match call {
            Some(index) => Cpu::run_one(self, plan, index),
            None => Cpu::run(self, plan),
        })))
    }

    fn launches(&self, _: &Plan, _: usize) -> usize {
        1
    }

    fn dtype(&self, plan: &Plan, region: &Region) -> Dtype {
        Cpu::dtype(self, plan, region)
    }
}
