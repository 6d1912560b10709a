//! The command line: one file per subcommand.

mod data;
mod eval;
mod gradcheck;
mod info;
mod profile;
mod progress;
mod sample;
mod train;

use crate::backend::Target;
use crate::backend::cuda::Math;
use crate::{Error, Result};
use clap::{Parser, Subcommand, ValueEnum};
use std::io::Write;
use std::process::ExitCode;

/// Bayes by Hypernet: train networks whose weights are generated, per posterior sample, by other networks.
///
/// A first run, without any download: bbh train
#[derive(Parser)]
#[command(name = "bbh", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a network, evaluate it, leave a run folder.
    Train(Box<train::Args>),
    /// Evaluate a run: accuracy, calibration, uncertainty in and out of distribution.
    Eval(eval::Args),
    /// Draw posterior weight samples of a run into a file.
    Sample(sample::Args),
    /// Time each call of a training step beside the machine's ceilings.
    Profile(profile::Args),
    /// Compare every gradient with finite differences.
    Gradcheck(gradcheck::Args),
    /// Data sets: download, list.
    Data(data::Args),
    /// This program and this machine.
    Info(info::Args),
}

/// Where plans run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceKind {
    /// The best that is there.
    Auto,
    /// Native Rust.
    Cpu,
    /// The CUDA kernels, run by the host: slow, for checking them (programs built with --features sim).
    Sim,
}

/// Arithmetic of the CUDA kernels' matrix products and convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MathKind {
    Fp32,
    Tf32,
    Bf16,
}

/// Flags that every subcommand that computes has.
#[derive(clap::Args, Clone, Debug)]
pub struct Machine {
    /// Where to compute.
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceKind,
    /// Arithmetic of the CUDA kernels' matrix products; sums are fp32 always. Default: tf32.
    #[arg(long, value_enum)]
    pub math: Option<MathKind>,
    /// Threads of the CPU; the result does not depend on it. Default: all cores.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

impl Machine {
    /// The device that the flags name.
    ///
    /// # Errors
    /// When --math is given for a device that has no choice, or the device is not in this program.
    pub fn target(&self) -> Result<Target> {
        match (self.device, self.math) {
            (DeviceKind::Sim, math) => Target::Sim(match math {
                Some(MathKind::Fp32) => Math::Fp32,
                Some(MathKind::Bf16) => Math::Bf16,
                Some(MathKind::Tf32) | None => Math::Tf32,
            })
            .checked(),
            (DeviceKind::Auto | DeviceKind::Cpu, None | Some(MathKind::Fp32)) => Ok(Target::Cpu),
            (DeviceKind::Auto | DeviceKind::Cpu, Some(_)) => {
                Err(Error::input("math: the CPU computes in fp32; leave --math out, or name --device sim"))
            }
        }
    }

    /// Runs `work` in a pool of the asked-for threads: started from within, a step allocates nothing.
    ///
    /// # Errors
    /// When the pool cannot be started, or what `work` returns.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        if self.threads == Some(0) {
            return Err(Error::input("threads: expected at least 1, found 0"));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads.unwrap_or(0)).build();
        let pool = pool.map_err(|error| Error::run(format!("the threads cannot be started: {error}")))?;
        pool.install(work)
    }
}

/// Parses the command line and runs the subcommand.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train(args) => train::run(*args),
        Command::Eval(args) => eval::run(args),
        Command::Sample(args) => sample::run(args),
        Command::Profile(args) => profile::run(args),
        Command::Gradcheck(args) => gradcheck::run(args),
        Command::Data(args) => data::run(args),
        Command::Info(args) => info::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bbh: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes to standard output; a reader that went away ends the output, not the program.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A value as one line of JSON.
///
/// # Errors
/// When the value has no JSON form: a defect.
pub fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(|error| Error::run(format!("no JSON form: {error}")))
}
