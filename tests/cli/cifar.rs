//! CIFAR-10 by name: a whole run, its evaluation, its resumption, the list.

use crate::common::{bbh, metrics, tensors, write_set};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Colour of each of the classes 0 to 4: which of red, green and blue are bright. Every pair differs in one plane at
/// least, and the first three as well as the last two are equally bright: grey does not tell them apart.
const COLOURS: [[u8; 3]; 5] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]];

/// Batches of `records` each, whose images of the classes 0 to 4 have the class's colour and noise, the others noise alone.
fn write_cifar(root: &Path, records: usize) {
    let folder = root.join("cifar-10-batches-bin");
    fs::create_dir_all(&folder).unwrap();
    let names = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    for (batch, name) in names.iter().enumerate() {
        let mut bytes = Vec::new();
        for i in batch * records..(batch + 1) * records {
            let class = (i * 7 + i / 5) % 10;
            bytes.push(class as u8);
            for at in 0..3 * 1024_usize {
                let noise = ((i * 3072 + at) as u32).wrapping_mul(2_654_435_761) >> 26;
                let bright = COLOURS.get(class).map_or(0, |colour| colour[at / 1024]);
                bytes.push(noise as u8 + 120 * bright);
            }
        }
        fs::write(folder.join(format!("{name}.bin")), bytes).unwrap();
    }
}

fn summary(run: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
}

fn arguments<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["train", "cifar5", "--out", out.to_str().unwrap(), "--quiet"];
    if !more.contains(&"--model") {
        args.extend(["--model", "lenet"]);
    }
    args.extend(["--batch", "20", "--warmup", "0", "--eval-samples", "2"]);
    args.extend(more);
    args
}

fn train(root: &Path, out: &Path, more: &[&str]) {
    bbh(&arguments(out, more)).env("BBH_DATA", root).assert().success();
}

/// With norms over the batch: those of each image would take the mean colour away.
#[test]
fn a_small_residual_network_learns_what_colour_is() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar(dir.path(), 120);
    let out = dir.path().join("run");
    let network = ["--model", "resnet", "--depth", "1", "--width", "4", "--norm", "batch"];
    train(dir.path(), &out, &[&network[..], &["--method", "map", "--epochs", "2", "--lr", "0.01"]].concat());
    let summary = summary(&out);
    let accuracy = summary["test"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
    let config = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(["depth = 1", "width = 4", "norm = \"batch\""].iter().all(|line| config.contains(line)), "{config}");
    bbh(&["eval", out.to_str().unwrap(), "--ood", "none"]).env("BBH_DATA", dir.path()).assert().success();
}

#[test]
fn every_method_trains_a_residual_network() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar(dir.path(), 30);
    for method in ["bbh", "bbb", "dropout", "ensemble"] {
        let out = dir.path().join(method);
        let network = ["--model", "resnet", "--depth", "1", "--width", "2", "--members", "2", "--hidden-units", "4,8"];
        train(dir.path(), &out, &[&network[..], &["--method", method, "--epochs", "1", "--ood", "none"]].concat());
        let nll = summary(&out)["test"]["nll"].as_f64().unwrap();
        assert!(nll.is_finite(), "{method}: {nll}");
    }
}

#[test]
fn map_learns_what_colour_is_in_two_epochs() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar(dir.path(), 120);
    let out = dir.path().join("run");
    train(dir.path(), &out, &["--method", "map", "--epochs", "2"]);
    let summary = summary(&out);
    let accuracy = summary["test"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.95, "{accuracy}");
    assert_eq!(
        (summary["config"]["ood"].as_str(), summary["ood"]["name"].as_str()),
        (Some("cifar5-rest"), Some("cifar5-rest"))
    );
    let images = summary["test"]["images"].as_u64().unwrap() + summary["ood"]["images"].as_u64().unwrap();
    assert_eq!((images, metrics(&out).len()), (120, 2), "test and rest are the test batch");
    let weights = tensors(&out.join("checkpoint.safetensors"));
    let bytes = |name: &str| weights.iter().find(|(key, _)| key.as_str() == name).map(|(_, bytes)| bytes.len());
    assert_eq!(
        (bytes("conv1.w"), bytes("fc1.w")),
        (Some(4 * 20 * 3 * 25), Some(4 * 500 * 450)),
        "{:?}",
        weights.keys()
    );

    let args = ["eval", out.to_str().unwrap(), "--json"];
    let output = bbh(&args).env("BBH_DATA", dir.path()).assert().success().get_output().clone();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["test"], &report["ood"]), (&summary["test"], &summary["ood"]));
}

