//! The CUDA kernels on the simulated device.

mod ceilings;
mod coverage;
mod device;
mod dims;
mod mutation;
mod parity;
mod planted;
mod rounding;
mod training;
