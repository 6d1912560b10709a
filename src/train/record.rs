//! Figures of an epoch: sums while it runs, means when it is over.

use serde::{Deserialize, Serialize};

/// One line of metrics.jsonl: means over an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    pub epoch: usize,
    pub step: u64,
    pub loss: f64,
    pub cross_entropy: f64,
    pub kl: f64,
    /// anneal * KL / N
    pub scaled_kl: f64,
    /// At the end of the epoch.
    pub anneal: f64,
    pub learning_rate: f64,
    /// On the training batches, before each step's update.
    pub accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_nll: Option<f64>,
    pub images_per_second: f64,
    pub seconds: f64,
}

/// Sums of an epoch so far, with the step scalars of the last step.
#[derive(Clone, Copy, Debug)]
pub struct Sums {
    pub loss: f64,
    pub cross_entropy: f64,
    pub kl: f64,
    pub scaled_kl: f64,
    pub correct: f64,
    pub images: f64,
    pub steps: f64,
    pub anneal: f64,
    pub learning_rate: f64,
}
