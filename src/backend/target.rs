//! Which device a run computes on.

use super::Backend;
use super::cpu::Cpu;
use super::cuda::driver::{self, DeviceInfo, Driver};
use super::cuda::{Cuda, Launcher, Math};
use crate::graph::Store;
use crate::plan::Plan;
use crate::{Error, Result};

/// A device and its arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Native Rust, fp32.
    Cpu,
    /// The CUDA kernels on GPU `ordinal`.
    Cuda { ordinal: usize, math: Math },
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
            Self::Cuda { ordinal, math } => Ok(Box::new(Cuda::new(Driver::open(ordinal)?, store, plans, math)?)),
            Self::Sim(math) => simulated(store, plans, math),
        }
    }

    /// What launches single kernels there (checks).
    ///
    /// # Errors
    /// When the device cannot be opened, or launches no kernels.
    pub fn launcher(self) -> Result<Box<dyn Launcher>> {
        match self {
            Self::Cpu => {
                Err(Error::input("device: the CPU launches no CUDA kernels; name --device cuda, or --device sim"))
            }
            Self::Cuda { ordinal, .. } => Ok(Box::new(Driver::open(ordinal)?)),
            Self::Sim(_) => simulated_launcher(),
        }
    }

    /// The first GPU that can run the kernels; where there is none, the CPU.
    pub fn best(math: Math) -> Self {
        let first = driver::devices().ok().and_then(|found| found.devices.into_iter().find(DeviceInfo::is_usable));
        first.map_or(Self::Cpu, |device| Self::Cuda { ordinal: device.ordinal, math })
    }

    /// The same, when this program and this machine have that device.
    ///
    /// # Errors
    /// When they have not.
    pub fn checked(self) -> Result<Self> {
        match self {
            Self::Cuda { ordinal, .. } => Driver::find(ordinal).map(|_| self),
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
                format!("cpu ({} threads, {})", rayon::current_num_threads(), crate::vectors::name())
            }
            Self::Cuda { ordinal, math } => {
                let name = Driver::find(ordinal).map_or_else(|_| "missing".into(), |device| device.name);
                format!("cuda:{ordinal} ({name}, {})", math.name())
            }
            Self::Sim(math) => format!("sim (CUDA kernels on the host, {})", math.name()),
        }
    }
}

#[cfg(feature = "sim")]
fn simulated(store: &Store, plans: &[&Plan], math: Math) -> Result<Box<dyn Backend>> {
    use super::cuda::sim::Sim;
    Ok(Box::new(Cuda::new(Sim::default(), store, plans, math)?))
}

#[cfg(feature = "sim")]
fn simulated_launcher() -> Result<Box<dyn Launcher>> {
    Ok(Box::new(super::cuda::sim::Sim::default()))
}

#[cfg(not(feature = "sim"))]
fn simulated_launcher() -> Result<Box<dyn Launcher>> {
    Target::Sim(Math::Fp32).checked().and(Err(Error::run("the simulated device is missing")))
}

#[cfg(not(feature = "sim"))]
fn simulated(_: &Store, _: &[&Plan], math: Math) -> Result<Box<dyn Backend>> {
    Target::Sim(math).checked().and(Err(Error::run("the simulated device is missing")))
}
