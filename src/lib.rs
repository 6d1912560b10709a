//! Bayes by Hypernet: networks whose weights are generated, per posterior sample, by other networks.

pub mod backend;
pub mod call;
pub mod error;
pub mod graph;
pub mod random;
pub mod schedule;

pub use error::{Error, Result};
