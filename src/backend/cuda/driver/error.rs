//! What a driver's error code means for the user, and what to do about it.

use crate::Error;
use cudarc::driver::{DriverError, sys::CUresult};

/// What was attempted.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    Initialise,
    Query,
    /// Use of a device that was found.
    Open(String),
    Allocate,
    /// Loading of a kernel.
    Load(String),
    /// Launches and copies; what was launched last, oldest first.
    Run(Vec<String>),
}

/// One sentence for an error of the driver.
pub fn describe(error: DriverError, failure: &Failure) -> Error {
    use CUresult::*;
    let (code, said) = (error.0 as u32, said(error));
    let found = format!("({said}, CUDA error {code})");
    match (error.0, failure) {
        (CUDA_ERROR_NO_DEVICE | CUDA_ERROR_STUB_LIBRARY, _) => Error::input(format!(
            "device: the NVIDIA driver finds no GPU {found}; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu"
        )),
        (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | CUDA_ERROR_SYSTEM_NOT_READY, _) => Error::run(format!(
            "device: the NVIDIA driver is not ready {found}; its library and its kernel module have to be of one version: restart the machine after an update, or use --device cpu"
        )),
        (CUDA_ERROR_OUT_OF_MEMORY, _) => Error::run(format!("the GPU is out of memory {found}")),
        (CUDA_ERROR_UNSUPPORTED_PTX_VERSION, Failure::Load(kernel)) => Error::run(format!(
            "device: the NVIDIA driver is too old for kernel {kernel} {found}; update it to 450 (CUDA 11.0) or newer"
        )),
        (
            CUDA_ERROR_NO_BINARY_FOR_GPU | CUDA_ERROR_INVALID_PTX | CUDA_ERROR_JIT_COMPILER_NOT_FOUND,
            Failure::Load(kernel),
        ) => Error::run(format!(
            "device: the NVIDIA driver cannot load kernel {kernel} {found}; rebuild with a CUDA toolkit (NVCC=/path/to/nvcc) for machine code of this GPU"
        )),
        (_, Failure::Run(recent)) => Error::run(format!(
            "the GPU stopped {found}; launched last: {}; run again with BBH_CUDA_EAGER=1 to wait for each launch and learn which one it was",
            if recent.is_empty() { "nothing".into() } else { recent.join(", ") }
        )),
        (_, Failure::Open(device)) => Error::run(format!("{device} cannot be used {found}; check nvidia-smi")),
        (_, Failure::Load(kernel)) => Error::run(format!("kernel {kernel} cannot be loaded {found}")),
        (_, Failure::Allocate) => Error::run(format!("the GPU refuses memory {found}")),
        (_, Failure::Initialise | Failure::Query) => Error::run(format!(
            "device: the NVIDIA driver does not answer {found}; check nvidia-smi, or use --device cpu"
        )),
    }
}

/// The driver's own words.
fn said(error: DriverError) -> String {
    error.error_string().map_or_else(|_| "an unknown error".into(), |text| text.to_string_lossy().into_owned())
}
