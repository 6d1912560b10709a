//! BBH_VECTORS: every set of vector instructions of this processor computes the same, but for rounding.

use crate::common::{bbh, metrics};
use std::path::Path;

/// The sets that the program names when it is asked for one that does not exist.
fn sets() -> Vec<String> {
    let command = bbh(&["info"]).env("BBH_VECTORS", "mmx").assert();
    let error = String::from_utf8_lossy(&command.get_output().stderr).into_owned();
    command.code(2);
    let (_, rest) = error.split_once("BBH_VECTORS: expected one of ").unwrap_or_else(|| panic!("{error}"));
    let (names, found) = rest.split_once(" on this processor").unwrap_or_else(|| panic!("{error}"));
    assert!(found.contains("found 'mmx'"), "{error}");
    names.split(", ").map(String::from).collect()
}

/// The loss of the second epoch of a network with convolutions, pools and norms, and what the program said.
fn train(set: &str, out: &Path, network: &[&str]) -> (f64, String) {
    let size = ["--train-limit", "60", "--batch", "20", "--epochs", "2", "--warmup", "0", "--threads", "1"];
    let rest = ["--method", "map", "--device", "cpu", "--ood", "none", "--eval-samples", "1", "--out"];
    let mut command = bbh(&["train", "synthetic"]);
    let output = command.args(size).args(rest).arg(out).args(network).env("BBH_VECTORS", set).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    (metrics(out)[1]["loss"].as_f64().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn every_set_trains_alike() {
    let sets = sets();
    let dir = tempfile::tempdir().unwrap();
    for (i, network) in
        [&["--model", "lenet"][..], &["--model", "resnet", "--depth", "1", "--width", "16"]].into_iter().enumerate()
    {
        let losses: Vec<f64> = sets
            .iter()
            .map(|set| {
                let (loss, said) = train(set, &dir.path().join(format!("{set}{i}")), network);
                assert!(said.contains(set.as_str()), "{set}: {said}");
                loss
            })
            .collect();
        let widest = losses[losses.len() - 1];
        for (set, loss) in sets.iter().zip(&losses) {
            assert!((loss - widest).abs() <= 1e-3 * widest, "{network:?}, {set}: {loss}, {widest} with the widest");
        }
    }
}

#[test]
fn gradients_hold_in_every_set() {
    for set in sets() {
        for op in ["conv2d", "norm", "linear"] {
            bbh(&["gradcheck", "--op", op]).env("BBH_VECTORS", &set).assert().success();
        }
    }
}
