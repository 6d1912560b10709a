//! Bayes by Hypernet: networks whose weights are generated, per posterior sample, by other networks.

pub mod backend;
pub mod call;
pub mod error;
pub mod eval;
pub mod graph;
pub mod ops;
pub mod plan;

pub use error::{Error, Result};
