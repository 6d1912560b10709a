//! Whole runs: what they print, what they leave, what they do not depend on.

use crate::common::{SMALL, bbh, metrics, tensors, write_set};
use std::fs;
use std::path::Path;

fn train(data: &Path, out: &Path, more: &[&str]) -> String {
    let mut args = vec!["train", data.to_str().unwrap(), "--out", out.to_str().unwrap()];
    args.extend(SMALL);
    args.extend(["--epochs", "3"]);
    args.extend(more);
    let output = bbh(&args).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_run_leaves_its_folder_and_says_what_to_try_next() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 300, 60);
    let out = dir.path().join("run");
    let text = train(&dir.path().join("set"), &out, &["--ood", "uniform", "--valid-fraction", "0.2"]);
    assert!(text.contains("accuracy") && text.contains("AUROC") && text.contains("Next: "), "{text}");
    for file in
        ["config.toml", "metrics.jsonl", "checkpoint.safetensors", "best.safetensors", "summary.json", "log.txt"]
    {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    for key in ["accuracy", "nll", "brier", "ece", "entropy", "entropy_auc"] {
        assert!(summary["test"][key].is_f64(), "test.{key}: {summary}");
    }
    for key in ["entropy", "auroc", "aupr", "fpr95"] {
        assert!(summary["ood"][key].is_f64(), "ood.{key}: {summary}");
    }
    assert_eq!(summary["ood"]["name"], "uniform");
    assert!(summary["seconds"].is_f64() && summary["peak_rss_bytes"].is_u64() && summary["config"].is_object());
    assert_eq!(metrics(&out).len(), 3);
}

#[test]
fn map_learns_what_a_bar_is() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 600, 90);
    let out = dir.path().join("run");
    train(&dir.path().join("set"), &out, &["--method", "map", "--warmup", "5", "--epochs", "4"]);
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    let accuracy = summary["test"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.95, "accuracy {accuracy}");
}

/// Bayes by Backprop learns it too, and its posterior has the width that it should: between that of the start and the prior's.
#[test]
fn bbb_learns_what_a_bar_is_and_widens_its_posterior() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 600, 90);
    let out = dir.path().join("run");
    let more = ["--method", "bbb", "--warmup", "5", "--epochs", "8", "--anneal", "0,0", "--lr", "0.02"];
    let text = train(&dir.path().join("set"), &out, &more);
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    let accuracy = summary["test"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.95 && text.contains("mutual information"), "accuracy {accuracy}, {text}");
    let log_variances: Vec<f32> = tensors(&out.join("checkpoint.safetensors"))
        .iter()
        .filter(|(name, _)| name.ends_with(".log_variance") && !name.starts_with("moment."))
        .flat_map(|(_, bytes)| {
            bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect::<Vec<_>>()
        })
        .collect();
    let mean = log_variances.iter().sum::<f32>() / log_variances.len() as f32;
    assert!(mean > -8.5 && mean < 0.5, "{} log variances of mean {mean}", log_variances.len());
    bbh(&["eval", out.to_str().unwrap()]).assert().success();
    let file = dir.path().join("weights.npy");
    bbh(&["sample", out.to_str().unwrap(), "--count", "7", "--out", file.to_str().unwrap()]).assert().success();
    let too_many = ["sample", out.to_str().unwrap(), "--count", "99999999999999", "--out", file.to_str().unwrap()];
    bbh(&too_many).assert().code(2);
    assert!(file.is_file());
}

