//! The CUDA kernels on the simulated device.

mod coverage;
mod device;
mod parity;
mod planted;
