//! Methods other than Bayes by Hypernet, and presets.

use crate::common::{SMALL, bbh, tensors, write_set};
use serde_json::Value;
use std::path::Path;

/// Trains on 120 bars, evaluates the run again, and returns its summary and the evaluation.
fn trained(dir: &Path, more: &[&str]) -> (Value, Value) {
    let (data, run) = (dir.join("data"), dir.join("run"));
    write_set(&data, 120, 60);
    let args = [&["train", data.to_str().unwrap(), "--out", run.to_str().unwrap()], &SMALL[..], more].concat();
    bbh(&args).assert().success();
    let summary: Value = serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
    let output = bbh(&["eval", run.to_str().unwrap(), "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (summary, serde_json::from_slice(&output.stdout).unwrap())
}

const LEARNS: [&str; 8] = ["--warmup", "5", "--epochs", "12", "--anneal", "0,0", "--lr", "0.01"];

#[test]
fn dropout_learns_what_a_bar_is_and_predicts_with_masks() {
    let dir = tempfile::tempdir().unwrap();
    let (summary, again) = trained(dir.path(), &[&["--method", "dropout"], &LEARNS[..]].concat());
    assert!(summary["test"]["accuracy"].as_f64().unwrap() > 0.9, "{summary:#}");
    assert!(summary["test"]["mutual_information"].as_f64().unwrap() > 1e-3, "masks differ: {summary:#}");
    assert_eq!(again["test"], summary["test"], "an evaluation draws the same masks again");
}

#[test]
fn members_of_an_ensemble_differ_and_its_samples_are_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let more = [&["--method", "ensemble", "--members", "3"], &LEARNS[..]].concat();
    let (summary, again) = trained(dir.path(), &more);
    assert!(summary["test"]["accuracy"].as_f64().unwrap() > 0.9, "{summary:#}");
    assert!(summary["test"]["mutual_information"].as_f64().unwrap() > 1e-4, "members differ: {summary:#}");
    assert_eq!(again["test"], summary["test"]);

    let (run, out) = (dir.path().join("run"), dir.path().join("w.safetensors"));
    let sample = |count: &str| {
        bbh(&["sample", run.to_str().unwrap(), "--count", count, "--out", out.to_str().unwrap()]).output().unwrap()
    };
    let refused = sample("4");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("at most 3, found 4"));
    assert!(sample("3").status.success());
    let bytes = tensors(&out);
    let of_members = tensors(&run.join("checkpoint.safetensors"));
    assert_eq!(bytes["fc1.w"], of_members["fc1.w"]);
}

#[test]
fn presets_are_listed_shown_and_overruled_by_flags() {
    let output = bbh(&["presets"]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    for name in ["paper/bbh-noise64-independent", "paper/ensemble", "paper/bbb-full"] {
        assert!(listed.contains(name), "{listed}");
    }
    let output = bbh(&["presets", "show", "paper/bbh-noise1"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    for line in
        ["generator = \"layer-wise\"", "noise-dim = 1", "epochs = 100", "optimizer = \"rmsprop\"", "batch = 100"]
    {
        assert!(shown.contains(line), "{line} in {shown}");
    }

    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let more = ["--preset", "paper/dropout", "--epochs", "1"];
    let (_, _) = trained(dir.path(), &more);
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    for line in ["method = \"dropout\"", "epochs = 1\n", "warmup = 0", "keep = 0.5"] {
        assert!(config.contains(line), "{line} in {config}");
    }

    let output = bbh(&["train", "--preset", "paper/none"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no paper/none; bbh presets lists them"));
}

#[test]
fn values_that_no_method_can_have_are_refused() {
    for (flag, value, message) in [
        ("--keep", "0", "keep: expected above 0 and up to 1"),
        ("--keep", "1.5", "keep: expected above 0 and up to 1"),
        ("--members", "0", "members: expected at least 1"),
        ("--adversarial", "-1", "adversarial: expected a step of at least 0"),
        ("--adversarial", "nan", "adversarial: expected a step of at least 0"),
    ] {
        let output = bbh(&["train", &format!("{flag}={value}")]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag} {value}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(message),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
