//! `bbh profile`.

use super::{Machine, json, print};
use crate::plan::bytes;
use crate::profile::{self, Profile};
use crate::{Error, Result};
use std::fmt::Write;

/// Arguments of `bbh profile`.
#[derive(clap::Args)]
pub struct Args {
    /// Training step: lenet-full, lenet-sliced, lenet-shared or lenet-map.
    #[arg(long, default_value = "lenet-shared", value_name = "NAME")]
    config: String,
    /// All samples in the likelihood.
    #[arg(long)]
    mc: bool,
    /// Steps to time.
    #[arg(long, default_value_t = 21, value_name = "COUNT")]
    repeats: usize,
    #[command(flatten)]
    machine: Machine,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Profiles a training step.
///
/// # Errors
/// When the configuration is unknown or the memory is missing.
pub fn run(args: Args) -> Result<()> {
    if args.repeats == 0 {
        return Err(Error::input("repeats: expected at least 1, found 0"));
    }
    let config = profile::named_config(&args.config, args.mc)?;
    let profile = args.machine.install(|| profile::run(&args.config, config, args.repeats))?;
    print(&if args.json { json(&profile)? } else { table(&profile) });
    Ok(())
}

fn table(p: &Profile) -> String {
    let mut text = format!(
        "{}: {:.2} ms a step (10%..90%: {:.2}..{:.2}), {:.0} GFLOP/s, {:.1} GB/s, {:.0}% of the ceilings, {} threads\n",
        p.config,
        p.step_ms,
        p.step_ms_p10,
        p.step_ms_p90,
        p.gflops,
        p.gbps,
        100.0 * p.share,
        p.threads
    );
    let c = &p.ceilings;
    let _ = writeln!(
        text,
        "ceilings: copy {:.1} GB/s, update {:.1} GB/s, read {:.1} GB/s, matrix product {:.0} GFLOP/s; peak resident {}\n",
        c.copy_gbps,
        c.update_gbps,
        c.read_gbps,
        c.gemm_gflops,
        p.peak_rss_bytes.map_or("unknown".into(), bytes)
    );
    let _ = writeln!(
        text,
        "{:<26} {:<22} {:<32} {:>9} {:>7} {:>7} {:>6}",
        "call", "for", "shape", "us", "GB/s", "GFLOP/s", "share"
    );
    for call in &p.calls {
        let _ = writeln!(
            text,
            "{:<26} {:<22} {:<32} {:>9.1} {:>7.1} {:>7.1} {:>5.0}%",
            call.name,
            call.label,
            call.shape,
            call.us,
            call.gbps,
            call.gflops,
            100.0 * call.share
        );
    }
    text
}
