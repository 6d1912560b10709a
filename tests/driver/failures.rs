//! Every way in which a driver can refuse: one sentence with the remedy, an exit code, no panic, no folder left behind.

use crate::common::{SMALL, write_set};
use crate::fake::{driver, has_real_driver, old_driver, with_driver};
use std::path::Path;

/// Trains on a device and expects it to fail. Returns what it said.
fn fail(folder: &Path, device: &str, settings: &[(&str, &str)], code: i32, keeps_folder: bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("set"), dir.path().join("run"));
    write_set(&data, 60, 20);
    let args = ["train", data.to_str().unwrap(), "--device", device, "--epochs", "1", "--quiet", "--out"];
    let mut command = with_driver(folder, &args, settings);
    let assert = command.arg(&out).args(SMALL).assert();
    let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert.code(code);
    assert_eq!(error.lines().count(), 1, "one sentence: {error}");
    assert!(error.starts_with("bbh: "), "{error}");
    assert_eq!(out.exists(), keeps_folder, "the run's folder; {error}");
    error
}

fn assert_says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word} is missing in: {error}");
    }
}

#[test]
fn no_driver() {
    if has_real_driver() {
        eprintln!("skipped: this machine has a driver");
        return;
    }
    let error = fail(Path::new("/nonexistent"), "cuda", &[], 2, false);
    assert_says(&error, &["no NVIDIA driver library", "install NVIDIA's driver", "--device cpu"]);
}

#[test]
fn a_driver_without_a_device() {
    let error = fail(driver(), "cuda", &[("FAKE_DEVICES", "0")], 2, false);
    assert_says(&error, &["finds no GPU", "nvidia-smi", "CUDA_VISIBLE_DEVICES", "--device cpu"]);
}

#[test]
fn a_device_that_is_not_there() {
    let error = fail(driver(), "cuda:2", &[("FAKE_DEVICES", "2")], 2, false);
    assert_says(&error, &["no cuda:2", "2 devices", "cuda:0 to cuda:1"]);
}

#[test]
fn a_device_older_than_the_kernels() {
    let error = fail(driver(), "cuda", &[("FAKE_CAPABILITY", "75")], 2, false);
    assert_says(&error, &["compute capability 7.5", "need 8.0"]);
}

#[test]
fn a_driver_older_than_the_launcher() {
    let error = fail(old_driver(), "cuda", &[], 2, false);
    assert_says(&error, &["cuGraphUpload", "driver 470"]);
}

#[test]
fn versions_that_do_not_match() {
    let error = fail(driver(), "cuda", &[("FAKE_FAIL", "cuInit:803")], 3, false);
    assert_says(&error, &["not ready", "restart the machine"]);
}

#[test]
fn out_of_memory() {
    let error = fail(driver(), "cuda", &[("FAKE_MEMORY", "100000")], 3, false);
    assert_says(&error, &["out of memory", "are needed at once", "--batch"]);
    assert!(error.contains("KiB") || error.contains("MiB"), "the plan's need: {error}");
}

#[test]
fn ptx_that_the_driver_does_not_understand() {
    let error = fail(driver(), "cuda", &[("FAKE_FAIL", "cuModuleLoadData:222")], 3, false);
    assert_says(&error, &["too old for kernel", "update it"]);
}

#[test]
fn a_kernel_that_the_driver_cannot_load() {
    let error = fail(driver(), "cuda", &[("FAKE_FAIL", "cuModuleLoadData:209:4")], 3, false);
    assert_says(&error, &["cannot load kernel", "NVCC="]);
}

#[test]
fn a_launch_that_is_refused_while_capturing() {
    let error = fail(driver(), "cuda", &[("FAKE_FAIL", "cuLaunchKernel:1:7")], 3, true);
    assert_says(&error, &["the GPU stopped", "CUDA error 1)"]);
}

#[test]
fn an_illegal_address_names_what_ran_last() {
    let error = fail(driver(), "cuda", &[("FAKE_FAIL", "cuStreamSynchronize:700")], 3, true);
    assert_says(&error, &["an illegal memory access", "a captured plan of", "advance_step", "BBH_CUDA_EAGER=1"]);
}

#[test]
fn an_illegal_address_launch_by_launch_names_the_kernel() {
    let settings = [("FAKE_FAIL", "cuStreamSynchronize:700:3"), ("BBH_CUDA_EAGER", "1")];
    let error = fail(driver(), "cuda", &settings, 3, true);
    assert_says(&error, &["launched last: advance_step, gather_batch, normal;"]);
}

#[test]
fn auto_takes_the_cpu_when_no_device_fits() {
    for settings in [[("FAKE_DEVICES", "0")], [("FAKE_CAPABILITY", "75")]] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("set");
        write_set(&data, 60, 20);
        let args = ["train", data.to_str().unwrap(), "--epochs", "1", "--out"];
        let assert = with_driver(driver(), &args, &settings).arg(dir.path().join("run")).args(SMALL).assert().success();
        let heading = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(heading.contains("device cpu"), "{heading}");
    }
}

#[test]
fn info_lists_devices_and_says_which_are_too_old() {
    let text = |settings: &[(&str, &str)]| {
        let assert = with_driver(driver(), &["info"], settings).assert().success();
        String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
    };
    let found = text(&[("FAKE_DEVICES", "2")]);
    assert_says(
        &found,
        &["cpu, cuda:0, cuda:1", "CUDA 12.4", "Fake GPU 1, compute capability 8.0, 4.0 GiB, 108 multi"],
    );
    let old = text(&[("FAKE_CAPABILITY", "75")]);
    assert_says(&old, &["compute capability 7.5", "older than the kernels"]);
    assert!(!old.lines().any(|line| line.starts_with("devices") && line.contains("cuda")), "{old}");
    assert_says(&text(&[("FAKE_DEVICES", "0")]), &["cuda         none: the NVIDIA driver finds no GPU"]);
}
