//! Figures of the prediction itself: accuracy, proper scores, calibration, entropy, selective prediction.

use super::Predictive;
use crate::{Error, Result};

/// Bins of both calibration errors (Guo et al. 2017).
pub const CALIBRATION_BINS: usize = 15;

/// Bins of the entropy axis `[0, ln classes]` under [`entropy_auc`].
pub const ENTROPY_BINS: usize = 500;

/// Smallest probability of the true class that [`Classified::nll`] sees: the smallest normal f32, so that only a softmax that
/// underflowed is clamped. One image adds at most 87.34 nats.
pub const PROBABILITY_FLOOR: f64 = f32::MIN_POSITIVE as f64;

/// A predictive distribution beside the true classes; made only if they fit together.
#[derive(Debug, Clone)]
pub struct Classified<'a> {
    predictive: &'a Predictive,
    labels: &'a [u8],
}

/// One point of the risk-coverage curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoveragePoint {
    /// Share of the images answered, the most confident first, in `(0, 1]`.
    pub coverage: f64,
    /// Share of wrong answers among them, in `[0, 1]`.
    pub risk: f64,
}

/// What a calibration bin or a coverage needs of one image.
#[derive(Debug, Clone, Copy)]
struct Answer {
    confidence: f64,
    correct: f64,
}

impl<'a> Classified<'a> {
    /// Pairs `predictive` with the true classes `[images]`.
    ///
    /// # Errors
    /// Another number of labels than of images, or a label that is no class.
    pub fn new(predictive: &'a Predictive, labels: &'a [u8]) -> Result<Self> {
        if labels.len() != predictive.images() {
            return Err(Error::input(format!(
                "every image needs one label, found {} labels for {} images: pass the labels of the same set",
                labels.len(),
                predictive.images()
            )));
        }
        if let Some((image, label)) =
            labels.iter().enumerate().find(|&(_, &label)| usize::from(label) >= predictive.classes())
        {
            return Err(Error::input(format!(
                "a label must be below the {} classes of the network, found {label} at image {image}: evaluate on the classes it was trained on",
                predictive.classes()
            )));
        }
        Ok(Self { predictive, labels })
    }

    /// Share of images whose most probable class is the true one, in `[0, 1]`.
    pub fn accuracy(&self) -> f64 {
        average(self.answers().iter().map(|answer| answer.correct))
    }

    /// Negative log-likelihood: mean of `-ln` of the mean probability of the true class, clamped to [`PROBABILITY_FLOOR`], in nats.
    pub fn nll(&self) -> f64 {
        average(
            self.rows()
                .map(|(row, label)| -row.get(label).map_or(PROBABILITY_FLOOR, |p| p.max(PROBABILITY_FLOOR)).ln()),
        )
    }

    /// Brier score: mean over images of the squared distance between the probabilities and the one-hot label, summed over classes,
    /// in `[0, 2]` (Brier 1950).
    pub fn brier(&self) -> f64 {
        average(self.rows().map(|(row, label)| {
            row.iter().enumerate().fold(0.0, |sum, (class, probability)| {
                let target = if class == label { 1.0 } else { 0.0 };
                sum + (probability - target).powi(2)
            })
        }))
    }

    /// Expected calibration error over `bins` equal-width bins `(k / bins, (k + 1) / bins]` of the confidence: the sum over bins of
    /// their share of images times |accuracy - mean confidence| (Guo et al. 2017, arXiv 1706.04599, equation 3), in `[0, 1]`.
    ///
    /// # Errors
    /// No bins.
    pub fn ece(&self, bins: usize) -> Result<f64> {
        check_bins(bins)?;
        let mut gaps = vec![0.0; bins];
        for answer in self.answers() {
            let bin = (answer.confidence * bins as f64).ceil() as usize;
            if let Some(gap) = gaps.get_mut(bin.clamp(1, bins) - 1) {
                *gap += answer.correct - answer.confidence;
            }
        }
        Ok(self.mean_gap(&gaps))
    }

    /// Calibration error as [`Self::ece`], over `bins` bins of equally many images (sizes differ by at most one), in order of confidence
    /// (Nguyen and O'Connor 2015). Images of equal confidence count their mean correctness, so the order of the images is irrelevant.
    ///
    /// # Errors
    /// No bins.
    pub fn adaptive_ece(&self, bins: usize) -> Result<f64> {
        check_bins(bins)?;
        let ranked = self.ranked();
        let images = ranked.len();
        let mut gaps = vec![0.0; bins];
        for (rank, answer) in ranked.iter().enumerate() {
            if let Some(gap) = gaps.get_mut(rank * bins / images) {
                *gap += answer.correct - answer.confidence;
            }
        }
        Ok(self.mean_gap(&gaps))
    }

