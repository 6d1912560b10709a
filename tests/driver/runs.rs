//! Runs under the driver of fake.cpp: what is asked of it, and, where it runs the kernels, what comes out.

use crate::common::{SMALL, write_set};
#[cfg(feature = "sim")]
use crate::common::{metrics, tensors};
use crate::fake::{driver, with_driver};
use std::fs;
#[cfg(feature = "sim")]
use std::path::Path;

/// Trains two epochs of 3 steps into `out`, its second with the KL term, and returns the driver's log.
#[cfg(feature = "sim")]
fn train(data: &Path, out: &Path, flags: &[&str], settings: &[(&str, &str)]) -> Vec<String> {
    let log = out.with_extension("log");
    let args = ["train", data.to_str().unwrap(), "--epochs", "2", "--anneal", "1,2", "--out", out.to_str().unwrap()];
    let mut command = with_driver(driver(), &args, settings);
    command.env("FAKE_LOG", &log).args(SMALL).args(flags).assert().success();
    fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_string).collect()
}

fn count(log: &[String], call: &str) -> usize {
    log.iter().filter(|line| line.split(' ').next() == Some(call)).count()
}

/// Same losses, same bits of the checkpoint; the folders' names tell the flags.
#[cfg(feature = "sim")]
fn assert_equal_runs(one: &Path, other: &Path) {
    assert_eq!(metrics(one), metrics(other), "{}", other.display());
    let tensors = |run: &Path| tensors(&run.join("checkpoint.safetensors"));
    assert!(tensors(one) == tensors(other), "{}: checkpoints differ", other.display());
}

#[cfg(feature = "sim")]
#[test]
fn a_run_has_the_bits_of_the_simulated_device() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("set");
    write_set(&data, 60, 20);
    for flags in [&["--math", "fp32"][..], &["--math", "tf32"], &["--math", "bf16", "--generator", "layer-wise"]] {
        let path = |device: &str| dir.path().join(format!("{device}{}", flags.join("")));
        train(&data, &path("sim"), &[flags, &["--device", "sim"]].concat(), &[]);
        train(&data, &path("cuda"), &[flags, &["--device", "cuda"]].concat(), &[]);
        train(&data, &path("eager"), &[flags, &["--device", "auto"]].concat(), &[("BBH_CUDA_EAGER", "1")]);
        for other in ["cuda", "eager"] {
            assert_equal_runs(&path("sim"), &path(other));
        }
    }
}

#[cfg(feature = "sim")]
#[test]
fn every_method_has_the_bits_of_the_simulated_device() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("set");
    write_set(&data, 60, 20);
    let all: [&[&str]; 7] = [
        &["--method", "map"],
        &["--method", "dropout"],
        &["--method", "ensemble", "--members", "2"],
        &["--method", "bbb"],
        &["--method", "bbb", "--kl", "full", "--samples", "2", "--mc"],
        &["--method", "mnf", "--flow-hidden", "4", "--aux-hidden", "4"],
        &["--kl", "disc", "--random-weights", "50"],
    ];
    for flags in all {
        let path = |device: &str| dir.path().join(format!("{device}{}", flags.join("")));
        for device in ["sim", "cuda"] {
            train(&data, &path(device), &[flags, &["--device", device]].concat(), &[]);
        }
        assert_equal_runs(&path("sim"), &path("cuda"));
    }
}

#[cfg(feature = "sim")]
#[test]
fn the_cubic_regression_has_the_bits_of_the_simulated_device() {
    let args = ["toy", "--steps", "3", "--units", "8", "--draws", "10", "--json", "--math", "fp32", "--device"];
    let methods = "map,dropout,ensemble,bbb,mnf,bbh,bbh-structured,bbh-full-noise";
    let reports = |device: &str| {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = with_driver(driver(), &args, &[]);
        let assert = command.env("FAKE_LOG", log.path()).args([device, "--methods", methods]).assert().success();
        let mut reports: Vec<serde_json::Value> = serde_json::from_slice(&assert.get_output().stdout).unwrap();
        reports.iter_mut().for_each(|report| drop(report.as_object_mut().unwrap().remove("seconds")));
        let log = fs::read_to_string(log.path()).unwrap();
        (reports, log.lines().filter(|line| line.starts_with("cuGraphLaunch")).count())
    };
    let (sim, launched) = reports("sim");
    assert_eq!(launched, 0);
    for device in ["cuda", "auto"] {
        let (found, launched) = reports(device);
        assert_eq!(sim, found, "{device}");
        // 3 steps, a draw and a prediction of each of the 8 methods.
        assert_eq!(launched, 40, "{device}");
    }
}

