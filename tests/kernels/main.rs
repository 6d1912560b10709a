//! The CUDA kernels on the simulated device.

mod device;
mod parity;
mod planted;