    /// Risk-coverage curve `[images]`: the error among the `k` most confident images, `k = 1..=images`
    /// (Geifman and El-Yaniv 2017, arXiv 1705.08500). Images of equal confidence count their mean error.
    pub fn risk_coverage(&self) -> Vec<CoveragePoint> {
        let images = self.labels.len() as f64;
        let mut errors = 0.0;
        let point = |(index, answer): (usize, &Answer)| {
            let answered = (index + 1) as f64;
            errors += 1.0 - answer.correct;
            CoveragePoint { coverage: answered / images, risk: errors / answered }
        };
        self.ranked().iter().enumerate().map(point).collect()
    }

    /// Area under the risk-coverage curve: its mean risk over all coverages (Geifman et al. 2019, arXiv 1805.08206), in `[0, 1]`,
    /// lower = better.
    pub fn aurc(&self) -> f64 {
        average(self.risk_coverage().iter().map(|point| point.risk))
    }

    /// Each image's class probabilities and true class.
    fn rows(&self) -> impl Iterator<Item = (&[f64], usize)> {
        self.predictive
            .probabilities()
            .chunks_exact(self.predictive.classes())
            .zip(self.labels.iter().map(|&label| usize::from(label)))
    }

    /// Each image's confidence and correctness (1 or 0), in the order of the images.
    fn answers(&self) -> Vec<Answer> {
        let predicted = self.predictive.prediction().iter().zip(self.predictive.max_probability());
        let answer = |((&class, &confidence), &label): ((&usize, &f64), &u8)| Answer {
            confidence,
            correct: if class == usize::from(label) { 1.0 } else { 0.0 },
        };
        predicted.zip(self.labels).map(answer).collect()
    }

    /// The answers by falling confidence, each with the mean correctness of all images of its confidence.
    fn ranked(&self) -> Vec<Answer> {
        let mut answers = self.answers();
        answers.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        for group in answers.chunk_by_mut(|a, b| a.confidence == b.confidence) {
            let mean = average(group.iter().map(|answer| answer.correct));
            group.iter_mut().for_each(|answer| answer.correct = mean);
        }
        answers
    }

    /// Sum of the bins' absolute gaps (sums of correctness minus confidence) over the number of images.
    fn mean_gap(&self, gaps: &[f64]) -> f64 {
        gaps.iter().fold(0.0, |sum, gap| sum + gap.abs()) / self.labels.len() as f64
    }
}

/// Mean of `values`, in their unit.
///
/// # Errors
/// No values, or one that is not finite.
pub fn mean(values: &[f64]) -> Result<f64> {
    if values.is_empty() {
        return Err(Error::input("a mean needs at least 1 value, found 0: give a data set that is not empty"));
    }
    if let Some((index, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(Error::run(format!(
            "a mean needs finite values, found {value} at index {index}: the network has diverged"
        )));
    }
    Ok(average(values.iter().copied()))
}

/// Area under the empirical distribution function of the predictive entropy, in nats, in `[0, ln classes]`; lower = more uncertain.
///
/// Exactly: `F(h)` = share of the images whose entropy is at most `h`, taken at the 501 edges `h_k = k ln(classes) / 500` of
/// [`ENTROPY_BINS`] equal bins, integrated by the trapezoidal rule over `[0, ln classes]` and not divided by `ln classes`.
/// It equals `ln classes` minus the mean entropy to half a bin. Divide by `ln classes` to compare sets of different classes.
///
/// # Errors
/// No values, fewer than 2 classes, or an entropy that is not in `[0, ln classes]`.
pub fn entropy_auc(entropy: &[f64], classes: usize) -> Result<f64> {
    if entropy.is_empty() || classes < 2 {
        return Err(Error::input(format!(
            "an entropy AUC needs at least 1 image and 2 classes, found {} and {classes}: give a data set that is not empty",
            entropy.len()
        )));
    }
    let largest = (classes as f64).ln();
    let width = largest / ENTROPY_BINS as f64;
    let mut counts = [0_usize; ENTROPY_BINS + 1];
    for (image, &value) in entropy.iter().enumerate() {
        if !(0.0..=largest).contains(&value) {
            return Err(Error::input(format!(
                "an entropy of {classes} classes lies in [0, {largest}] nats, found {value} for image {image}: pass entropies in nats and their number of classes"
            )));
        }
        let edge = (value / width).ceil() as usize;
        if let Some(count) = counts.get_mut(edge.min(ENTROPY_BINS)) {
            *count += 1;
        }
    }
    let mut below = 0;
    let cumulative = counts.map(|count| {
        below += count;
        below
    });
    let trapezoids: usize = cumulative.windows(2).map(|pair| pair.iter().sum::<usize>()).sum();
    Ok(0.5 * width * trapezoids as f64 / entropy.len() as f64)
}

/// Mean of a sequence that is known to be finite and not empty.
fn average(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    sum / count as f64
}

fn check_bins(bins: usize) -> Result<()> {
    if bins == 0 {
        return Err(Error::input("a calibration error needs at least 1 bin, found 0: ask for 15"));
    }
    Ok(())
}
