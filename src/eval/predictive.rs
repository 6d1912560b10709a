//! The posterior predictive distribution, accumulated one posterior sample at a time.

use crate::{Error, Result};

/// Largest distance from 1 of the sum of one row of class probabilities that is still taken as rounding.
const SUM_TOLERANCE: f64 = 1e-3;

/// Sums over posterior samples, so that `[samples, images, classes]` is never stored: memory is `images * (classes + 2)` numbers of 8 bytes.
#[derive(Debug, Clone)]
pub struct PredictiveAccumulator {
    images: usize,
    classes: usize,
    /// `[images, classes]`, the sum over samples of the class probabilities.
    probabilities: Vec<f64>,
    /// `[images]`, the sum over samples of the entropy of one sample's prediction, in nats.
    entropies: Vec<f64>,
    /// `[images]`, how many posterior samples have been added.
    samples: Vec<usize>,
}

impl PredictiveAccumulator {
    /// An empty accumulator for `images` images and `classes` classes.
    ///
    /// # Errors
    /// No images, fewer than 2 classes, or more numbers than can be addressed.
    pub fn new(images: usize, classes: usize) -> Result<Self> {
        if images == 0 {
            return Err(Error::input(
                "an evaluation needs at least 1 image, found 0: give a data set that is not empty",
            ));
        }
        if classes < 2 {
            return Err(Error::input(format!(
                "an evaluation needs at least 2 classes, found {classes}: give a data set with several classes"
            )));
        }
        let length = images.checked_mul(classes).ok_or_else(|| {
            Error::input(format!(
                "{images} images of {classes} classes are more than memory can address: evaluate fewer images at once"
            ))
        })?;
        Ok(Self {
            images,
            classes,
            probabilities: vec![0.0; length],
            entropies: vec![0.0; images],
            samples: vec![0; images],
        })
    }

    /// Adds one posterior sample's class probabilities `[rows, classes]` of the images `first_image..first_image + rows`.
    ///
    /// Each row is divided by its sum first, so that f32 rounding cannot make the mutual information negative.
    /// The order of the calls for one image is the order of summation.
    ///
    /// # Errors
    /// A block that is empty, no multiple of `classes` long or beyond the last image (wrong use); a probability that is negative
    /// or not finite, or a row that does not sum to 1 (a failed run). After an error nothing has been added.
    pub fn add(&mut self, first_image: usize, probabilities: &[f32]) -> Result<()> {
        let rows = probabilities.len() / self.classes;
        if rows == 0 || !probabilities.len().is_multiple_of(self.classes) {
            return Err(Error::input(format!(
                "a block of probabilities must hold whole rows of {} classes, found {} numbers: pass [rows, classes]",
                self.classes,
                probabilities.len()
            )));
        }
        let end = first_image.checked_add(rows).filter(|&end| end <= self.images).ok_or_else(|| {
            Error::input(format!(
                "a block of {rows} rows from image {first_image} ends beyond the {} images of the accumulator: pass the index of the block's first image",
                self.images
            ))
        })?;
        for (row, image) in probabilities.chunks_exact(self.classes).zip(first_image..) {
            row_sum(row, image)?;
        }
        let sums = self.probabilities[first_image * self.classes..end * self.classes].chunks_exact_mut(self.classes);
        let entropies = &mut self.entropies[first_image..end];
        let samples = &mut self.samples[first_image..end];
        for ((((row, sums), entropy), samples), image) in
            probabilities.chunks_exact(self.classes).zip(sums).zip(entropies).zip(samples).zip(first_image..)
        {
            let total = row_sum(row, image)?;
            for (sum, &probability) in sums.iter_mut().zip(row) {
                let probability = f64::from(probability) / total;
                *sum += probability;
                *entropy += surprise(probability);
            }
            *samples += 1;
        }
        Ok(())
    }

