//! The figures of one evaluation, as they are written to `summary.json`.

use serde::{Deserialize, Serialize};

use super::Predictive;
use super::metrics::{CALIBRATION_BINS, Classified, entropy_auc, mean};
use super::ood::{Detection, detect};
use crate::{Error, Result};

/// Figures on the test set. Probabilities are the mean over the posterior samples; entropies are in nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// Number of test images.
    pub images: usize,
    /// Number of posterior samples.
    pub samples: usize,
    /// [`Classified::accuracy`], a share.
    pub accuracy: f64,
    /// `100 (1 - accuracy)`, in percent.
    pub error_percent: f64,
    /// [`Classified::nll`], in nats per image.
    pub nll: f64,
    /// [`Classified::brier`].
    pub brier: f64,
    /// [`Classified::ece`] with 15 bins.
    pub ece: f64,
    /// [`Classified::adaptive_ece`] with 15 bins.
    pub adaptive_ece: f64,
    /// Mean predictive entropy, in nats.
    pub entropy: f64,
    /// Mean mutual information, in nats.
    pub mutual_information: f64,
    /// [`entropy_auc`], in nats.
    pub entropy_auc: f64,
    /// [`Classified::aurc`].
    pub aurc: f64,
}

/// Figures on one out-of-distribution set. `auroc`, `aupr` and `fpr95` are those by entropy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OodReport {
    /// Name of the set.
    pub name: String,
    /// Number of its images.
    pub images: usize,
    /// Mean predictive entropy, in nats.
    pub entropy: f64,
    /// Mean mutual information, in nats.
    pub mutual_information: f64,
    /// [`entropy_auc`], in nats.
    pub entropy_auc: f64,
    /// [`Detection::auroc`] by entropy.
    pub auroc: f64,
    /// [`Detection::aupr`] by entropy.
    pub aupr: f64,
    /// [`Detection::fpr95`] by entropy.
    pub fpr95: f64,
    /// The detection by each score, in the order of [`Score`].
    pub by_score: [ScoreReport; 3],
}

/// How well one score tells the OOD set from the test set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreReport {
    /// The score.
    pub score: Score,
    /// Its figures, in JSON beside `score`.
    #[serde(flatten)]
    pub detection: Detection,
}

/// A number per image that tells OOD images from test images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Predictive entropy, higher on OOD images.
    Entropy,
    /// Mutual information, higher on OOD images.
    MutualInformation,
    /// Largest mean probability, lower on OOD images.
    MaxProbability,
}

impl TestReport {
    /// All figures of `predictive` against the true classes `[images]`.
    ///
    /// # Errors
    /// Labels that do not fit the predictions.
    pub fn new(predictive: &Predictive, labels: &[u8]) -> Result<Self> {
        let classified = Classified::new(predictive, labels)?;
        let accuracy = classified.accuracy();
        Ok(Self {
            images: predictive.images(),
            samples: predictive.samples(),
            accuracy,
            error_percent: 100.0 * (1.0 - accuracy),
            nll: classified.nll(),
            brier: classified.brier(),
            ece: classified.ece(CALIBRATION_BINS)?,
            adaptive_ece: classified.adaptive_ece(CALIBRATION_BINS)?,
            entropy: mean(predictive.entropy())?,
            mutual_information: mean(predictive.mutual_information())?,
            entropy_auc: entropy_auc(predictive.entropy(), predictive.classes())?,
            aurc: classified.aurc(),
        })
    }
}

impl OodReport {
    /// All figures of the set `name` with predictions `ood`, told from the test set's predictions `test`.
    ///
    /// # Errors
    /// Predictions over another number of classes or posterior samples than the test set's.
    pub fn new(name: &str, ood: &Predictive, test: &Predictive) -> Result<Self> {
        let (found, expected) = ((ood.classes(), ood.samples()), (test.classes(), test.samples()));
        if found != expected {
            return Err(Error::input(format!(
                "the OOD set {name} must be predicted like the test set, by {} classes and {} posterior samples, found {} and {}: evaluate both with the same run and --samples",
                expected.0, expected.1, found.0, found.1
            )));
        }
        let by_entropy = Score::Entropy.detect(ood, test)?;
        let Detection { auroc, aupr, fpr95 } = by_entropy.detection;
        Ok(Self {
            name: name.to_owned(),
            images: ood.images(),
            entropy: mean(ood.entropy())?,
            mutual_information: mean(ood.mutual_information())?,
            entropy_auc: entropy_auc(ood.entropy(), ood.classes())?,
            auroc,
            aupr,
            fpr95,
            by_score: [
                by_entropy,
                Score::MutualInformation.detect(ood, test)?,
                Score::MaxProbability.detect(ood, test)?,
            ],
        })
    }
}

impl Score {
    /// Tells `ood` from `test` by this score.
    fn detect(self, ood: &Predictive, test: &Predictive) -> Result<ScoreReport> {
        let detection = detect(&self.of(test), &self.of(ood))?;
        Ok(ScoreReport { score: self, detection })
    }

    /// `[images]`, this score of each image, turned so that higher means more likely OOD.
    fn of(self, predictive: &Predictive) -> Vec<f64> {
        match self {
            Self::Entropy => predictive.entropy().to_vec(),
            Self::MutualInformation => predictive.mutual_information().to_vec(),
            Self::MaxProbability => predictive.max_probability().iter().map(|probability| -probability).collect(),
        }
    }
}
