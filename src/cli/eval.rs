//! `bbh eval`.

use super::progress::Display;
use super::train::load_sets;
use super::{Machine, json, print};
use crate::backend::Target;
use crate::eval::{OodReport, TestReport, table};
use crate::train::checkpoint::Content;
use crate::train::session::Event;
use crate::train::{Planned, RunFolder, Trainer};
use crate::{Error, Result};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `bbh eval`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run.
    run: PathBuf,
    /// Posterior samples. Default: the run's eval-samples.
    #[arg(long, value_name = "T")]
    samples: Option<usize>,
    /// Out-of-distribution set, or none. Default: the run's.
    #[arg(long, value_name = "SET")]
    ood: Option<String>,
    /// Use the weights of the best validation epoch.
    #[arg(long)]
    best: bool,
    /// Folder that holds mnist/, fashion-mnist/, notmnist/, cifar-10-batches-bin/. Default: $BBH_DATA, else the cache folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
    /// Print nothing but errors and the table.
    #[arg(long)]
    quiet: bool,
    /// Print {"test", "ood"} as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    test: TestReport,
    ood: Option<OodReport>,
}

/// Evaluates a run.
///
/// # Errors
/// When the run or its data cannot be read.
pub fn run(args: Args) -> Result<()> {
    args.machine.clone().install(move || evaluate(&args))
}

fn evaluate(args: &Args) -> Result<()> {
    let (mut trainer, _) = open(
        &args.run,
        args.best,
        |config| {
            if let Some(ood) = &args.ood {
                config.ood.clone_from(ood);
            }
            if let Some(samples) = args.samples {
                config.eval_samples = samples;
            }
        },
        args.data_dir.as_deref(),
        args.machine.target()?,
    )?;
    let display = Display::new(args.quiet, args.json);
    let samples = trainer.planned.config.eval_samples;
    let predictions = trainer.predict_test(samples, &mut |share| {
        display.show(&Event::Evaluation(share));
        Ok(())
    });
    display.finish();
    let (test, ood) = predictions?;
    let sets = &trainer.planned.sets;
    let ood = match (&ood, &sets.ood) {
        (Some(predictive), Some(set)) => Some(OodReport::new(&set.name, predictive, &test)?),
        _ => None,
    };
    let report = Report { test: TestReport::new(&test, &sets.test.labels)?, ood };
    print(&if args.json { json(&report)? } else { table(&report.test, report.ood.as_ref()) });
    Ok(())
}

/// A run in memory with its last (or best) weights; `change` may adjust what does not touch them.
///
/// # Errors
/// When the run or its data cannot be read, or no checkpoint was written yet.
pub fn open(
    run: &std::path::Path,
    best: bool,
    change: impl FnOnce(&mut crate::train::config::Config),
    data_dir: Option<&std::path::Path>,
    target: Target,
) -> Result<(Trainer, RunFolder)> {
    let (folder, mut config) = RunFolder::open(run)?;
    change(&mut config);
    config.check()?;
    let checkpoint = if best { folder.best() } else { folder.checkpoint() };
    if !checkpoint.exists() {
        let why =
            if best { "train with --valid-fraction 0.1 to keep the best weights" } else { "no epoch is complete yet" };
        return Err(Error::input(format!("{}: no such checkpoint; {why}", checkpoint.display())));
    }
    let sets = load_sets(&config, data_dir)?;
    let mut trainer = Trainer::new(Planned::new(config, sets)?, target)?;
    trainer.load(&checkpoint, Content::Weights)?;
    Ok((trainer, folder))
}
