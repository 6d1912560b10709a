//! The real binary through its command line.

mod cifar;
#[path = "../common/mod.rs"]
mod common;
mod device;
mod errors;
mod methods;
mod profile;
mod resume;
mod runs;
mod toy;
mod vectors;
