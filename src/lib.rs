//! Bayes by Hypernet: networks whose weights are generated, per posterior sample, by other networks.

pub mod error;
pub mod eval;

pub use error::{Error, Result};
