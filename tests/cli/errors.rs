//! Wrong use and bad input: one sentence, exit code 2; a run that fails: exit code 3 and the reason.

use crate::common::{SMALL, bbh, write_set};
use std::fs;
use std::path::Path;

/// Exit code and last line of standard error.
fn failure(args: &[&str]) -> (i32, String) {
    let output = bbh(args).assert().failure().get_output().clone();
    let text = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().unwrap(), text.trim().lines().last().unwrap_or("").to_string())
}

fn refused(args: &[&str], expected: &str) {
    let (code, message) = failure(args);
    assert_eq!(code, 2, "{args:?}: {message}");
    assert!(message.contains(expected), "{args:?}: expected {expected} in: {message}");
}

#[test]
fn wrong_values_are_one_sentence() {
    for (flag, value, expected) in [
        ("--batch", "0", "batch"),
        ("--epochs", "0", "epochs"),
        ("--lr", "0", "lr"),
        ("--lr=nan", "", "lr"),
        ("--samples", "1", "samples"),
        ("--samples", "17", "samples"),
        ("--prior-scale=-1", "", "prior-scale"),
        ("--valid-fraction", "1", "valid-fraction"),
        ("--early-stop", "3", "early-stop"),
        ("--hidden-units", "64,0", "hidden-units"),
        ("--threads", "0", "threads"),
        ("--threads", "99999999", "threads"),
        ("--noise-dim", "0", "noise-dim"),
        ("--eval-samples", "0", "eval-samples"),
        ("--train-limit", "0", "train-limit"),
        ("--ood", "no-such-set", "no-such-set"),
        ("--config", "/no/such/file.toml", "/no/such/file.toml"),
    ] {
        let args: Vec<&str> = ["train", flag, value].into_iter().filter(|part| !part.is_empty()).collect();
        refused(&args, expected);
    }
    refused(&["train", "--zero-mean", "--generator", "sliced"], "zero-mean");
    refused(&["train", "no-such-data"], "no-such-data");
    refused(&["train", "mnist"], "bbh data fetch mnist");
    refused(&["eval", "/no/such/run"], "/no/such/run");
    refused(&["data", "fetch", "imagenet"], "imagenet");
    refused(&["profile", "--config", "alexnet"], "alexnet");
    refused(&["profile", "--repeats", "0"], "repeats");
}

#[test]
fn unknown_flags_and_missing_subcommands_end_with_2() {
    for args in [&["train", "--no-such-flag"][..], &["train", "--anneal", "5"], &["train", "--generator", "x"], &[]] {
        assert_eq!(failure(args).0, 2, "{args:?}");
    }
}

#[test]
fn a_malformed_configuration_names_the_file_and_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    for (text, expected) in [("epocs = 3", "epocs"), ("epochs = \"many\"", "epochs"), ("epochs = ", "c.toml")] {
        fs::write(&file, text).unwrap();
        refused(&["train", "--config", file.to_str().unwrap()], expected);
        refused(&["train", "--config", file.to_str().unwrap()], "c.toml");
    }
}

fn small_set(dir: &Path) -> String {
    write_set(&dir.join("set"), 60, 20);
    dir.join("set").to_str().unwrap().to_string()
}

#[test]
fn an_occupied_folder_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = small_set(dir.path());
    let out = dir.path().join("mine");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.txt"), "all of it").unwrap();
    let mut args = vec!["train", &data, "--out", out.to_str().unwrap()];
    args.extend(SMALL);
    refused(&args, "--resume");
    assert_eq!(fs::read_to_string(out.join("thesis.txt")).unwrap(), "all of it");
    refused(&["train", "--resume", out.to_str().unwrap()], "config.toml");
    let below_a_file = out.join("thesis.txt/run");
    args[3] = below_a_file.to_str().unwrap();
    refused(&args, "can be made");
}

#[test]
fn a_resumed_run_keeps_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let data = small_set(dir.path());
    let out = dir.path().join("run");
    let mut args = vec!["train", &data, "--out", out.to_str().unwrap(), "--epochs", "1", "--quiet"];
    args.extend(SMALL);
    bbh(&args).assert().success();
    refused(&["train", "--resume", out.to_str().unwrap(), "--lr", "1"], "own configuration");
}

#[test]
fn truncated_data_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = small_set(dir.path());
    let file = dir.path().join("set/train-images-idx3-ubyte");
    let whole = fs::read(&file).unwrap();
    for cut in [0, 3, 10, whole.len() - 1] {
        fs::write(&file, &whole[..cut]).unwrap();
        refused(&["train", &data], "train-images-idx3-ubyte");
    }
}

#[test]
fn images_too_small_for_lenet() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("set");
    write_set(&data, 60, 20);
    // The same bytes as 64 images of 8x8 a former 16x16 one.
    for (name, count) in [("train", 60_u32), ("t10k", 20)] {
        let file = data.join(format!("{name}-images-idx3-ubyte"));
        let mut bytes = fs::read(&file).unwrap();
        bytes.splice(8..16, [8_u32.to_be_bytes(), 8_u32.to_be_bytes()].concat());
        bytes.truncate(16 + count as usize * 64);
        fs::write(&file, bytes).unwrap();
    }
    refused(&["train", data.to_str().unwrap(), "--ood", "none"], "16x16");
}

#[test]
fn a_loss_that_explodes_names_the_first_call() {
    let dir = tempfile::tempdir().unwrap();
    let data = small_set(dir.path());
    let out = dir.path().join("run");
    let mut args = vec!["train", &data, "--out", out.to_str().unwrap(), "--lr", "1e30", "--warmup", "0"];
    args.extend(SMALL);
    let (code, message) = failure(&args);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("not finite") && message.contains("call ") && message.contains("step "), "{message}");
}
