//! Bayes by Hypernet: networks whose weights are generated, per posterior sample, by other networks.

pub mod backend;
pub mod call;
pub mod check;
pub mod cli;
pub mod data;
pub mod error;
pub mod eval;
pub mod graph;
pub mod machine;
pub mod method;
pub mod model;
pub mod ops;
pub mod plan;
pub mod profile;
pub mod random;
pub mod train;

pub use error::{Error, Result};
