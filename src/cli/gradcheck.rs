//! `bbh gradcheck`.

use super::{Machine, json, print};
use crate::check::gradcheck::{self, Options};
use crate::check::table;
use crate::{Error, Result};

/// Arguments of `bbh gradcheck`.
#[derive(clap::Args)]
pub struct Args {
    /// Check one op (or the models of one network) only.
    #[arg(long, value_name = "NAME")]
    op: Option<String>,
    /// Largest relative error that passes.
    #[arg(long, default_value_t = 1e-6)]
    tolerance: f64,
    /// Seed of all numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the whole models out.
    #[arg(long)]
    no_models: bool,
    /// Print a list of {"op", "argument", "worst", "index", "checked", "skipped", ...}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: Machine,
}

/// Compares every gradient with finite differences in f64.
///
/// # Errors
/// With exit code 1 when one of them disagrees.
pub fn run(args: Args) -> Result<()> {
    if !(args.tolerance > 0.0 && args.tolerance.is_finite()) {
        return Err(Error::input(format!("tolerance: expected a positive number, found {}", args.tolerance)));
    }
    let options = Options { op: args.op, seed: args.seed, tolerance: args.tolerance, models: !args.no_models };
    let rows = args.machine.install(|| gradcheck::run(&options))?;
    print(&if args.json { json(&rows)? } else { table(&rows, options.tolerance) });
    gradcheck::verdict(&rows, options.tolerance)
}
