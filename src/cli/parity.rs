//! `bbh parity`.

use super::{Machine, json, print};
use crate::check::kernels::{self, Options, table};
use crate::{Error, Result};

/// Arguments of `bbh parity`.
#[derive(clap::Args)]
pub struct Args {
    /// Check the kernels of one op only.
    #[arg(long, value_name = "NAME")]
    op: Option<String>,
    /// Seed of all numbers.
    #[arg(long, default_value_t = 3)]
    seed: u64,
    /// Print a list of {"kernel", "calls", "exact", "rounded", "failures"}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: Machine,
}

/// Compares every kernel of a device with the CPU in f64, in all arithmetics.
///
/// # Errors
/// With exit code 1 when one of them disagrees.
pub fn run(args: Args) -> Result<()> {
    if args.machine.math.is_some() {
        return Err(Error::input("math: parity checks all arithmetics; leave --math out"));
    }
    let target = args.machine.target()?;
    let options = Options { op: args.op, seed: args.seed };
    let rows = args.machine.install(move || {
        let mut launcher = target.launcher()?;
        kernels::run(launcher.as_mut(), &options)
    })?;
    print(&if args.json { json(&rows)? } else { table(&rows) });
    kernels::verdict(&rows)
}