#[test]
fn a_closed_form_of_generated_weights_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 60, 20);
    let set = dir.path().join("set");
    let output = bbh(&["train", set.to_str().unwrap(), "--kl", "closed-form"]).assert().code(2).get_output().clone();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--method bbb"));
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 300, 40);
    for generator in ["shared", "sliced", "layer-wise"] {
        let mut seen = None;
        for threads in ["1", "2", "3"] {
            let out = dir.path().join(format!("{generator}-{threads}"));
            let more = ["--threads", threads, "--generator", generator, "--model", "lenet", "--anneal", "1,1", "--mc"];
            let mut args = vec!["train", dir.path().join("set").to_str().unwrap().to_string().leak() as &str];
            args.extend(["--out", out.to_str().unwrap(), "--hidden-units", "8", "--batch", "50", "--ood", "none"]);
            args.extend(["--eval-samples", "2", "--epochs", "2", "--quiet", "--samples", "3"]);
            args.extend(more);
            bbh(&args).assert().success();
            let now = tensors(&out.join("checkpoint.safetensors"));
            let before = seen.get_or_insert_with(|| now.clone());
            assert!(*before == now, "{generator}: {threads} threads gave other bits");
        }
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 60, 20);
    let file = dir.path().join("c.toml");
    fs::write(&file, "epochs = 2\nlr = 0.25\nanneal = [1.0, 2.0]\nseed = 7\n").unwrap();
    let out = dir.path().join("run");
    train(&dir.path().join("set"), &out, &["--config", file.to_str().unwrap(), "--seed", "9"]);
    let config: toml::Value = toml::from_str(&fs::read_to_string(out.join("config.toml")).unwrap()).unwrap();
    assert_eq!(config["epochs"].as_integer(), Some(3), "the flag");
    assert_eq!(config["seed"].as_integer(), Some(9), "the flag");
    assert_eq!(config["lr"].as_float(), Some(0.25), "the file");
    assert_eq!(config["samples"].as_integer(), Some(5), "the default");
}

#[test]
fn json_lines_and_quiet() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 60, 20);
    let text = train(&dir.path().join("set"), &dir.path().join("a"), &["--json"]);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4, "three epochs and a summary");
    assert!(lines[3]["test"]["accuracy"].is_f64());
    let text = train(&dir.path().join("set"), &dir.path().join("b"), &["--quiet"]);
    assert_eq!(text.trim(), dir.path().join("b").to_str().unwrap());
}

#[test]
fn eval_repeats_the_summary_and_sample_writes_the_posterior() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 100, 30);
    let out = dir.path().join("run");
    train(&dir.path().join("set"), &out, &[]);
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    let output = bbh(&["eval", out.to_str().unwrap(), "--json"]).assert().success().get_output().clone();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["test"], summary["test"]);

    let (npy, st) = (dir.path().join("w.npy"), dir.path().join("w.safetensors"));
    for file in [&npy, &st] {
        let args = ["sample", out.to_str().unwrap(), "--count", "13", "--out", file.to_str().unwrap()];
        bbh(&args).assert().success();
    }
    let weights = 256 * 12 + 12 + 12 * 3 + 3;
    let bytes = fs::read(&npy).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    assert_eq!(header % 64, 0);
    assert!(String::from_utf8_lossy(&bytes[10..header]).contains(&format!("(13, {weights})")));
    assert_eq!(bytes.len(), header + 4 * 13 * weights);
    let tensors = tensors(&st);
    assert_eq!(tensors["fc1.w"].len(), 4 * 13 * 256 * 12);
    assert_eq!(tensors["fc1.w"][..4 * 256 * 12], bytes[header..header + 4 * 256 * 12]);
    let rows: std::collections::BTreeSet<&[u8]> = tensors["fc1.w"].chunks_exact(4 * 256 * 12).collect();
    assert_eq!(rows.len(), 13, "every network is another one");
}

#[test]
fn dry_run_and_explain_plan_do_not_train() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set"), 60, 20);
    let out = dir.path().join("run");
    let text = train(&dir.path().join("set"), &out, &["--dry-run"]);
    assert!(text.contains("persistent memory") && text.contains("peak"), "{text}");
    let text = train(&dir.path().join("set"), &out, &["--explain-plan", "--model", "lenet"]);
    assert!(text.contains("conv2d_pool") && text.contains("fused: conv1") && text.contains("workspace"), "{text}");
    assert!(!out.exists());
}
