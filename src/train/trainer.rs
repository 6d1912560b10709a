//! A training run in memory: steps, epochs, predictions.

use super::checkpoint::{self, Content, Progress};
use super::init::initialise;
use super::planned::Planned;
use super::record::{EpochRecord, Sums};
use crate::backend::{Backend, Target};
use crate::call::{Dtype, metric, scalar};
use crate::data::ImageSet;
use crate::eval::{Classified, Predictive};
use crate::graph::Store;
use crate::plan::Plan;
use crate::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// Posterior samples of a validation pass.
const VALIDATION_SAMPLES: usize = 10;

/// Why a stretch of training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pause {
    /// The epoch is complete.
    EpochEnd,
    /// The caller asked to stop, between two steps.
    Interrupted,
    /// The sum of the losses is no longer a finite number.
    NotFinite(f64),
}

/// A run with its memory.
pub struct Trainer {
    pub planned: Planned,
    pub device: Box<dyn Backend>,
    pub progress: Progress,
}

impl Trainer {
    /// Takes the memory, uploads the sets and initialises the parameters.
    ///
    /// # Errors
    /// When the machine has not enough memory.
    pub fn new(mut planned: Planned, target: Target) -> Result<Self> {
        planned.check_memory(target)?;
        let mut device = target.open(&planned.store, &planned.plans())?;
        upload(&mut planned.store, device.as_mut(), "train", &planned.sets.train)?;
        upload(&mut planned.store, device.as_mut(), "test", &planned.sets.test)?;
        for (name, set) in [("ood", &planned.sets.ood), ("valid", &planned.sets.valid)] {
            if let Some(set) = set {
                upload(&mut planned.store, device.as_mut(), name, set)?;
            }
        }
        planned.sets.drop_images();
        initialise(&planned.store, device.as_mut(), planned.config.seed)?;
        Ok(Self { planned, device, progress: Progress::default() })
    }

