//! The driver's library, and the devices that it knows. Everything else of this program works without one.

use super::error::{Failure, describe};
use crate::backend::cuda::embedded::OLDEST_CAPABILITY;
use crate::{Error, Result};
use cudarc::driver::{result, sys};
use serde::Serialize;

/// A GPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceInfo {
    pub ordinal: usize,
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: (u32, u32),
    pub memory_bytes: usize,
    pub multiprocessors: u32,
}

impl DeviceInfo {
    /// True when the kernels run on it.
    pub fn is_usable(&self) -> bool {
        self.compute_capability >= OLDEST_CAPABILITY
    }

    /// # Errors
    /// When the device is older than the kernels.
    pub(super) fn check_usable(&self) -> Result<()> {
        if self.is_usable() {
            return Ok(());
        }
        let ((major, minor), (oldest_major, oldest_minor)) = (self.compute_capability, OLDEST_CAPABILITY);
        Err(Error::input(format!(
            "device: cuda:{} ({}) has compute capability {major}.{minor}; the kernels need {oldest_major}.{oldest_minor} (A100, RTX 30 or newer): use --device cpu",
            self.ordinal, self.name
        )))
    }
}

/// What there is to compute on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Devices {
    /// Newest CUDA version that the driver supports, major and minor.
    pub cuda_version: (u32, u32),
    /// The driver's own version, where the system tells.
    pub driver_version: Option<String>,
    pub devices: Vec<DeviceInfo>,
}

/// What this program calls. All of it exists from CUDA 11.4 on; cudarc would panic at the first one that is missing.
const SYMBOLS: [&str; 36] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuStreamCreate",
    "cuStreamSynchronize",
    "cuStreamDestroy_v2",
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphUpload",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemsetD8Async",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventElapsedTime",
    "cuEventDestroy_v2",
];

/// Loads the driver's library and initialises it.
///
/// # Errors
/// When there is none, when it is too old, or when it finds no device.
pub fn initialise() -> Result<()> {
    // SAFETY: asks the system's loader for the driver's library, whose initialisers are trusted as the driver is.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::input(
            "device: there is no NVIDIA driver library (libcuda) on this machine; install NVIDIA's driver, or use --device cpu",
        ));
    }
    for name in SYMBOLS {
        // SAFETY: the symbol is looked up and not called; the library was found present.
        if unsafe { sys::culib().get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_err() {
            return Err(Error::input(format!(
                "device: the NVIDIA driver library has no function {name}; install driver 470 (CUDA 11.4) or newer, or use --device cpu"
            )));
        }
    }
    result::init().map_err(|error| describe(error, &Failure::Initialise))
}

/// The driver's devices.
///
/// # Errors
/// As [`initialise`].
pub fn devices() -> Result<Devices> {
    initialise()?;
    let failed = |error| describe(error, &Failure::Query);
    let mut version = 0;
    // SAFETY: the driver writes one integer.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    let devices = (0..count.unsigned_abs() as usize).map(|ordinal| device(ordinal).map(|(_, info)| info));
    let (major, minor) = (version.unsigned_abs() / 1000, version.unsigned_abs() % 1000 / 10);
    Ok(Devices {
        cuda_version: (major, minor),
        driver_version: driver_version(),
        devices: devices.collect::<Result<_>>()?,
    })
}

/// One device of an initialised driver.
///
/// # Errors
/// When there is no such device.
pub fn device(ordinal: usize) -> Result<(sys::CUdevice, DeviceInfo)> {
    use sys::CUdevice_attribute as Attribute;
    let failed = |error| describe(error, &Failure::Query);
    let count = result::device::get_count().map_err(failed)?.unsigned_abs() as usize;
    if ordinal >= count {
        let (noun, last) =
            if count == 1 { ("device", String::new()) } else { ("devices", format!(" to cuda:{}", count - 1)) };
        return Err(Error::input(format!(
            "device: there is no cuda:{ordinal}; the driver knows {count} {noun}, cuda:0{last}"
        )));
    }
    let device = result::device::get(ordinal as i32).map_err(failed)?;
    // SAFETY: the device was returned by the driver.
    let attribute = |attribute| unsafe { result::device::get_attribute(device, attribute) }.map_err(failed);
    let info = DeviceInfo {
        ordinal,
        name: result::device::get_name(device).map_err(failed)?,
        compute_capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?.unsigned_abs(),
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?.unsigned_abs(),
        ),
        // SAFETY: as above.
        memory_bytes: unsafe { result::device::total_mem(device) }.map_err(failed)?,
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.unsigned_abs(),
    };
    Ok((device, info))
}

/// Version of the kernel module, from the file in which Linux tells it: the first word that looks like 580.65.06.
fn driver_version() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let is_version = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.split_whitespace().find(is_version).map(str::to_string)
}
