//! The CUDA kernels on the simulated device.

mod coverage;
mod device;
mod mutation;
mod parity;
mod planted;