    /// Steps of one epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.planned.steps_per_epoch
    }

    /// Trains to the end of the current epoch. The sums on the device are read when `interval` has passed since they were read
    /// last, and at the end of the epoch; between two reads a GPU runs step after step without the host. `observe` then hears
    /// (steps done in this epoch, sums so far, seconds of the epoch so far); it returns false to stop.
    ///
    /// # Errors
    /// When the device fails.
    pub fn train_epoch(
        &mut self,
        interval: Duration,
        observe: &mut dyn FnMut(usize, &Sums, f64) -> bool,
    ) -> Result<Pause> {
        let start = Instant::now();
        let before = self.progress.epoch_seconds;
        let mut read = start;
        loop {
            self.step()?;
            let done = (self.progress.step as usize - 1) % self.planned.steps_per_epoch + 1;
            let is_last = done == self.planned.steps_per_epoch;
            if !is_last && read.elapsed() < interval {
                continue;
            }
            let sums = self.sums()?;
            read = Instant::now();
            self.progress.epoch_seconds = before + start.elapsed().as_secs_f64();
            if !sums.loss.is_finite() {
                return Ok(Pause::NotFinite(sums.loss));
            }
            let goes_on = observe(done, &sums, self.progress.epoch_seconds);
            if is_last {
                self.progress.epoch += 1;
                return Ok(Pause::EpochEnd);
            }
            if !goes_on {
                return Ok(Pause::Interrupted);
            }
        }
    }

    /// One training step.
    fn step(&mut self) -> Result<()> {
        let plan = next_plan(&self.planned, self.progress.step);
        self.device.run(plan)?;
        self.progress.step += 1;
        Ok(())
    }

    /// Repeats the run from `progress` on until a call writes a number that is not finite.
    ///
    /// # Errors
    /// Always: the sentence names the call, or says that the number was not met again.
    pub fn find_not_finite(&mut self, last_step: u64) -> Error {
        while self.progress.step < last_step {
            let plan = next_plan(&self.planned, self.progress.step);
            if let Err(error) = self.device.run_checked(plan, &self.planned.store) {
                return Error::run(format!("step {}: {error}", self.progress.step + 1));
            }
            self.progress.step += 1;
        }
        Error::run("the number that is not finite was not met again")
    }

    /// Sums of the epoch so far.
    ///
    /// # Errors
    /// When the device fails.
    pub fn sums(&self) -> Result<Sums> {
        let m = self.device.persistent::<f64>(self.planned.store.metrics())?;
        let scalars = self.device.persistent::<f32>(self.planned.store.scalars())?;
        Ok(Sums {
            loss: m[metric::LOSS],
            cross_entropy: m[metric::CROSS_ENTROPY],
            kl: m[metric::KL],
            scaled_kl: m[metric::SCALED_KL],
            correct: m[metric::CORRECT],
            images: m[metric::IMAGES],
            steps: m[metric::STEPS],
            anneal: f64::from(scalars[scalar::ANNEAL]),
            learning_rate: f64::from(scalars[scalar::LEARNING_RATE]),
        })
    }

    /// Clears the sums after an epoch and returns its record.
    ///
    /// # Errors
    /// When `valid` does not belong to the validation set.
    pub fn close_epoch(&mut self, valid: Option<&Predictive>) -> Result<EpochRecord> {
        let sums = self.sums()?;
        let seconds = std::mem::take(&mut self.progress.epoch_seconds);
        self.progress.seconds += seconds;
        self.device.write(self.planned.store.metrics(), &[0f64; metric::COUNT])?;
        let mean = |sum: f64| sum / sums.steps;
        let (valid_accuracy, valid_nll) = match (valid, &self.planned.sets.valid) {
            (Some(predictive), Some(set)) => {
                let classified = Classified::new(predictive, &set.labels)?;
                (Some(classified.accuracy()), Some(classified.nll()))
            }
            _ => (None, None),
        };
        Ok(EpochRecord {
            epoch: self.progress.epoch,
            step: self.progress.step,
            loss: mean(sums.loss),
            cross_entropy: mean(sums.cross_entropy),
            kl: mean(sums.kl),
            scaled_kl: mean(sums.scaled_kl),
            anneal: sums.anneal,
            learning_rate: sums.learning_rate,
            accuracy: sums.correct / sums.images,
            valid_accuracy,
            valid_nll,
            images_per_second: sums.images / seconds,
            seconds,
        })
    }

    /// Predictions for the validation set, if there is one.
    ///
    /// # Errors
    /// When a probability is not finite.
    pub fn predict_valid(&mut self) -> Result<Option<Predictive>> {
        let Some(images) = self.planned.sets.valid.as_ref().map(ImageSet::len) else { return Ok(None) };
        let index = 1 + usize::from(self.planned.sets.ood.is_some());
        self.predict(index, images, VALIDATION_SAMPLES, &mut |_| Ok(())).map(Some)
    }

    /// Predictions for the test set, and for the out-of-distribution set if there is one.
    ///
    /// # Errors
    /// When a probability is not finite, or `report` returns an error.
    pub fn predict_test(
        &mut self,
        samples: usize,
        report: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<(Predictive, Option<Predictive>)> {
        let test = self.planned.sets.test.len();
        let ood = self.planned.sets.ood.as_ref().map_or(0, ImageSet::len);
        let share = test as f64 / (test + ood) as f64;
        let first = self.predict(0, test, samples, &mut |done| report(done * share))?;
        if ood == 0 {
            return Ok((first, None));
        }
        let second = self.predict(1, ood, samples, &mut |done| report(share + done * (1.0 - share)))?;
        Ok((first, Some(second)))
    }

    fn predict(
        &mut self,
        index: usize,
        images: usize,
        samples: usize,
        report: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<Predictive> {
        let device: &mut dyn Backend = self.device.as_mut();
        let device = (&self.planned.store, device);
        self.planned.posterior.predict(device, (index, images), samples, report)
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// When the disk is full or the folder cannot be written.
    pub fn save(&self, path: &Path, content: Content) -> Result<()> {
        let device = (&self.planned.store, self.device.as_ref());
        checkpoint::save(path, device, self.planned.config.optimizer(), &self.progress, content)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When it is missing, malformed or of another configuration.
    pub fn load(&mut self, path: &Path, content: Content) -> Result<()> {
        let device: &mut dyn Backend = self.device.as_mut();
        let device = (&self.planned.store, device);
        self.progress = checkpoint::load(path, device, self.planned.config.optimizer(), content)?;
        Ok(())
    }

    /// Sets everything back to the start of the run.
    ///
    /// # Errors
    /// When the device fails.
    pub fn restart(&mut self) -> Result<()> {
        let zeroed: Vec<_> = self.planned.store.saved_buffers();
        for region in zeroed {
            if self.planned.store.dtype(region.buffer) == Dtype::Real {
                self.device.write(region, &vec![0f32; region.len])?;
            }
        }
        initialise(&self.planned.store, self.device.as_mut(), self.planned.config.seed)?;
        self.progress = Progress::default();
        Ok(())
    }
}

/// The plan of the step after `step` steps: with one sample and no KL term as long as the KL's factor is 0.
fn next_plan(planned: &Planned, step: u64) -> &Plan {
    let anneal_start = planned.config.schedule(planned.steps_per_epoch).anneal_start_step;
    match &planned.early {
        Some(early) if step < u64::from(anneal_start) => early,
        _ => &planned.train,
    }
}

fn upload(store: &mut Store, device: &mut dyn Backend, name: &str, set: &ImageSet) -> Result<()> {
    let images = store.buffer(&format!("{name}.images"), Dtype::U8, set.images.len())?;
    let labels = store.buffer(&format!("{name}.labels"), Dtype::U8, set.labels.len())?;
    device.write(images, &set.images)?;
    device.write(labels, &set.labels)
}
