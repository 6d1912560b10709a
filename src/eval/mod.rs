//! What a run reports: posterior samples of class probabilities in, figures and a table out.
//!
//! Every method is seen only as probabilities `[samples, images, classes]`. [`PredictiveAccumulator`] reduces them one posterior
//! sample at a time to a [`Predictive`]; [`TestReport`] and [`OodReport`] hold the figures of [`metrics`] and [`ood`];
//! [`table`] writes them for the terminal. Every sum runs in f64 in a fixed order. [`posterior`] alone knows the engine: it runs
//! the plans that draw networks and predict with them.

pub mod metrics;
pub mod ood;
pub mod plans;
pub mod posterior;
mod predictive;
mod report;
mod table;

pub use metrics::Classified;
pub use predictive::{Predictive, PredictiveAccumulator};
pub use report::{OodReport, Score, ScoreReport, TestReport};
pub use table::table;
