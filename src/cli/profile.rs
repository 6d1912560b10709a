//! `bbh profile`.

use super::{Machine, json, print};
use crate::profile::kernels::{self, Shape};
use crate::profile::{self, Profile, csv, named, roofline, table};
use crate::train::options::Options;
use crate::{Error, Result};
use std::path::PathBuf;

/// Arguments of `bbh profile`.
#[derive(clap::Args)]
pub struct Args {
    /// Training step: lenet-full, lenet-sliced, lenet-shared, lenet-bbb, lenet-dropout, lenet-ensemble, lenet-mnf or lenet-map (map
    /// for short), or the same with mlp or resnet.
    #[arg(long, default_value = "lenet-shared", value_name = "NAME")]
    config: String,
    /// Images of a step. Default: 100.
    #[arg(long, value_name = "N", conflicts_with = "kernel")]
    batch: Option<usize>,
    /// Weight samples of a step. Default: 5.
    #[arg(long, value_name = "S", conflicts_with = "kernel")]
    samples: Option<usize>,
    /// All samples in the likelihood.
    #[arg(long, conflicts_with = "kernel")]
    mc: bool,
    /// One kernel alone instead of a step; `list` shows the names and their letters.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    kernel: Option<String>,
    /// Sizes of the kernel's letters, as in S=5,N=100. Default: LeNet's.
    #[arg(long, value_name = "LETTER=SIZE,...", requires = "kernel")]
    shape: Option<String>,
    /// Executions to time.
    #[arg(long, default_value_t = 21, value_name = "COUNT")]
    repeats: usize,
    #[command(flatten)]
    machine: Machine,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Draw a roofline: calls as dots below the device's ceilings.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Profiles a training step or a kernel.
///
/// # Errors
/// When the configuration, kernel or shape is unknown, the memory is missing, the device fails or the picture cannot be
/// written.
pub fn run(args: Args) -> Result<()> {
    if args.kernel.as_deref() == Some("list") {
        print(&kernels::list());
        return Ok(());
    }
    if args.repeats == 0 {
        return Err(Error::input("repeats: expected at least 1, found 0"));
    }
    let profile = args.machine.install(|| measured(&args))?;
    if let Some(path) = &args.svg {
        std::fs::write(path, roofline::svg(&profile)?)
            .map_err(|error| Error::run(format!("{}: cannot be written: {error}", path.display())))?;
    }
    print(&match (args.json, args.csv) {
        (true, _) => json(&profile)?,
        (_, true) => csv::csv(&profile),
        _ => table::table(&profile),
    });
    Ok(())
}

fn measured(args: &Args) -> Result<Profile> {
    let target = args.machine.target()?;
    if let Some(name) = &args.kernel {
        return profile::kernel(&Shape::new(name, args.shape.as_deref())?, target, args.repeats);
    }
    let mc = args.mc.then_some(true);
    let options = Options { batch: args.batch, samples: args.samples, mc, ..Options::default() };
    profile::step(&args.config, named(&args.config, options)?, target, args.repeats)
}
