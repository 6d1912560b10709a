//! `--device` and `--math`.

#[cfg(feature = "sim")]
use crate::common::metrics;
use crate::common::{SMALL, bbh, write_set};

/// Runs one epoch on a device and returns its loss.
#[cfg(feature = "sim")]
fn loss(data: &std::path::Path, out: &std::path::Path, flags: &[&str]) -> f64 {
    let data = data.to_str().unwrap();
    bbh(&["train", data, "--epochs", "1", "--out", out.to_str().unwrap()]).args(SMALL).args(flags).assert().success();
    metrics(out)[0]["loss"].as_f64().unwrap()
}

#[cfg(feature = "sim")]
#[test]
fn the_simulated_device_trains_resumes_and_evaluates_like_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write_set(&data, 60, 20);
    let cpu = loss(&data, &folder.path().join("cpu"), &["--device", "cpu"]);
    let out = folder.path().join("sim");
    let sim = loss(&data, &out, &["--device", "sim", "--math", "fp32"]);
    assert!((sim - cpu).abs() <= 1e-3 * cpu.abs(), "sim {sim}, cpu {cpu}");
    let run = out.to_str().unwrap();
    bbh(&["eval", run, "--device", "sim", "--json"]).assert().success();
    bbh(&["train", "--resume", run, "--device", "sim", "--json"]).assert().success();
}

#[cfg(not(feature = "sim"))]
#[test]
fn a_program_without_the_simulated_device_says_how_to_build_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write_set(&data, 20, 20);
    let out = folder.path().join("run");
    let command =
        bbh(&["train", data.to_str().unwrap(), "--device", "sim", "--out", out.to_str().unwrap()]).args(SMALL).assert();
    let error = String::from_utf8_lossy(&command.get_output().stderr).into_owned();
    command.code(2);
    assert!(error.contains("--features sim"), "{error}");
    assert!(!out.exists(), "no run folder is left behind");
}

#[test]
fn the_cpu_has_no_choice_of_arithmetic() {
    let command = bbh(&["train", "--device", "cpu", "--math", "tf32"]).assert();
    let error = String::from_utf8_lossy(&command.get_output().stderr).into_owned();
    command.code(2);
    assert!(error.contains("math: the CPU computes in fp32"), "{error}");
}
