//! The launcher for NVIDIA's driver against a driver of our own (fake.cpp): what it asks for, in which order, and what it says
//! when something fails. With feature `sim` that driver runs the kernels, so that whole runs can be compared.

#[path = "../common/mod.rs"]
mod common;
mod failures;
mod fake;
mod gpu_script;
mod runs;
