//! `bbh train`.

use super::progress::Display;
use super::{Machine, json, print};
use crate::backend::Target;
use crate::data::{self, SyntheticConfig};
use crate::eval::table;
use crate::plan::bytes;
use crate::train::config::Config;
use crate::train::options::Options;
use crate::train::session::{self, Event, Outcome, Summary};
use crate::train::{Planned, RunFolder, Sets, Trainer};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `bbh train`. A flag given twice counts as given last, so that scripts can be overridden.
#[derive(clap::Args)]
#[command(args_override_self = true)]
pub struct Args {
    #[command(flatten)]
    options: Options,
    /// TOML file with the same names as these flags; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// New folder for the run. Default: the next free runs/NNN-...
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, with its own configuration.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "config"])]
    resume: Option<PathBuf>,
    /// Folder that holds mnist/, fashion-mnist/, notmnist/, cifar-10-batches-bin/. Default: $BBH_DATA, else the cache folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
    /// Print the memory that the run needs, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Print every call of the training step with shapes, bytes and fusions, and stop.
    #[arg(long)]
    explain_plan: bool,
    /// Print nothing but errors and the path of the run.
    #[arg(long)]
    quiet: bool,
    /// Print one JSON object per epoch and a summary.
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

/// Trains, evaluates, reports.
///
/// # Errors
/// As the exit codes say: 2 for wrong use or bad input, 3 for a run that failed.
pub fn run(args: Args) -> Result<()> {
    let resumed = args.resume.as_deref().map(RunFolder::open).transpose()?;
    if resumed.is_some() && args.options != Options::default() {
        return Err(Error::input(
            "--resume goes on with the run's own configuration; leave the data set and the other settings out",
        ));
    }
    let config = match &resumed {
        Some((_, config)) => config.clone(),
        None => {
            let file = args.config.as_deref().map(Options::read).transpose()?.unwrap_or_default();
            Config::resolve(args.options.clone().or(file))?
        }
    };
    args.machine.clone().install(move || run_configured(&args, resumed.map(|(folder, _)| folder), config))
}

fn run_configured(args: &Args, resumed: Option<RunFolder>, config: Config) -> Result<()> {
    let sets = load_sets(&config, args.data_dir.as_deref())?;
    let target = args.machine.target()?;
    let planned = Planned::new(config, sets)?;
    if args.explain_plan {
        print(&planned.plans().iter().map(|plan| plan.explain(&planned.store)).collect::<Vec<_>>().join("\n"));
        return Ok(());
    }
    if args.dry_run {
        print(&memory(&planned));
        return planned.check_memory(target);
    }
    planned.check_memory(target)?;
    let folder = match &resumed {
        Some(folder) => folder.clone(),
        None => RunFolder::create(args.out.as_deref(), &planned.config)?,
    };
    let display = Display::new(args.quiet, args.json);
    display.heading(&heading(&planned, &folder, target));
    let interrupt = interrupt_flag()?;
    let mut trainer = match Trainer::new(planned, target) {
        Ok(trainer) => trainer,
        Err(error) => {
            if resumed.is_none() {
                folder.discard();
            }
            return Err(error);
        }
    };
    if resumed.is_some() {
        session::resume(&mut trainer, &folder)?;
    }
    let outcome = session::run(&mut trainer, &folder, &interrupt, &mut |event: Event| display.show(&event));
    display.finish();
    match outcome? {
        Outcome::Finished(summary) => report(args, &folder, &summary),
        Outcome::Interrupted => {
            let path = folder.path().display();
            Err(Error::run(format!("interrupted; the checkpoint is written: go on with bbh train --resume {path}")))
        }
    }
}

/// Training, validation, test and out-of-distribution sets of a configuration.
///
/// # Errors
/// When a file is missing or malformed.
pub fn load_sets(config: &Config, data_dir: Option<&Path>) -> Result<Sets> {
    let synthetic = SyntheticConfig::default();
    let limit = config.train_limit.unwrap_or(usize::MAX);
    let set = data::load_first(&config.data, data_dir, synthetic, limit)?;
    let ood = match config.ood.as_str() {
        "none" => None,
        name => Some(data::load_ood(name, data_dir, &set.test, synthetic)?),
    };
    let (train, valid) = match config.valid_fraction {
        0.0 => (set.train, None),
        share => set.train.split_validation(share).map(|(train, valid)| (train, Some(valid)))?,
    };
    if train.is_empty() {
        return Err(Error::input("train-limit: expected at least 1 training image, found 0"));
    }
    Ok(Sets { train, valid: valid.filter(|set| !set.is_empty()), test: set.test, ood })
}

fn memory(planned: &Planned) -> String {
    let layout = planned.store.layout(size_of::<f32>());
    let workspace = planned.plans().iter().map(|plan| plan.workspace.bytes).max().unwrap_or(0);
    format!(
        "parameters {}, persistent memory {}, workspace {}, peak with everything {}\n",
        planned.store.parameter_elements(),
        bytes(layout.bytes),
        bytes(workspace),
        bytes(planned.peak_bytes())
    )
}

fn heading(planned: &Planned, folder: &RunFolder, target: Target) -> String {
    let config = &planned.config;
    let weights: usize = planned.specs.iter().map(crate::model::WeightSpec::elements).sum();
    format!(
        "{}: {} weights, {} trained parameters, {} training images, {} epochs, device {}, about {} of memory\n-> {}",
        config.label(&config.data),
        weights,
        planned.store.parameter_elements(),
        planned.sets.train.len(),
        config.epochs,
        target.describe(),
        bytes(planned.peak_bytes()),
        folder.path().display()
    )
}

/// Set by Ctrl-C and by a request to terminate.
fn interrupt_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&flag);
    ctrlc::set_handler(move || handler.store(true, Ordering::Relaxed))
        .map_err(|error| Error::run(format!("Ctrl-C cannot be handled: {error}")))?;
    Ok(flag)
}

fn report(args: &Args, folder: &RunFolder, summary: &Summary) -> Result<()> {
    let path = folder.path().display();
    if args.json {
        print(&json(summary)?);
    } else if args.quiet {
        print(&format!("{path}\n"));
    } else {
        let next = match summary.config.data.as_str() {
            "synthetic" => "real digits: bbh data fetch mnist && bbh data fetch notmnist && bbh train mnist".into(),
            _ => format!("the weights behind the uncertainty: bbh sample {path} --count 100 --out w.safetensors"),
        };
        print(&table(&summary.test, summary.ood.as_ref()));
        print(&format!("\n{:.0} s, run folder {path}. Next: {next}\n", summary.seconds));
    }
    Ok(())
}
