//! Builds the driver and runs the binary with it.

use crate::common::bbh;
use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Folder with a libcuda.so.1 made of fake.cpp with these compiler flags, and of the simulated device where this program has it.
fn build(name: &str, flags: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let mut compiler = std::process::Command::new("g++");
    compiler.args(["-std=c++17", "-shared", "-fPIC", "-O1", "-I"]).arg(root.join("kernels")).args(flags);
    compiler.arg(root.join("tests/driver/fake.cpp"));
    // The simulated device tells addresses relative to the start of the program, which a library has not.
    #[cfg(feature = "sim")]
    compiler
        .args(["-DEXECUTE", "-Wl,--defsym=__executable_start=0", "-Wl,--whole-archive", env!("BBH_SIM_LIBRARY")])
        .arg("-Wl,--no-whole-archive");
    let output = compiler.arg("-o").arg(folder.join("libcuda.so.1")).output().expect("g++ is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// The complete driver.
pub fn driver() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("fake-driver", &[]))
}

/// A driver from before cuGraphUpload.
pub fn old_driver() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("fake-old-driver", &["-DWITHOUT_GRAPH_UPLOAD"]))
}

/// The binary under a driver; `settings` are those of fake.cpp.
pub fn with_driver(folder: &Path, args: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = bbh(args);
    command.env("LD_LIBRARY_PATH", folder).envs(settings.iter().copied());
    command
}

/// True when this machine has a driver of its own: what is said without one cannot be tested then.
pub fn has_real_driver() -> bool {
    let output = bbh(&["info", "--json"]).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    !info["cuda"]["missing"].as_str().unwrap_or("").contains("no NVIDIA driver library")
}
