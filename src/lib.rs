//! Bayes by Hypernet (arXiv 1711.01297): networks whose weights are generated, per posterior sample, by other networks, on
//! an autodiff engine of its own.
//!
//! What the command line does, a program can do:
//!
//! ```
//! use bbh::backend::Target;
//! use bbh::data::{self, SyntheticConfig};
//! use bbh::eval::TestReport;
//! use bbh::train::config::Config;
//! use bbh::train::options::{ModelKind, Options};
//! use bbh::train::{Planned, Sets, Trainer};
//!
//! # fn main() -> bbh::Result<()> {
//! let config = Config::resolve(Options {
//!     model: Some(ModelKind::Mlp),
//!     mlp_units: Some(vec![16]),
//!     hidden_units: Some(vec![8, 16]),
//!     epochs: Some(1),
//!     ..Options::default()
//! })?;
//! let digits = data::load("synthetic", None, SyntheticConfig { train: 200, test: 50, seed: 0 })?;
//! let labels = digits.test.labels.clone();
//! let sets = Sets { train: digits.train, valid: None, test: digits.test, ood: None };
//! let mut trainer = Trainer::new(Planned::new(config, sets)?, Target::Cpu)?;
//! trainer.train_epoch(std::time::Duration::ZERO, &mut |_step, sums, _seconds| sums.loss.is_finite())?;
//! let (prediction, _) = trainer.predict_test(10, &mut |_share| Ok(()))?;
//! let report = TestReport::new(&prediction, &labels)?;
//! assert!(report.accuracy <= 1.0 && report.entropy > 0.0);
//! # Ok(())
//! # }
//! ```
//!
//! From the top down: [`cli`] reads flags, [`train`] runs epochs, a [`model`] asks a [`method`] for its weights, both say
//! [`ops`] to a [`graph`], whose rules emit [`call`]s into a [`plan`], which a [`backend`] replays. Nothing is allocated in a
//! step, and the same seed gives the same bits for any number of threads.

// Shapes such as [S] or [O, I] look like links to rustdoc.
#![allow(rustdoc::broken_intra_doc_links)]

pub mod backend;
pub mod call;
pub mod check;
pub mod cli;
pub mod data;
pub mod error;
pub mod eval;
pub mod graph;
pub mod hmc;
pub mod machine;
pub mod method;
pub mod model;
pub mod ops;
pub mod plan;
pub mod profile;
pub mod random;
pub mod svg;
pub mod toy;
pub mod train;
pub mod vectors;

pub use error::{Error, Result};
