//! CIFAR-10: folder and archive, the names `cifar10`, `cifar5` and `cifar5-rest`, what is said about missing and wrong files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use bbh::data::{DataSet, ImageSet, load, load_first, load_ood};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::{SMALL, real_data};

const FOLDER: &str = "cifar-10-batches-bin";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";
const BATCHES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
const RECORD: usize = 3073;

/// Record `index` of batch `batch`: the label is (3 batch + index) % 10, the planes tell batch, index and place.
fn record(batch: usize, index: usize) -> Vec<u8> {
    let label = (3 * batch + index) % 10;
    let mut record = vec![label as u8];
    record.extend([batch as u8; 1024]);
    record.extend([index as u8; 1024]);
    record.extend((0..1024).map(|at| (at % 256) as u8));
    record
}

/// A batch of 10 records.
fn batch(batch: usize) -> Vec<u8> {
    (0..10).flat_map(|index| record(batch, index)).collect()
}

/// A data folder with all batches of 10 records.
fn unpacked() -> TempDir {
    let root = TempDir::new().unwrap();
    let folder = root.path().join(FOLDER);
    fs::create_dir(&folder).unwrap();
    BATCHES.iter().enumerate().for_each(|(i, name)| fs::write(folder.join(name), batch(i)).unwrap());
    root
}

