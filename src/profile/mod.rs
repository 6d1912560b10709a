//! Where the time goes: every call of a training step, or one kernel alone, beside the ceilings of the device measured in the
//! same run; as a table, JSON, CSV and a roofline.
//!
//! A call is timed cold: a GPU's second-level cache is emptied first (the caches of a CPU stay as they are). A step is timed
//! as in training, one replay after another. Their difference is the step's gap time: launches and their pauses if it is
//! positive; what the caches hand from call to call, or calls that overlap, if it is negative.
//!
//! A device that keeps no time (the simulated one) is not run at all: launches, bytes and FLOP follow from the plan.

mod configs;
mod counts;
pub mod csv;
pub mod kernels;
mod measure;
mod model_step;
pub mod roofline;
pub mod table;

pub use configs::{CONFIGS, named};
pub use measure::kernel;
pub use model_step::step;

use crate::backend::Ceilings;
use serde::Serialize;

/// A profile, the same fields for every device. Times are absent (`null`) where the device keeps none, and so is what follows
/// from them. A function of plan, device and clock alone: no date, no path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Version of this program.
    pub version: &'static str,
    /// Configuration of the step, or name of the kernel.
    pub name: String,
    /// `cpu (2 threads, avx2)`
    pub device: String,
    /// Arithmetic of matrix products and convolutions: fp32, tf32 or bf16.
    pub math: &'static str,
    /// Executions of which medians were taken; 0 where none were timed.
    pub repeats: usize,
    /// Memory of the profiled plan and of everything persistent, bytes.
    pub memory_bytes: usize,
    /// Rates that no call exceeds, but for caches and skipped work.
    pub ceilings: Option<Ceilings>,
    /// All calls together.
    pub total: Total,
    /// Slowest first; without times, those that move the most bytes first.
    pub calls: Vec<CallProfile>,
}

/// A whole step, or a kernel's one call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Total {
    pub launches: usize,
    /// Sum over the calls: what they read and write at least.
    pub bytes: usize,
    /// Sum over the calls: two per multiply-add of a matrix product or convolution.
    pub flop: f64,
    /// Median, tenth and ninetieth percentile of an execution without timers between its calls, microseconds.
    pub us: Option<f64>,
    pub us_p10: Option<f64>,
    pub us_p90: Option<f64>,
    /// Sum of the calls' medians, microseconds.
    pub calls_us: Option<f64>,
    /// `us` - `calls_us` (see the module), microseconds.
    pub gap_us: Option<f64>,
    pub gbps: Option<f64>,
    pub tflops: Option<f64>,
    /// Sum of the calls' times at the ceilings over `us`.
    pub share_of_ceilings: Option<f64>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallProfile {
    /// Kernel, as in `bbh profile --kernel list`.
    pub name: String,
    /// Node that asked for it; gradients start with `d.`.
    pub label: String,
    /// Dims, letters as in [`crate::call`].
    pub shape: String,
    /// Kernels that it launches; 1 on a CPU.
    pub launches: usize,
    /// What it reads and writes at least: every region once, updated or added-to ones twice.
    pub bytes: usize,
    /// Two per multiply-add of a matrix product or convolution; everything else counts as memory.
    pub flop: f64,
    /// Median of its cold executions, microseconds.
    pub us: Option<f64>,
    pub gbps: Option<f64>,
    pub tflops: Option<f64>,
    /// Time at the ceilings (the slower of bytes at the memory rate and FLOP at the product rate) over `us`. Work that stays
    /// in a cache or is skipped can exceed 1.
    pub share_of_ceilings: Option<f64>,
}
