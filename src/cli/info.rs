//! `bbh info`.

use super::{json, print};
use crate::plan::bytes;
use crate::{Result, machine};
use serde::Serialize;

/// Arguments of `bbh info`.
#[derive(clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Info {
    version: &'static str,
    devices: Vec<&'static str>,
    threads: usize,
    simd: &'static str,
    available_memory_bytes: Option<usize>,
    data_dir: String,
}

/// Prints version, devices, threads, vector instructions, memory and the data folder.
///
/// # Errors
/// None in practice.
pub fn run(args: Args) -> Result<()> {
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        devices: if cfg!(feature = "sim") { vec!["cpu", "sim"] } else { vec!["cpu"] },
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        simd: machine::vector_instructions(),
        available_memory_bytes: machine::available_memory(),
        data_dir: crate::data::data_dir(None).display().to_string(),
    };
    if args.json {
        print(&json(&info)?);
        return Ok(());
    }
    let memory = info.available_memory_bytes.map_or("unknown".into(), bytes);
    print(&format!(
        "bbh {}\ndevices      {}\nthreads      {}\nsimd         {}\nmemory       {} available\ndata folder  {}\n",
        info.version,
        info.devices.join(", "),
        info.threads,
        info.simd,
        memory,
        info.data_dir
    ));
    Ok(())
}
