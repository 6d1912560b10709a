//! The command line: one file per subcommand.

mod data;
mod eval;
mod gradcheck;
mod info;
mod npy;
mod parity;
mod presets;
mod profile;
mod progress;
mod sample;
mod toy;
mod train;

use crate::backend::Target;
use crate::backend::cuda::Math;
use crate::{Error, Result, vectors};
use clap::{Parser, Subcommand, ValueEnum};
use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;

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
    /// Every method on a cubic regression, beside Hamiltonian Monte Carlo.
    ///
    /// Methods train and predict on the device; Hamiltonian Monte Carlo samples in f64 on the CPU, whatever the device.
    Toy(toy::Args),
    /// Time each call of a training step beside the machine's ceilings.
    Profile(profile::Args),
    /// Compare every gradient with finite differences.
    Gradcheck(gradcheck::Args),
    /// Compare every CUDA kernel with the CPU.
    Parity(parity::Args),
    /// The authors' runs by name, for bbh train --preset.
    Presets(presets::Args),
    /// Data sets: download, list.
    Data(data::Args),
    /// This program and this machine.
    Info(info::Args),
}

/// Where plans run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// The first GPU that can run the kernels, else the CPU.
    Auto,
    Cpu,
    /// A GPU by its number.
    Cuda(usize),
    Sim,
}

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "sim" => Ok(Self::Sim),
            _ => match text.strip_prefix("cuda:").and_then(|ordinal| ordinal.parse().ok()) {
                Some(ordinal) => Ok(Self::Cuda(ordinal)),
                None => Err("expected auto, cpu, cuda, cuda:N or sim".into()),
            },
        }
    }
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
    /// Where to compute: auto (the first GPU, else the CPU), cpu, cuda, cuda:1 (the second GPU), or sim (the CUDA kernels run
    /// by the host: slow, for checking them; programs built with --features sim).
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
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
        let math = match self.math {
            Some(MathKind::Fp32) => Math::Fp32,
            Some(MathKind::Bf16) => Math::Bf16,
            Some(MathKind::Tf32) | None => Math::Tf32,
        };
        let target = match self.device {
            DeviceKind::Auto => Target::best(math),
            DeviceKind::Cpu => Target::Cpu,
            DeviceKind::Cuda(ordinal) => Target::Cuda { ordinal, math }.checked()?,
            DeviceKind::Sim => Target::Sim(math).checked()?,
        };
        match (target, self.math) {
            (Target::Cpu, Some(MathKind::Tf32 | MathKind::Bf16)) => {
                Err(Error::input("math: the CPU computes in fp32; leave --math out, or name --device cuda"))
            }
            _ => Ok(target),
        }
    }

    /// Runs `work` in a pool of the asked-for threads: started from within, a step allocates nothing.
    ///
    /// # Errors
    /// When the pool cannot be started, or what `work` returns.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        install(self.threads, work)
    }
}

/// Threads that a pool may have: with tens of thousands, looking for work takes the time.
const MOST_THREADS: usize = 1024;

/// Runs `work` in a pool of so many threads.
///
/// # Errors
/// When there are to be none or too many, when the pool cannot be started, or what `work` returns.
pub fn install<R: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    if let Some(count) = threads.filter(|count| !(1..=MOST_THREADS).contains(count)) {
        return Err(Error::input(format!("threads: expected 1 to {MOST_THREADS}, found {count}")));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
    let pool = pool.map_err(|error| Error::run(format!("the threads cannot be started: {error}")))?;
    pool.install(work)
}

/// Parses the command line and runs the subcommand.
pub fn main() -> ExitCode {
    let result = vectors::check().and_then(|()| run(Cli::parse().command));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bbh: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Train(args) => train::run(*args),
        Command::Eval(args) => eval::run(args),
        Command::Sample(args) => sample::run(args),
        Command::Toy(args) => toy::run(args),
        Command::Profile(args) => profile::run(args),
        Command::Gradcheck(args) => gradcheck::run(args),
        Command::Parity(args) => parity::run(args),
        Command::Presets(args) => presets::run(&args),
        Command::Data(args) => data::run(args),
        Command::Info(args) => info::run(args),
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