#[cfg(feature = "sim")]
#[test]
fn a_resumed_run_and_an_evaluation() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("set"), dir.path().join("run"));
    write_set(&data, 60, 20);
    train(&data, &out, &["--device", "cuda"], &[]);
    let run = out.to_str().unwrap();
    for args in [&["eval", run, "--device", "cuda:0", "--json"][..], &["train", "--resume", run, "--json"]] {
        with_driver(driver(), args, &[]).assert().success();
    }
}

#[cfg(feature = "sim")]
#[test]
fn parity_passes_and_notices_a_kernel_that_does_nothing() {
    let args = ["parity", "--device", "cuda", "--op", "softmax", "--json"];
    let rows = |settings: &[(&str, &str)], code: i32| {
        let assert = with_driver(driver(), &args, settings).assert().code(code);
        let rows: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
        rows.as_array().unwrap().clone()
    };
    let failed = |row: &&serde_json::Value| !row["failures"].as_array().unwrap().is_empty();
    let good = rows(&[], 0);
    assert!(good.iter().any(|row| row["kernel"] == "softmax_grad" && row["exact"]["fp32"].as_f64().unwrap() < 1e-5));
    assert_eq!(good.iter().filter(failed).count(), 0);
    let bad = rows(&[("FAKE_SKIP", "softmax_grad")], 1);
    let names: Vec<_> = bad.iter().filter(failed).map(|row| row["kernel"].as_str().unwrap()).collect();
    assert_eq!(names, ["softmax_grad"]);
}

#[test]
fn a_step_is_one_graph_without_host_copies() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("set"), dir.path().join("run"));
    write_set(&data, 2000, 20);
    // 2000 images are 100 steps an epoch; without the simulated device behind it the driver computes nothing, and the run ends
    // when the evaluation finds zeros.
    let log = out.with_extension("log");
    let args = ["train", data.to_str().unwrap(), "--device", "cuda", "--epochs", "2", "--anneal", "1,2", "--out"];
    let mut command = with_driver(driver(), &args, &[]);
    let start = std::time::Instant::now();
    command.arg(&out).env("FAKE_LOG", &log).args(SMALL).output().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let log: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_string).collect();
    assert!(!log.iter().any(|line| line.starts_with("forbidden") || line.starts_with("parameters of")), "{log:?}");
    assert_eq!(count(&log, "cuMemAlloc_v2"), 1, "one allocation");
    assert_eq!(count(&log, "cuLaunchKernel"), 0, "every launch is part of a graph");
    let first = log.iter().position(|line| line == "cuStreamBeginCapture_v2").unwrap();
    assert!(!log[first..].iter().any(|line| line.starts_with("cuModuleLoadData")), "kernels are loaded beforehand");
    // From the first step on: 200 replays, and at most one look at the sums per tenth of a second.
    let early: Vec<&String> = log[first..].iter().skip_while(|line| !line.starts_with("cuGraphLaunch")).collect();
    let epochs = early.iter().take_while(|line| !line.starts_with("cuStreamBeginCapture")).collect::<Vec<_>>();
    let (replays, reads) = (
        epochs.iter().filter(|line| line.starts_with("cuGraphLaunch")).count(),
        epochs.iter().filter(|line| line.starts_with("cuMemcpy")).count(),
    );
    assert!(replays >= 100, "{replays} steps of the first epoch");
    // Sums and scalars: two copies a look.
    let most = 2.0 * (10.0 * seconds + 2.0);
    assert!(reads as f64 <= most, "{reads} copies in {replays} steps, more than {most} in {seconds} s");
    assert_eq!(log.last().map(String::as_str), Some("released, 0 handles left"), "everything is given back");
}

#[test]
fn launch_by_launch_nothing_is_captured() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("set"), dir.path().join("run"));
    write_set(&data, 60, 20);
    let log = out.with_extension("log");
    let args = ["train", data.to_str().unwrap(), "--device", "cuda", "--epochs", "1", "--out"];
    let settings = [("BBH_CUDA_EAGER", "1"), ("FAKE_LOG", log.to_str().unwrap())];
    with_driver(driver(), &args, &settings).arg(&out).args(SMALL).output().unwrap();
    let log: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_string).collect();
    assert_eq!(count(&log, "cuStreamBeginCapture_v2"), 0);
    assert_eq!(count(&log, "cuGraphLaunch"), 0);
    assert!(count(&log, "cuLaunchKernel") > 100);
    assert!(count(&log, "cuStreamSynchronize") > count(&log, "cuLaunchKernel"));
}
