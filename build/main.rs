//! Embeds the kernels for GPUs; with feature `sim` also compiles them for the host.

mod ptx;
#[cfg(feature = "sim")]
mod sim;

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What every kernel begins with.
const KERNEL: &str = "extern \"C\" __global__ void";

fn main() {
    let folder = |name| PathBuf::from(env::var(name).expect("set by cargo"));
    let (kernels, out) = (folder("CARGO_MANIFEST_DIR").join("kernels"), folder("OUT_DIR"));
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed={}", kernels.display());
    ptx::build(&kernels, &out);
    #[cfg(feature = "sim")]
    sim::build(&kernels, &out);
}

/// Files of a folder with an extension, sorted by name.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.sort();
    found
}

/// Writes a file unless it has that content already, so that nothing is compiled anew without need.
fn write(path: PathBuf, text: &str) -> PathBuf {
    if fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return path;
    }
    fs::write(&path, text).expect("a writable build folder");
    path
}
