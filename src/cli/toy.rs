//! `bbh toy`.

use super::{DeviceKind, Machine, json, npy, print};
use crate::hmc::Settings as Hmc;
use crate::toy::{self, Arithmetic, Changes, Kind, Row, Settings, Task, svg, table};
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `bbh toy`.
#[derive(clap::Args)]
pub struct Args {
    /// Methods to run, the reference (hmc) among them. Default: all.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,...")]
    methods: Option<Vec<Kind>>,
    /// Seed of data, starts and noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Training points.
    #[arg(long, default_value_t = 20)]
    points: usize,
    /// Hidden units of the network.
    #[arg(long, default_value_t = 100)]
    units: usize,
    /// Networks or dropout masks to predict with.
    #[arg(long, default_value_t = 1000)]
    draws: usize,
    /// Training steps, each on all points. Default: by method.
    #[arg(long)]
    steps: Option<usize>,
    /// Learning rate of Adam at its highest. Default: by method.
    #[arg(long, value_name = "RATE")]
    lr: Option<f32>,
    /// Weight samples of a training step, where a method draws them.
    #[arg(long)]
    samples: Option<usize>,
    /// Chains of the reference.
    #[arg(long, default_value_t = 4)]
    hmc_chains: usize,
    /// Trajectories of each chain before the first that is kept.
    #[arg(long, default_value_t = 1000)]
    hmc_burn_in: usize,
    /// Networks kept of each chain.
    #[arg(long, default_value_t = 500)]
    hmc_draws: usize,
    /// Trajectories from one kept network to the next.
    #[arg(long, default_value_t = 4)]
    hmc_thin: usize,
    /// Leapfrog steps of a trajectory.
    #[arg(long, default_value_t = 50)]
    hmc_leapfrog: usize,
    /// Train in f64, on the CPU.
    #[arg(long)]
    f64: bool,
    #[command(flatten)]
    machine: Machine,
    /// New folder for bands.svg, report.json, and the weights of each method as METHOD.npy, a matrix [networks, weights].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print a list of one JSON object for each method.
    #[arg(long)]
    json: bool,
}

/// Runs the comparison.
///
/// # Errors
/// When settings are out of range or a training diverges.
pub fn run(args: Args) -> Result<()> {
    let settings = args.settings()?;
    if let Some(folder) = &args.out {
        fs::create_dir(folder).map_err(|error| {
            Error::input(format!("{}: expected a folder that can be made anew: {error}", folder.display()))
        })?;
    }
    args.machine.clone().install(move || {
        let (task, rows) = toy::run(&settings)?;
        let reports: Vec<_> = rows.iter().map(|row| &row.report).collect();
        print(&if args.json { json(&reports)? } else { table(&reports) });
        args.out.as_deref().map_or(Ok(()), |folder| write(folder, &task, &rows))
    })
}

/// Fills the folder of a comparison.
fn write(folder: &Path, task: &Task, rows: &[Row]) -> Result<()> {
    let failed =
        |path: &Path, error: std::io::Error| Error::run(format!("{}: cannot be written: {error}", path.display()));
    let reports: Vec<_> = rows.iter().map(|row| &row.report).collect();
    for (name, text) in [("bands.svg", svg(task, &reports)), ("report.json", json(&reports)?)] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    for row in rows {
        let path = folder.join(format!("{}.npy", row.kind.name()));
        let weights: Vec<f32> = row.networked.weights.iter().map(|&value| value as f32).collect();
        npy::write(&path, weights.len() / task.weights(), &[weights]).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

impl Args {
    fn settings(&self) -> Result<Settings> {
        let counts = [("draws", Some(self.draws)), ("steps", self.steps), ("samples", self.samples)];
        for (name, count) in counts {
            if count == Some(0) {
                return Err(Error::input(format!("{name}: expected at least 1, found 0")));
            }
        }
        if let Some(rate) = self.lr.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return Err(Error::input(format!("lr: expected a positive number, found {rate}")));
        }
        Ok(Settings {
            methods: self.methods.clone().unwrap_or_else(|| Kind::ALL.to_vec()),
            seed: self.seed,
            points: self.points,
            units: self.units,
            draws: self.draws,
            changes: Changes { steps: self.steps, rate: self.lr, samples: self.samples },
            hmc: Hmc {
                chains: self.hmc_chains,
                burn_in: self.hmc_burn_in,
                draws: self.hmc_draws,
                thin: self.hmc_thin,
                leapfrog: self.hmc_leapfrog,
                acceptance: 0.8,
                seed: self.seed,
            },
            arithmetic: self.arithmetic()?,
        })
    }

    fn arithmetic(&self) -> Result<Arithmetic> {
        if !self.f64 {
            return self.machine.target().map(Arithmetic::F32);
        }
        match (self.machine.device, self.machine.math) {
            (DeviceKind::Auto | DeviceKind::Cpu, None) => Ok(Arithmetic::F64),
            _ => Err(Error::input("f64: only the CPU computes in f64; leave --f64 out, or --device and --math")),
        }
    }
}
