//! Training runs: configuration, plans, epochs, checkpoints.

pub mod step;
