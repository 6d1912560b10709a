//! The course of a run: epochs, checkpoints, validation, early stopping, final evaluation, all written to its folder.

use super::checkpoint::Content;
use super::config::Config;
use super::folder::RunFolder;
use super::record::{EpochRecord, Sums};
use super::trainer::{Pause, Trainer};
use crate::eval::{OodReport, TestReport};
use crate::{Error, Result, machine};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time between two looks at the loss, and most time from a request to stop to the stop.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// What a caller hears while a run goes on.
pub enum Event<'a> {
    /// Steps are done: the epoch (from 1), steps done and in all of it, sums so far.
    Step { epoch: usize, done: usize, steps: usize, sums: &'a Sums, seconds: f64 },
    /// An epoch is done, checkpointed and written to the metrics.
    Epoch(&'a EpochRecord),
    /// The final evaluation is this far, 0 to 1.
    Evaluation(f64),
}

/// summary.json of a complete run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub version: String,
    pub test: TestReport,
    pub ood: Option<OodReport>,
    pub epochs: usize,
    pub steps: u64,
    /// Seconds of training, without the evaluation.
    pub train_seconds: f64,
    /// Seconds of training and evaluation.
    pub seconds: f64,
    pub peak_rss_bytes: Option<usize>,
    /// Trained parameters.
    pub parameters: usize,
    /// Weights of the main network.
    pub weights: usize,
    pub config: Config,
}

/// How a run ended.
pub enum Outcome {
    Finished(Box<Summary>),
    /// Stopped between two steps; the checkpoint is written.
    Interrupted,
}

/// Trains to the end and evaluates. Stops after a step when `interrupt` becomes true.
///
/// # Errors
/// When the loss stops being finite (naming the first call that wrote such a number), the disk is full, or an evaluation fails.
pub fn run(
    trainer: &mut Trainer,
    folder: &RunFolder,
    interrupt: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    while !is_over(trainer) {
        match epoch(trainer, interrupt, observe)? {
            Pause::EpochEnd => close_epoch(trainer, folder, observe)?,
            Pause::Interrupted => {
                trainer.save(&folder.checkpoint(), Content::All)?;
                folder.log(&format!("interrupted after step {}", trainer.progress.step))?;
                return Ok(Outcome::Interrupted);
            }
            Pause::NotFinite(loss) => return Err(diagnose(trainer, folder, loss)),
        }
    }
    let summary = finish(trainer, folder, interrupt, observe)?;
    Ok(summary.map_or(Outcome::Interrupted, |summary| Outcome::Finished(Box::new(summary))))
}

/// Goes on where the folder's checkpoint stands, or at the start when none was written yet.
///
/// # Errors
/// When the checkpoint is malformed or of another configuration.
pub fn resume(trainer: &mut Trainer, folder: &RunFolder) -> Result<()> {
    if folder.checkpoint().exists() {
        trainer.load(&folder.checkpoint(), Content::All)?;
    }
    folder.keep_metrics(trainer.progress.epoch)?;
    folder.log(&format!("resumed after step {}", trainer.progress.step))
}

fn epoch(trainer: &mut Trainer, interrupt: &AtomicBool, observe: &mut dyn FnMut(Event)) -> Result<Pause> {
    let (epoch, steps) = (trainer.progress.epoch + 1, trainer.steps_per_epoch());
    trainer.train_epoch(REPORT_INTERVAL, &mut |done, sums, seconds| {
        observe(Event::Step { epoch, done, steps, sums, seconds });
        !interrupt.load(Ordering::Relaxed)
    })
}

fn close_epoch(trainer: &mut Trainer, folder: &RunFolder, observe: &mut dyn FnMut(Event)) -> Result<()> {
    let valid = trainer.predict_valid()?;
    let record = trainer.close_epoch(valid.as_ref())?;
    if let Some(nll) = record.valid_nll
        && trainer.progress.best.is_none_or(|(_, best)| nll < best)
    {
        trainer.progress.best = Some((record.epoch, nll));
        trainer.save(&folder.best(), Content::Weights)?;
    }
    // Before the checkpoint: a run that ends between the two repeats the epoch, and its line with it (`resume`).
    folder.append_metrics(&record)?;
    trainer.save(&folder.checkpoint(), Content::All)?;
    folder.log(&format!("epoch {} done, loss {:.4}, checkpoint written", record.epoch, record.loss))?;
    observe(Event::Epoch(&record));
    Ok(())
}

/// True after the last epoch, or when the validation loss has not improved for as long as early stopping allows.
fn is_over(trainer: &Trainer) -> bool {
    let (config, progress) = (&trainer.planned.config, &trainer.progress);
    let stale = progress.best.map_or(0, |(epoch, _)| progress.epoch - epoch);
    progress.epoch >= config.epochs || config.early_stop.is_some_and(|patience| stale >= patience)
}

/// Evaluates the last weights, or the best ones when early stopping chose them; `None` when interrupted.
fn finish(
    trainer: &mut Trainer,
    folder: &RunFolder,
    interrupt: &AtomicBool,
    observe: &mut dyn FnMut(Event),
) -> Result<Option<Summary>> {
    let start = std::time::Instant::now();
    let progress = trainer.progress.clone();
    if trainer.planned.config.early_stop.is_some() && folder.best().exists() {
        trainer.load(&folder.best(), Content::Weights)?;
    }
    let samples = trainer.planned.config.eval_samples;
    let predictions = trainer.predict_test(samples, &mut |share| {
        observe(Event::Evaluation(share));
        if interrupt.load(Ordering::Relaxed) { Err(Error::run("interrupted")) } else { Ok(()) }
    });
    if interrupt.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let (test, ood) = predictions?;
    let planned = &trainer.planned;
    let ood = match (&ood, &planned.sets.ood) {
        (Some(predictive), Some(set)) => Some(OodReport::new(&set.name, predictive, &test)?),
        _ => None,
    };
    let summary = Summary {
        version: env!("CARGO_PKG_VERSION").into(),
        test: TestReport::new(&test, &planned.sets.test.labels)?,
        ood,
        epochs: progress.epoch,
        steps: progress.step,
        train_seconds: progress.seconds,
        seconds: progress.seconds + start.elapsed().as_secs_f64(),
        peak_rss_bytes: machine::peak_resident(),
        parameters: planned.store.parameter_elements(),
        weights: planned.specs.iter().map(crate::model::WeightSpec::elements).sum(),
        config: planned.config.clone(),
    };
    folder.write_json("summary.json", &summary)?;
    folder.log(&format!("finished, test accuracy {:.4}", summary.test.accuracy))?;
    Ok(Some(summary))
}

/// Repeats the steps since the last checkpoint to find the call that first wrote a number that is not finite.
fn diagnose(trainer: &mut Trainer, folder: &RunFolder, loss: f64) -> Error {
    let (failed_step, epoch) = (trainer.progress.step, trainer.progress.epoch + 1);
    let reloaded = folder.checkpoint().exists() && trainer.load(&folder.checkpoint(), Content::All).is_ok();
    if !reloaded && let Err(error) = trainer.restart() {
        return error;
    }
    let first = trainer.find_not_finite(failed_step);
    let kept = if reloaded { "; the checkpoint of the last complete epoch is kept" } else { "" };
    let message = format!(
        "training stopped because the loss is {loss} by step {failed_step}, epoch {epoch}; first seen in {first}; lower --lr or add --clip 1{kept}"
    );
    // The log is a courtesy here: the error itself is returned whether or not it can be written.
    let _ = folder.log(&message);
    Error::run(message)
}
