//! Checks of the engine against itself: gradients against finite differences.

pub mod gradcheck;

mod branches;
mod case;
mod difference;
mod models;
mod ops;
mod ops_images;
mod parity;
mod prepared;
mod rank_update;
mod report;

pub use case::{Built, Case, Constant};
pub use parity::{Outcome, Parity, Step};
pub use prepared::Prepared;
pub use report::{Row, table};
