//! A run that was stopped, killed or interrupted ends with the bits of one that never stopped.

use crate::common::{SMALL, bbh, metrics, tensors, write_set};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const EPOCHS: &str = "6";

fn arguments<'a>(data: &'a str, out: &'a str) -> Vec<&'a str> {
    let mut args = vec!["train", data, "--out", out, "--epochs", EPOCHS, "--quiet", "--anneal", "2,2"];
    args.extend(SMALL);
    args.extend(["--valid-fraction", "0.1", "--mlp-units", "200"]);
    args
}

fn spawn(args: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("bbh"));
    command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn assert_equal_runs(a: &Path, b: &Path) {
    for file in ["checkpoint.safetensors", "best.safetensors"] {
        assert!(tensors(&a.join(file)) == tensors(&b.join(file)), "{file} differs");
    }
    assert_eq!(metrics(a), metrics(b));
}

#[test]
fn killed_at_random_moments() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("set");
    write_set(&data, 2000, 40);
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    bbh(&arguments(data.to_str().unwrap(), whole.to_str().unwrap())).assert().success();
    let resume = ["train", "--resume", killed.to_str().unwrap(), "--quiet"];
    let mut kills = 0;
    for attempt in 0..60_u64 {
        let mut child = match killed.join("config.toml").exists() {
            true => spawn(&resume),
            false => spawn(&arguments(data.to_str().unwrap(), killed.to_str().unwrap())),
        };
        // Each attempt gets longer, so that the run ends whatever the machine's speed.
        std::thread::sleep(Duration::from_millis(40 + (attempt * 37) % 61 + attempt * 40));
        if child.try_wait().unwrap().is_some_and(|status| status.success()) {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills > 0 && killed.join("summary.json").exists(), "{kills} kills");
    assert_equal_runs(&whole, &killed);
}

/// A run that is interrupted after two epochs and resumed, beside one that is not; returns the folder of the former.
#[cfg(unix)]
fn interrupted(dir: &Path, more: &[&str]) -> PathBuf {
    let data = dir.join("set");
    write_set(&data, 4000, 40);
    let (whole, stopped) = (dir.join("whole"), dir.join("stopped"));
    let all = |out: &str| -> Vec<String> {
        arguments(data.to_str().unwrap(), out).iter().chain(more).map(ToString::to_string).collect()
    };
    let whole_args = all(whole.to_str().unwrap());
    bbh(&whole_args.iter().map(String::as_str).collect::<Vec<_>>()).assert().success();
    let stopped_args = all(stopped.to_str().unwrap());
    let child = spawn(&stopped_args.iter().map(String::as_str).collect::<Vec<_>>());
    while std::fs::read_to_string(stopped.join("metrics.jsonl")).map_or(0, |text| text.lines().count()) < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("--resume"), "{message}");
    bbh(&["train", "--resume", stopped.to_str().unwrap(), "--quiet"]).assert().success();
    assert_equal_runs(&whole, &stopped);
    stopped
}

#[cfg(unix)]
#[test]
fn interrupted_within_an_epoch() {
    interrupted(tempfile::tempdir().unwrap().path(), &[]);
}

#[cfg(unix)]
#[test]
fn interrupted_with_gaussian_weights() {
    interrupted(tempfile::tempdir().unwrap().path(), &["--method", "bbb", "--samples", "2", "--mc"]);
}

#[cfg(unix)]
#[test]
fn interrupted_with_flows() {
    let steps = ["--method", "mnf", "--flow-hidden", "4", "--aux-hidden", "4"];
    interrupted(tempfile::tempdir().unwrap().path(), &steps);
}

#[cfg(unix)]
#[test]
fn interrupted_with_dropout() {
    interrupted(tempfile::tempdir().unwrap().path(), &["--method", "dropout"]);
}

#[test]
fn interrupted_with_a_discriminator() {
    interrupted(tempfile::tempdir().unwrap().path(), &["--kl", "disc", "--random-weights", "50"]);
}

#[test]
fn interrupted_with_an_ensemble() {
    interrupted(tempfile::tempdir().unwrap().path(), &["--method", "ensemble", "--members", "2"]);
}

#[test]
fn interrupted_with_bf16_moments() {
    let dir = tempfile::tempdir().unwrap();
    let run = interrupted(dir.path(), &["--moments", "bf16"]);
    let config: toml::Value = toml::from_str(&std::fs::read_to_string(run.join("config.toml")).unwrap()).unwrap();
    assert_eq!(config["moments"].as_str(), Some("bf16"));
    let bytes = std::fs::read(run.join("checkpoint.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut moments = 0;
    for (name, tensor) in file.tensors() {
        let moment = name.starts_with("moment.");
        let expected = if moment { safetensors::Dtype::BF16 } else { safetensors::Dtype::F32 };
        moments += usize::from(moment && tensor.data().iter().any(|&byte| byte != 0));
        assert!(tensor.dtype() == expected || ["step words", "metrics"].contains(&name.as_str()), "{name}");
    }
    assert!(moments > 0, "all moments are zero");
}

/// Runs from before there was a choice go on as they began.
#[test]
fn a_configuration_without_moments_means_fp32() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("set");
    write_set(&data, 100, 20);
    let run = dir.path().join("run");
    bbh(&arguments(data.to_str().unwrap(), run.to_str().unwrap())).assert().success();
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("moments = \"fp32\"\n"), "{config}");
    std::fs::write(run.join("config.toml"), config.replace("moments = \"fp32\"\n", "")).unwrap();
    bbh(&["train", "--resume", run.to_str().unwrap(), "--quiet"]).assert().success();
}

#[test]
fn a_damaged_checkpoint_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("set");
    write_set(&data, 100, 20);
    let run = dir.path().join("run");
    bbh(&arguments(data.to_str().unwrap(), run.to_str().unwrap())).assert().success();
    let file = run.join("checkpoint.safetensors");
    let whole = std::fs::read(&file).unwrap();
    for damaged in [&whole[..3], &whole[..200], &whole[..whole.len() - 10], b"not a checkpoint at all"] {
        std::fs::write(&file, damaged).unwrap();
        let output = bbh(&["train", "--resume", run.to_str().unwrap()]).assert().code(2).get_output().clone();
        let message = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(message.lines().last().unwrap().contains("checkpoint.safetensors"), "{message}");
        assert_eq!(std::fs::read(&file).unwrap(), damaged);
    }
}
