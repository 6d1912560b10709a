//! Which device a run computes on.

use super::Backend;
use super::cpu::Cpu;
use super::cuda::Math;
use crate::graph::Store;
use crate::plan::Plan;
use crate::{Error, Result};

/// A device and its arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Native Rust, fp32.
    Cpu,
    /// The CUDA kernels on the simulated device.
    Sim(Math),
}

impl Target {
    /// The device with memory for a store and its plans.
    ///
    /// # Errors
    /// When there is not enough memory, or this program was built without that device.
    pub fn open(self, store: &Store, plans: &[&Plan]) -> Result<Box<dyn Backend>> {
        match self {
            Self::Cpu => Ok(Box::new(Cpu::<f32>::new(store, plans)?)),
            Self::Sim(math) => simulated(store, plans, math),
        }
    }

    /// The same, when this program holds that device.
    ///
    /// # Errors
    /// When it was built without it.
    pub fn checked(self) -> Result<Self> {
        match self {
            Self::Sim(_) if !cfg!(feature = "sim") => Err(Error::input(
                "device: this program was built without the simulated device; build it with cargo build --release --features sim",
            )),
            _ => Ok(self),
        }
    }

    /// What it is called in a run's heading.
    pub fn describe(self) -> String {
        match self {
            Self::Cpu => {
                format!("cpu ({} threads, {})", rayon::current_num_threads(), crate::machine::vector_instructions())
            }
            Self::Sim(math) => format!("sim (CUDA kernels on the host, {})", math.name()),
        }
    }
}

#[cfg(feature = "sim")]
fn simulated(store: &Store, plans: &[&Plan], math: Math) -> Result<Box<dyn Backend>> {
    use super::cuda::{Cuda, sim::Sim};
    Ok(Box::new(Cuda::new(Sim::default(), store, plans, math)?))
}

#[cfg(not(feature = "sim"))]
fn simulated(_: &Store, _: &[&Plan], math: Math) -> Result<Box<dyn Backend>> {
    Target::Sim(math).checked().and(Err(Error::run("the simulated device is missing")))
}