/// The archive of the batches of [`unpacked`], those of `names`.
fn archive(names: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for name in names {
        let index = BATCHES.iter().position(|batch| batch == name).unwrap_or(0);
        let bytes = batch(index);
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{FOLDER}/{name}"), bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn cifar(name: &str, root: &Path) -> DataSet {
    load(name, Some(root), SMALL).unwrap()
}

fn refused(name: &str, root: &Path, parts: &[&str]) {
    let error = load(name, Some(root), SMALL).unwrap_err();
    let text = error.to_string();
    assert!(error.exit_code() == 2 && !text.contains('\n'), "{text}");
    parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
}

#[test]
fn all_batches_in_order() {
    let root = unpacked();
    let set = cifar("cifar10", root.path());
    assert_eq!((set.name.as_str(), set.train.shape(), set.train.classes), ("cifar10", [3, 32, 32], 10));
    assert_eq!((set.train.len(), set.test.len()), (50, 10));
    for (i, label) in set.train.labels.iter().enumerate() {
        let expected = record(i / 10, i % 10);
        assert_eq!((*label, set.train.image(i)), (expected[0], &expected[1..]), "{i}");
    }
    assert_eq!(set.test.image(9), &record(5, 9)[1..]);
}

#[test]
fn cifar5_is_the_first_five_classes_and_the_rest_the_others() {
    let root = unpacked();
    let (whole, half) = (cifar("cifar10", root.path()), cifar("cifar5", root.path()));
    let rest = load_ood("cifar5-rest", Some(root.path()), &half.test, SMALL).unwrap();
    assert_eq!((half.train.classes, half.test.classes, rest.classes), (5, 5, 5));
    assert_eq!((half.train.len(), half.test.len(), rest.len()), (25, 5, 5));
    let part = |set: &ImageSet, first: u8| {
        let of = |i: &usize| (first..first + 5).contains(&set.labels[*i]);
        (0..set.len()).filter(of).map(|i| (set.labels[i] - first, set.image(i).to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(part(&half.train, 0), part(&whole.train, 0));
    assert_eq!(part(&half.test, 0), part(&whole.test, 0));
    assert_eq!(part(&rest, 0), part(&whole.test, 5));
}

#[test]
fn the_archive_reads_as_the_folder_does() {
    let folder = unpacked();
    let packed = TempDir::new().unwrap();
    let bytes = archive(&BATCHES);
    let beside = packed.path().join(ARCHIVE);
    let inside = packed.path().join(FOLDER).join(ARCHIVE);
    fs::create_dir(packed.path().join(FOLDER)).unwrap();
    for path in [&beside, &inside] {
        fs::write(path, &bytes).unwrap();
        for name in ["cifar10", "cifar5"] {
            assert!(cifar(name, packed.path()) == cifar(name, folder.path()), "{name} {}", path.display());
        }
        let like = cifar("cifar10", folder.path()).test;
        let rest = |root: &Path| load_ood("cifar5-rest", Some(root), &like, SMALL).unwrap();
        assert!(rest(packed.path()) == rest(folder.path()));
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn folder_and_archive_by_path_are_all_ten_classes() {
    let root = unpacked();
    let named = cifar("cifar10", root.path());
    let file = root.path().join("mine.tar.gz");
    fs::write(&file, archive(&BATCHES)).unwrap();
    for path in [root.path().join(FOLDER), file] {
        let set = load(path.to_str().unwrap(), None, SMALL).unwrap();
        assert!(set.train.images == named.train.images && set.test.labels == named.test.labels);
        assert_eq!(set.name, path.file_name().unwrap().to_str().unwrap());
        let ood = load_ood(path.to_str().unwrap(), None, &named.test, SMALL).unwrap();
        assert!(ood.images == named.test.images);
    }
}

#[test]
fn missing_files_are_named_with_the_remedy() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join(FOLDER).display().to_string();
    refused("cifar5", root.path(), &[&folder, "data_batch_1.bin", "test_batch.bin", ARCHIVE, "bbh data fetch cifar10"]);
    let root = unpacked();
    let folder = root.path().join(FOLDER);
    for name in BATCHES {
        fs::rename(folder.join(name), folder.join("away")).unwrap();
        refused("cifar10", root.path(), &[folder.to_str().unwrap(), name, "bbh data fetch cifar10"]);
        fs::rename(folder.join("away"), folder.join(name)).unwrap();
    }
    fs::write(root.path().join("five.tar.gz"), archive(&BATCHES[..5])).unwrap();
    let path = root.path().join("five.tar.gz").display().to_string();
    refused(&path, root.path(), &[&path, "test_batch.bin"]);
}

#[test]
fn batches_past_the_limit_may_be_missing() {
    let root = unpacked();
    let whole = cifar("cifar5", root.path());
    fs::remove_file(root.path().join(FOLDER).join("data_batch_5.bin")).unwrap();
    refused("cifar5", root.path(), &["data_batch_5.bin", "--train-limit 20"]);
    for limit in [20, 7] {
        let some = load_first("cifar5", Some(root.path()), SMALL, limit).unwrap();
        assert!(some.train == whole.train.clone().take(limit) && some.test == whole.test);
    }
    assert!(load_first("cifar5", Some(root.path()), SMALL, 21).is_err());
}

#[test]
fn damaged_batches_are_named() {
    let root = unpacked();
    let file = root.path().join(FOLDER).join("data_batch_3.bin");
    let whole = fs::read(&file).unwrap();
    let mut high = whole.clone();
    high[4 * RECORD] = 10;
    let cases = [
        (whole[..whole.len() - 1].to_vec(), "9 records and 3072 bytes over"),
        (Vec::new(), "found 0 bytes"),
        (whole[1..].to_vec(), "3072 bytes over"),
        (high, "found 10 in record 4"),
    ];
    for (bytes, expected) in cases {
        fs::write(&file, bytes).unwrap();
        refused("cifar5", root.path(), &[file.to_str().unwrap(), expected, "bbh data fetch cifar10"]);
    }
}

#[test]
fn wrong_archives_and_sets_without_the_classes_are_explained() {
    let root = TempDir::new().unwrap();
    let file = root.path().join(ARCHIVE);
    let name = file.to_str().unwrap();
    fs::write(&file, b"<html>moved</html>").unwrap();
    refused("cifar10", root.path(), &[name, "gzipped tar archive", "bbh data fetch cifar10"]);
    fs::write(&file, archive(&["data_batch_1", "test_batch"])).unwrap();
    refused("cifar10", root.path(), &[name, "found none of them", "Python"]);

    let root = unpacked();
    let upper: Vec<u8> = (0..10).map(|i| record(5, i)).filter(|r| r[0] > 4).flatten().collect();
    fs::write(root.path().join(FOLDER).join("test_batch.bin"), upper).unwrap();
    refused("cifar5", root.path(), &["classes 0 to 4", "cifar5", "found none"]);
}

#[test]
fn other_shapes_do_not_serve_as_out_of_distribution_sets() {
    let root = unpacked();
    let digits = load("synthetic", None, SMALL).unwrap().test;
    let text = load_ood("cifar5-rest", Some(root.path()), &digits, SMALL).unwrap_err().to_string();
    assert!(text.contains("[1, 28, 28]") && text.contains("[3, 32, 32]"), "{text}");
    let half = cifar("cifar5", root.path()).test;
    assert_eq!(load_ood("uniform", None, &half, SMALL).unwrap().shape(), [3, 32, 32]);
}

/// The real images, unpacked by the script that lies beside them, or `None` (said aloud) where that is not possible.
fn real_cifar(test: &str) -> Option<TempDir> {
    let script: PathBuf = real_data(test)?.join("expand_cifar.py");
    let root = TempDir::new().unwrap();
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let run = Command::new(python).arg(&script).arg(root.path()).args(["--batches", "1"]).output();
    if run.as_ref().is_ok_and(|run| run.status.success()) {
        return Some(root);
    }
    let why = run.map_or_else(|e| e.to_string(), |run| String::from_utf8_lossy(&run.stderr).into_owned());
    let why = why.trim().lines().last().unwrap_or("no reason given").to_string();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {} fails: {why}", script.display());
    None
}

#[test]
fn real_cifar5() {
    let Some(root) = real_cifar("real_cifar5") else {
        return;
    };
    let whole = load_first("cifar10", Some(root.path()), SMALL, 10_000).unwrap();
    assert_eq!((whole.train.len(), whole.test.len()), (10_000, 1000));
    // The first labels of the official files: frog, truck, truck, deer, car; cat, ship, ship, plane, frog.
    assert_eq!((&whole.train.labels[..5], &whole.test.labels[..5]), (&[6, 9, 9, 4, 1][..], &[3, 8, 8, 0, 6][..]));
    let half = load_first("cifar5", Some(root.path()), SMALL, 5000).unwrap();
    let rest = load_ood("cifar5-rest", Some(root.path()), &half.test, SMALL).unwrap();
    assert_eq!((half.train.len(), half.test.len() + rest.len()), (5000, 1000));
    assert_eq!((half.train.labels[0], half.train.image(0)), (4, whole.train.image(3)));
    // The mean of natural images: red above blue, all about a half.
    let mean = |plane: usize| {
        let planes = half.train.images.chunks_exact(1024).skip(plane).step_by(3).flatten();
        planes.map(|&byte| f64::from(byte)).sum::<f64>() / (5000.0 * 1024.0)
    };
    let (red, blue) = (mean(0), mean(2));
    assert!(red > blue && red < 150.0 && blue > 100.0, "{red} {blue}");
}
