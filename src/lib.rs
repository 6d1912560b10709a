//! Bayes by Hypernet: networks whose weights are generated, per posterior sample, by other networks.

pub mod data;
pub mod error;
pub mod random;

pub use error::{Error, Result};
