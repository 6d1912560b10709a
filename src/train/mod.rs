//! Training runs: options and configuration, plans, epochs, checkpoints.

pub mod checkpoint;
pub mod config;
mod defaults;
mod folder;
mod init;
pub mod options;
mod planned;
pub mod presets;
mod record;
pub mod session;
pub mod step;
mod trainer;

pub use folder::RunFolder;
pub use init::{first_values, initialise};
pub use planned::{Planned, Sets};
pub use record::{EpochRecord, Sums};
pub use trainer::{Pause, Trainer};
