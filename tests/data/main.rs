//! Data sets: real files, folders in the four-file layout, the synthetic digits and their difficulty.

mod cifar;
mod rendered;

use std::fs;
use std::io::Read;
use std::io::Write;
use std::path::{Path, PathBuf};

use bbh::data::fetch::{Retry, Source, fetch, find};
use bbh::data::synthetic;
use bbh::data::{SyntheticConfig, idx, load, load_ood};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const SMALL: SyntheticConfig = SyntheticConfig { train: 300, test: 100, seed: 11 };

/// The folder with real data beside the repository, or `None` (said aloud) where it is absent.
fn real_data(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    // Not println: the harness hides what a passing test prints, and a skip must be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: ../shared/data absent");
    None
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn real_mnist() {
    let Some(root) = real_data("real_mnist") else {
        return;
    };
    let files = [
        ("train-images-idx3", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ("train-labels-idx1", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ("t10k-images-idx3", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ];
    for (name, expected) in files {
        let mut bytes = Vec::new();
        let path = root.join("mnist").join(format!("{name}-ubyte.gz"));
        idx::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(sha256(&bytes), expected, "{name}");
    }
    let set = load("mnist", Some(&root), SMALL).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (60_000, 10_000));
    assert_eq!((set.train.shape(), set.train.classes), ([1, 28, 28], 10));
    assert_eq!(set.train.labels[..5], [5, 0, 4, 1, 9]);
    assert_eq!(set.train.images.len(), 60_000 * 784);
    let same = load(root.join("mnist").to_str().unwrap(), None, SMALL).unwrap();
    assert!(same.train == set.train, "by path and by name");
}

#[test]
fn real_notmnist() {
    let Some(root) = real_data("real_notmnist") else {
        return;
    };
    let like = load("synthetic", None, SMALL).unwrap().test;
    let set = load_ood("notmnist", Some(&root), &like, SMALL).unwrap();
    assert_eq!((set.len(), set.shape()), (10_000, [1, 28, 28]));
}

/// Fetching into a copy of the real files asks no mirror: each file already satisfies the table.
#[test]
fn fetch_table_accepts_the_real_files() {
    let Some(root) = real_data("fetch_table_accepts_the_real_files") else {
        return;
    };
    for name in ["mnist", "notmnist"] {
        let copy = TempDir::new().unwrap();
        fs::create_dir(copy.path().join(name)).unwrap();
        for entry in fs::read_dir(root.join(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(name).join(entry.file_name())).unwrap();
        }
        let source = Source { mirrors: &[], ..find(name).unwrap() };
        fetch(&source, copy.path(), Retry::default(), &mut |_| {}).unwrap();
    }
}

/// IDX bytes.
fn encode(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|size| file.extend_from_slice(&size.to_be_bytes()));
    file.extend_from_slice(bytes);
    file
}

/// A folder with two images of 2 x 1 in training and one in test; `spelling` is `-` or `.`.
fn tiny_folder(spelling: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
    write(&format!("train-images{spelling}idx3-ubyte"), encode(&[2, 2, 1], &[1, 2, 3, 4]));
    write(&format!("train-labels{spelling}idx1-ubyte"), encode(&[2], &[0, 2]));
    write(&format!("t10k-images{spelling}idx3-ubyte"), encode(&[1, 2, 1], &[5, 6]));
    write(&format!("t10k-labels{spelling}idx1-ubyte"), encode(&[1], &[1]));
    folder
}

#[test]
fn both_spellings_of_the_four_files() {
    for spelling in ["-", "."] {
        let folder = tiny_folder(spelling);
        let set = load(folder.path().to_str().unwrap(), None, SMALL).unwrap();
        assert_eq!((set.train.classes, set.test.classes, set.train.shape()), (3, 3, [1, 2, 1]));
        assert_eq!((set.train.image(1), set.test.labels.as_slice()), (&[3, 4][..], &[1][..]));
    }
}

#[test]
fn wrong_folders_are_explained() {
    let cases = [
        ("t10k-labels-idx1-ubyte", encode(&[1], &[3]), "expected labels from 0 to 2, found 3 at index 0"),
        ("train-labels-idx1-ubyte", encode(&[3], &[0, 1, 2]), "expected 2 labels"),
        ("train-images-idx3-ubyte", encode(&[2], &[0, 1]), "expected images with 3 sizes"),
        ("t10k-images-idx3-ubyte", encode(&[1, 1, 2], &[0, 1]), "found [1, 1, 2]"),
    ];
    for (name, bytes, expected) in cases {
        let folder = tiny_folder("-");
        fs::write(folder.path().join(name), bytes).unwrap();
        let error = load(folder.path().to_str().unwrap(), None, SMALL).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected) && error.exit_code() == 2, "{name}: {text}");
        assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    }
}

#[test]
fn missing_files_name_the_folder_the_spellings_and_the_remedy() {
    let root = TempDir::new().unwrap();
    let text = load("fashion-mnist", Some(root.path()), SMALL).unwrap_err().to_string();
    let folder = root.path().join("fashion-mnist").display().to_string();
    for part in
        [folder.as_str(), "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte", "bbh data fetch fashion-mnist"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn out_of_distribution_sets_have_the_shape_of_the_training_set() {
    let like = load("synthetic", None, SMALL).unwrap().train;
    for name in ["letters", "uniform"] {
        let set = load_ood(name, None, &like, SMALL).unwrap();
        assert_eq!((set.len(), set.shape()), (SMALL.test, like.shape()), "{name}");
    }
    let noise = synthetic::uniform(SMALL, [3, 32, 32]);
    let mean = noise.images.iter().map(|&byte| f64::from(byte)).sum::<f64>() / noise.images.len() as f64;
    assert!((mean - 127.5).abs() < 1.0, "{mean}");
    let folder = tiny_folder("-");
    let path = folder.path().to_str().unwrap();
    let text = load_ood(path, None, &like, SMALL).unwrap_err().to_string();
    assert!(text.contains("[1, 28, 28]") && text.contains("[1, 2, 1]"), "{text}");
    assert!(load_ood("nowhere", None, &like, SMALL).unwrap_err().to_string().contains("uniform"));
}
