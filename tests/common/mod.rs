//! What several test programs share: small data sets on disk, runs of the real binary, tensors of a checkpoint.
#![allow(dead_code)]

use assert_cmd::Command;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Writes the four IDX files of a set of `train` and `test` images, 16x16, 3 classes: a bright bar whose place tells the
/// class, on noise.
pub fn write_set(folder: &Path, train: usize, test: usize) {
    fs::create_dir_all(folder).unwrap();
    for (name, count, first) in [("train", train, 0), ("t10k", test, 100_000)] {
        let mut images = vec![0, 0, 8, 3];
        let mut labels = vec![0, 0, 8, 1];
        for size in [count, 16, 16] {
            images.extend((size as u32).to_be_bytes());
        }
        labels.extend((count as u32).to_be_bytes());
        for i in first..first + count {
            let class = (i * 7 + i / 5) % 3;
            labels.push(class as u8);
            for pixel in 0..256_usize {
                let noise = ((i * 256 + pixel) as u32).wrapping_mul(2_654_435_761) >> 26;
                let bar = if pixel / 16 / 5 == class { 120 } else { 0 };
                images.push(noise as u8 + bar);
            }
        }
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// The binary, with a data folder that does not exist.
pub fn bbh(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("bbh").unwrap();
    command.args(args).env("BBH_DATA", "/nonexistent");
    command
}

/// Settings of a run of well under a second an epoch.
pub const SMALL: [&str; 12] = [
    "--model",
    "mlp",
    "--mlp-units",
    "12",
    "--hidden-units",
    "8,16",
    "--batch",
    "20",
    "--ood",
    "none",
    "--eval-samples",
    "10",
];

/// Name and bytes of every tensor of a safetensors file.
pub fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

/// metrics.jsonl without the figures that depend on the clock.
pub fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let without_clock = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let object = value.as_object_mut().unwrap();
        object.remove("seconds");
        object.remove("images_per_second");
        value
    };
    text.lines().map(without_clock).collect()
}

/// Elements open and close in order, and attributes are quoted.
pub fn assert_well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in svg.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{tag}>");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{open:?}");
    let ampersands = svg.match_indices('&').map(|(at, _)| &svg[at..]);
    for text in ampersands {
        assert!(["&lt;", "&gt;", "&amp;", "&quot;"].iter().any(|entity| text.starts_with(entity)));
    }
}
