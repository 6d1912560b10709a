//! The real binary through its command line.

#[path = "../common/mod.rs"]
mod common;
mod device;
mod errors;
mod profile;
mod resume;
mod runs;
