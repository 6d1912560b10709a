//! `bbh info`.

use super::{json, print};
use crate::backend::cuda::driver::{self, Devices};
use crate::backend::cuda::embedded;
use crate::plan::bytes;
use crate::{Result, machine, vectors};
use serde::Serialize;
use std::fmt::Write;

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
    /// What --device can name here.
    devices: Vec<String>,
    threads: usize,
    simd: &'static str,
    available_memory_bytes: Option<usize>,
    data_dir: String,
    cuda: Cuda,
}

/// The CUDA side: the kernels in this program, and the driver with its devices or the reason why there are none.
#[derive(Serialize)]
struct Cuda {
    kernels: usize,
    /// What the PTX was made by.
    ptx: &'static str,
    /// Architectures that there is machine code for; all others get theirs from the driver.
    machine_code: Vec<u32>,
    driver: Option<Devices>,
    missing: Option<String>,
}

/// Prints version, devices, threads, vector instructions, memory, the data folder, and the CUDA side.
///
/// # Errors
/// None in practice.
pub fn run(args: Args) -> Result<()> {
    let (driver, missing) = match driver::devices() {
        Ok(found) => (Some(found), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let mut devices = vec!["cpu".to_string()];
    let gpus = driver.iter().flat_map(|driver| &driver.devices).filter(|device| device.is_usable());
    devices.extend(gpus.map(|device| format!("cuda:{}", device.ordinal)));
    devices.extend(cfg!(feature = "sim").then(|| "sim".to_string()));
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        devices,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        simd: vectors::name(),
        available_memory_bytes: machine::available_memory(),
        data_dir: crate::data::data_dir(None).display().to_string(),
        cuda: Cuda {
            kernels: embedded::count(),
            ptx: embedded::origin(),
            machine_code: embedded::machine_code(),
            driver,
            missing,
        },
    };
    print(&if args.json { json(&info)? } else { text(&info) });
    Ok(())
}

fn text(info: &Info) -> String {
    let mut text = format!(
        "bbh {}\ndevices      {}\nthreads      {}\nsimd         {}\nmemory       {} available\ndata folder  {}\n",
        info.version,
        info.devices.join(", "),
        info.threads,
        info.simd,
        info.available_memory_bytes.map_or("unknown".into(), bytes),
        info.data_dir
    );
    let cuda = &info.cuda;
    let code: Vec<String> = cuda.machine_code.iter().map(|architecture| format!("sm_{architecture}")).collect();
    let code = if code.is_empty() { String::new() } else { format!(", machine code for {}", code.join(" ")) };
    let _ =
        writeln!(text, "kernels      {}: PTX for compute capability 8.0 and up, by {}{code}", cuda.kernels, cuda.ptx);
    match (&cuda.driver, &cuda.missing) {
        (Some(driver), _) => gpus(&mut text, driver),
        (None, reason) => {
            let reason = reason.as_deref().unwrap_or("").trim_start_matches("device: ");
            let _ = writeln!(text, "cuda         none: {reason}");
        }
    }
    text
}

fn gpus(text: &mut String, driver: &Devices) {
    let own = driver.driver_version.as_ref().map_or(String::new(), |version| format!("driver {version}, "));
    let (major, minor) = driver.cuda_version;
    let _ = writeln!(text, "cuda         {own}CUDA {major}.{minor}");
    for device in &driver.devices {
        let (major, minor) = device.compute_capability;
        let use_ = if device.is_usable() { "" } else { ", older than the kernels" };
        let _ = writeln!(
            text,
            "cuda:{:<7} {}, compute capability {major}.{minor}, {}, {} multiprocessors{use_}",
            device.ordinal,
            device.name,
            bytes(device.memory_bytes),
            device.multiprocessors
        );
    }
}