    /// The posterior predictive: the mean over the samples, and what follows from it.
    ///
    /// # Errors
    /// No sample was added, or the images got different numbers of samples.
    pub fn finish(self) -> Result<Predictive> {
        let samples = self.samples.first().copied().unwrap_or(0);
        if let Some((image, found)) = self.samples.iter().copied().enumerate().find(|&(_, count)| count != samples) {
            return Err(Error::input(format!(
                "every image needs the same number of posterior samples, found {samples} for image 0 and {found} for image {image}: add each sample for all images"
            )));
        }
        if samples == 0 {
            return Err(Error::input(
                "an evaluation needs at least 1 posterior sample, found 0: add probabilities before finishing",
            ));
        }
        let count = samples as f64;
        let largest = (self.classes as f64).ln();
        let probabilities: Vec<f64> = self.probabilities.iter().map(|sum| sum / count).collect();
        let rows = || probabilities.chunks_exact(self.classes);
        let entropy: Vec<f64> = rows()
            .map(|row| row.iter().fold(0.0, |sum, &probability| sum + surprise(probability)).clamp(0.0, largest))
            .collect();
        let mutual_information =
            entropy.iter().zip(&self.entropies).map(|(total, sum)| (total - sum / count).max(0.0)).collect();
        let (prediction, max_probability) = rows().map(largest_of).unzip();
        Ok(Predictive {
            classes: self.classes,
            samples,
            probabilities,
            entropy,
            mutual_information,
            prediction,
            max_probability,
        })
    }
}

/// The posterior predictive distribution of a set of images; made by [`PredictiveAccumulator::finish`], so that its figures agree.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictive {
    classes: usize,
    samples: usize,
    probabilities: Vec<f64>,
    entropy: Vec<f64>,
    mutual_information: Vec<f64>,
    prediction: Vec<usize>,
    max_probability: Vec<f64>,
}

impl Predictive {
    /// Number of images, at least 1.
    pub fn images(&self) -> usize {
        self.entropy.len()
    }

    /// Number of classes, at least 2.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of posterior samples, at least 1.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// `[images, classes]`, the mean over the samples of the class probabilities; each row sums to 1.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// `[images]`, the entropy of the mean probabilities in nats, in `[0, ln classes]`: total uncertainty.
    pub fn entropy(&self) -> &[f64] {
        &self.entropy
    }

    /// `[images]`, entropy of the mean minus mean of the samples' entropies, in nats, at least 0: the epistemic part
    /// (Houlsby et al. 2011, arXiv 1112.5745, equation 2); 0 with one sample.
    pub fn mutual_information(&self) -> &[f64] {
        &self.mutual_information
    }

    /// `[images]`, the class of the largest mean probability, the lowest one among equals.
    pub fn prediction(&self) -> &[usize] {
        &self.prediction
    }

    /// `[images]`, the largest mean probability (the confidence), in `[1 / classes, 1]`.
    pub fn max_probability(&self) -> &[f64] {
        &self.max_probability
    }
}

/// `-p ln p` in nats, with its limit 0 at `p = 0`.
fn surprise(probability: f64) -> f64 {
    if probability > 0.0 { -probability * probability.ln() } else { 0.0 }
}

/// Index and value of the largest number of a row, the first among equals.
fn largest_of(row: &[f64]) -> (usize, f64) {
    row.iter().copied().enumerate().fold((0, f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best })
}

/// The sum of one row of probabilities, if the row is a distribution.
fn row_sum(row: &[f32], image: usize) -> Result<f64> {
    if let Some(found) = row.iter().find(|probability| !(probability.is_finite() && **probability >= 0.0)) {
        return Err(Error::run(format!(
            "a class probability must be finite and not negative, found {found} for image {image}: the network has diverged, train it with a smaller rate"
        )));
    }
    let sum = row.iter().fold(0.0, |sum, &probability| sum + f64::from(probability));
    let normalised = (sum - 1.0).abs() <= SUM_TOLERANCE;
    if !normalised {
        return Err(Error::run(format!(
            "the class probabilities of an image must sum to 1, found {sum} for image {image}: pass softmax outputs, not logits"
        )));
    }
    Ok(sum)
}
