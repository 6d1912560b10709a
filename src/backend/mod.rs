//! What runs a plan. `cpu` is native Rust, generic over f32 and f64; `cuda` launches the kernels of kernels/ on a GPU or on
//! the simulated device.

mod ceilings;
pub mod cpu;
pub mod cuda;
mod target;

pub use ceilings::Ceilings;
pub use cuda::Math;
pub use target::Target;

use crate::call::{Dtype, Region};
use crate::graph::Store;
use crate::plan::Plan;
use crate::random::from_bf16;
use crate::{Error, Result};
use bytemuck::Pod;
use std::borrow::Cow;

/// Memory and execution of plans over one store, with Real = f32.
pub trait Backend {
    /// Runs all calls of a plan, one after another.
    ///
    /// # Errors
    /// When the device fails, or was not made for this plan.
    fn run(&mut self, plan: &Plan) -> Result<()>;

    /// Runs call `index` of a plan alone.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_one(&mut self, plan: &Plan, index: usize) -> Result<()>;

    /// Bytes of a region without gaps: borrowed where they are the host's own. `plan`: the one that ran last, for a workspace
    /// region.
    ///
    /// # Errors
    /// When the device fails.
    fn bytes(&self, plan: Option<&Plan>, region: Region) -> Result<Cow<'_, [u8]>>;

    /// Copies the host's bytes into a persistent region without gaps.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When `bytes` has not the size of the region: a defect of the caller.
    fn write_bytes(&mut self, region: Region, bytes: &[u8]) -> Result<()>;

    /// Seconds of one execution of a call of the plan, or of the whole plan, by the device's own clock. `cold`: its caches are
    /// emptied first (the CPU's stay as they are); else a plan runs once more beforehand where that hides the way from the host.
    /// `None`: the device keeps no time.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn time(&mut self, plan: &Plan, call: Option<usize>, cold: bool) -> Result<Option<f64>>;

    /// Kernels that call `index` of a plan launches; 1 where a call is a function of the host.
    fn launches(&self, plan: &Plan, index: usize) -> usize;

    /// Arithmetic of matrix products and convolutions.
    fn math(&self) -> Math;

    /// The device's ceilings, measured now; `None`: it keeps no time.
    ///
    /// # Errors
    /// When the device fails, or has not the memory for the measurement.
    fn ceilings(&mut self) -> Result<Option<Ceilings>>;

    /// Element type of a region's buffer.
    fn dtype(&self, plan: &Plan, region: &Region) -> Dtype;
}

impl dyn Backend + '_ {
    /// Elements of a persistent region without gaps.
    ///
    /// # Errors
    /// When the device fails.
    pub fn persistent<E: Pod>(&self, region: Region) -> Result<Cow<'_, [E]>> {
        Ok(elements(self.bytes(None, region)?))
    }

    /// Elements of a region without gaps, of the persistent memory or of the plan that ran last.
    ///
    /// # Errors
    /// When the device fails.
    pub fn read<E: Pod>(&self, plan: &Plan, region: Region) -> Result<Cow<'_, [E]>> {
        Ok(elements(self.bytes(Some(plan), region)?))
    }

    /// Overwrites a persistent region without gaps.
    ///
    /// # Errors
    /// When the device fails.
    pub fn write<E: Pod>(&mut self, region: Region, elements: &[E]) -> Result<()> {
        self.write_bytes(region, bytemuck::cast_slice(elements))
    }

    /// Runs a plan and looks at every Real and Bf16 element that it writes.
    ///
    /// # Errors
    /// Names the first call that wrote a number that is not finite.
    pub fn run_checked(&mut self, plan: &Plan, store: &Store) -> Result<()> {
        for (index, call) in plan.calls.iter().enumerate() {
            self.run_one(plan, index)?;
            for (region, _) in &call.writes {
                if !self.is_finite(plan, region)? {
                    return Err(Error::run(format!(
                        "call {index} ({} for {}) wrote a number that is not finite to {}",
                        call.kind.name(),
                        call.label,
                        plan.buffer(store, region)
                    )));
                }
            }
        }
        Ok(())
    }

    /// True for regions of integers and of F64, and where all elements of others are finite.
    fn is_finite(&self, plan: &Plan, region: &Region) -> Result<bool> {
        for (start, end) in region.intervals() {
            let block = Region::contiguous(region.buffer, start, end - start);
            let finite = match self.dtype(plan, region) {
                Dtype::Real => self.read::<f32>(plan, block)?.iter().all(|value| value.is_finite()),
                Dtype::Bf16 => self.read(plan, block)?.iter().all(|&bits| from_bf16(bits).is_finite()),
                Dtype::F64 | Dtype::U32 | Dtype::U8 => true,
            };
            if !finite {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn elements<E: Pod>(bytes: Cow<'_, [u8]>) -> Cow<'_, [E]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytemuck::cast_slice(bytes)),
        Cow::Owned(bytes) => Cow::Owned(bytes.chunks_exact(size_of::<E>()).map(bytemuck::pod_read_unaligned).collect()),
    }
}