#[test]
fn a_hypernet_killed_after_an_epoch_ends_as_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar(dir.path(), 100);
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let settings =
        ["--generator", "sliced", "--hidden-units", "8", "--samples", "2", "--epochs", "6", "--anneal", "1,1"];
    train(dir.path(), &whole, &settings);
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("bbh"));
    command.args(arguments(&killed, &settings)).env("BBH_DATA", dir.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while fs::read_to_string(killed.join("metrics.jsonl")).map_or(0, |text| text.lines().count()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "ended before its first epoch");
        std::thread::sleep(Duration::from_millis(3));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join("summary.json").exists(), "ended before it was killed");
    bbh(&["train", "--resume", killed.to_str().unwrap(), "--quiet"]).env("BBH_DATA", dir.path()).assert().success();
    let checkpoint = |run: &Path| tensors(&run.join("checkpoint.safetensors"));
    assert!(checkpoint(&whole) == checkpoint(&killed) && metrics(&whole) == metrics(&killed));
    assert_eq!(summary(&whole)["ood"], summary(&killed)["ood"]);
}

#[test]
fn augmented_images_are_24_pixels_wide_and_others_32() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar(dir.path(), 20);
    let dry = |more: &[&str]| {
        let args = [&["train", "cifar5", "--method", "map", "--model", "lenet", "--dry-run"], more].concat();
        let output = bbh(&args).env("BBH_DATA", dir.path()).assert().success().get_output().clone();
        String::from_utf8(output.stdout).unwrap()
    };
    let parameters = |features: usize| 20 * 75 + 20 + 50 * 500 + 50 + 500 * features + 500 + 5 * 500 + 5;
    for (more, features) in [(&[][..], 450), (&["--augment"], 450), (&["--augment", "false"], 1250)] {
        let text = dry(more);
        assert!(text.starts_with(&format!("parameters {}, ", parameters(features))), "{more:?}: {text}");
    }
    write_set(&dir.path().join("small"), 20, 5);
    let small = dir.path().join("small");
    let args = ["train", small.to_str().unwrap(), "--model", "mlp", "--augment", "--ood", "none"];
    let output = bbh(&args).assert().code(2).get_output().clone();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("24x24") && text.contains("16x16"), "{text}");
}

#[test]
fn missing_and_damaged_batches_end_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |expected: &str| {
        let args = ["train", "cifar5", "--dry-run"];
        let output = bbh(&args).env("BBH_DATA", dir.path()).assert().code(2).get_output().clone();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(expected) && text.trim().lines().count() == 1, "{expected}: {text}");
    };
    let list = || {
        let output = bbh(&["data", "list"]).env("BBH_DATA", dir.path()).assert().success().get_output().clone();
        String::from_utf8(output.stdout).unwrap()
    };
    refused("bbh data fetch cifar10");
    assert!(list().contains("missing: bbh data fetch cifar10") && list().contains("cifar5-rest"), "{}", list());
    write_cifar(dir.path(), 20);
    assert!(list().contains("cifar-10-batches-bin/ (there)"), "{}", list());
    let batch = dir.path().join("cifar-10-batches-bin/data_batch_2.bin");
    fs::write(&batch, [0; 3072]).unwrap();
    refused("data_batch_2.bin");
    fs::remove_file(&batch).unwrap();
    refused("data_batch_2.bin");
    assert!(list().contains("there but for data_batch_2.bin"), "{}", list());
}
