//! Data sets: real files, folders in the four-file layout, the synthetic digits and their difficulty.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bbh::data::synthetic::{self, SIDE};
use bbh::data::{ImageSet, SyntheticConfig, idx, load, load_ood};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const SMALL: SyntheticConfig = SyntheticConfig {
    train: 300,
    test: 100,
    seed: 11,
};

/// The folder with real data beside the repository, or `None` (said aloud) where it is absent.
fn real_data(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED {test}: ../shared/data absent");
    None
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn real_mnist() {
    let Some(root) = real_data("real_mnist") else {
        return;
    };
    let files = [
        (
            "train-images-idx3",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "train-labels-idx1",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            "t10k-images-idx3",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
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

/// IDX bytes.
fn encode(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    dims.iter()
        .for_each(|size| file.extend_from_slice(&size.to_be_bytes()));
    file.extend_from_slice(bytes);
    file
}

/// A folder with two images of 2 x 1 in training and one in test; `spelling` is `-` or `.`.
fn tiny_folder(spelling: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
    write(
        &format!("train-images{spelling}idx3-ubyte"),
        encode(&[2, 2, 1], &[1, 2, 3, 4]),
    );
    write(
        &format!("train-labels{spelling}idx1-ubyte"),
        encode(&[2], &[0, 2]),
    );
    write(
        &format!("t10k-images{spelling}idx3-ubyte"),
        encode(&[1, 2, 1], &[5, 6]),
    );
    write(
        &format!("t10k-labels{spelling}idx1-ubyte"),
        encode(&[1], &[1]),
    );
    folder
}

#[test]
fn both_spellings_of_the_four_files() {
    for spelling in ["-", "."] {
        let folder = tiny_folder(spelling);
        let set = load(folder.path().to_str().unwrap(), None, SMALL).unwrap();
        assert_eq!(
            (set.train.classes, set.test.classes, set.train.shape()),
            (3, 3, [1, 2, 1])
        );
        assert_eq!(
            (set.train.image(1), set.test.labels.as_slice()),
            (&[3, 4][..], &[1][..])
        );
    }
}

#[test]
fn wrong_folders_are_explained() {
    let cases = [
        (
            "t10k-labels-idx1-ubyte",
            encode(&[1], &[3]),
            "expected labels from 0 to 2, found 3 at index 0",
        ),
        (
            "train-labels-idx1-ubyte",
            encode(&[3], &[0, 1, 2]),
            "expected 2 labels",
        ),
        (
            "train-images-idx3-ubyte",
            encode(&[2], &[0, 1]),
            "expected images with 3 sizes",
        ),
        (
            "t10k-images-idx3-ubyte",
            encode(&[1, 1, 2], &[0, 1]),
            "found [1, 1, 2]",
        ),
    ];
    for (name, bytes, expected) in cases {
        let folder = tiny_folder("-");
        fs::write(folder.path().join(name), bytes).unwrap();
        let error = load(folder.path().to_str().unwrap(), None, SMALL).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(expected) && error.exit_code() == 2,
            "{name}: {text}"
        );
        assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    }
}

#[test]
fn missing_files_name_the_folder_the_spellings_and_the_remedy() {
    let root = TempDir::new().unwrap();
    let text = load("fashion-mnist", Some(root.path()), SMALL)
        .unwrap_err()
        .to_string();
    let folder = root.path().join("fashion-mnist").display().to_string();
    for part in [
        folder.as_str(),
        "train-images-idx3-ubyte.gz",
        "train-images.idx3-ubyte",
        "bbh data fetch fashion-mnist",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn out_of_distribution_sets_have_the_shape_of_the_training_set() {
    let like = load("synthetic", None, SMALL).unwrap().train;
    for name in ["letters", "uniform"] {
        let set = load_ood(name, None, &like, SMALL).unwrap();
        assert_eq!(
            (set.len(), set.shape()),
            (SMALL.test, like.shape()),
            "{name}"
        );
    }
    let noise = synthetic::uniform(SMALL, [3, 32, 32]);
    let mean = noise
        .images
        .iter()
        .map(|&byte| f64::from(byte))
        .sum::<f64>()
        / noise.images.len() as f64;
    assert!((mean - 127.5).abs() < 1.0, "{mean}");
    let folder = tiny_folder("-");
    let path = folder.path().to_str().unwrap();
    let text = load_ood(path, None, &like, SMALL).unwrap_err().to_string();
    assert!(
        text.contains("[1, 28, 28]") && text.contains("[1, 2, 1]"),
        "{text}"
    );
    assert!(
        load_ood("nowhere", None, &like, SMALL)
            .unwrap_err()
            .to_string()
            .contains("uniform")
    );
}

#[test]
fn an_image_depends_on_the_seed_and_its_index_alone() {
    let set = load("synthetic", None, SMALL).unwrap();
    let longer = SyntheticConfig {
        train: 1000,
        ..SMALL
    };
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    for threads in [1, 3] {
        let again = pool(threads).install(|| load("synthetic", None, longer).unwrap());
        assert!(
            again.train.take(SMALL.train) == set.train,
            "{threads} threads"
        );
    }
    let other = load("synthetic", None, SyntheticConfig { seed: 12, ..SMALL }).unwrap();
    assert!((0..SMALL.test).all(|i| other.test.image(i) != set.test.image(i)));
    assert!((0..SMALL.test).all(|i| set.train.image(i) != set.test.image(i)));
}

#[test]
fn absurd_numbers_of_images_are_refused() {
    for (train, test) in [(usize::MAX, 1), (1, usize::MAX), (0, 1), (1, 0)] {
        let config = SyntheticConfig {
            train,
            test,
            seed: 0,
        };
        let error = load("synthetic", None, config).unwrap_err();
        assert!(
            error.exit_code() == 2 && error.to_string().contains("synthetic"),
            "{error}"
        );
    }
    let like = load("synthetic", None, SMALL).unwrap().train;
    let config = SyntheticConfig {
        test: usize::MAX,
        ..SMALL
    };
    for name in ["letters", "uniform"] {
        assert!(load_ood(name, None, &like, config).is_err(), "{name}");
    }
}

/// Arithmetic that is exact on every platform gives one digest everywhere.
#[test]
fn synthetic_bytes_are_the_same_on_every_platform() {
    let set = load("synthetic", None, SMALL).unwrap();
    let letters = synthetic::letters(SMALL);
    let bytes = [
        set.train.images,
        set.train.labels,
        letters.images,
        letters.labels,
    ]
    .concat();
    assert_eq!(
        sha256(&bytes),
        "9cc8b57b6096016bf81c1c97fbc2b4d882f4357567b6e874ae2341e9ff2e3626"
    );
}

#[test]
fn classes_are_balanced_and_in_random_order() {
    let labels = load("synthetic", None, SMALL).unwrap().train.labels;
    for class in 0..10 {
        assert_eq!(
            labels.iter().filter(|&&label| label == class).count(),
            30,
            "{class}"
        );
    }
    assert_ne!(labels[..10], labels[10..20]);
}

#[test]
fn strokes_show_and_stay_inside() {
    let set = load("synthetic", None, SMALL).unwrap().train;
    let letters = synthetic::letters(SMALL);
    for (name, set) in [("digits", &set), ("letters", &letters)] {
        for i in 0..set.len() {
            let bright = |row: usize, column: usize| set.image(i)[row * SIDE + column] > 100;
            let inside = (0..SIDE * SIDE)
                .filter(|&p| bright(p / SIDE, p % SIDE))
                .count();
            let edge = (0..SIDE)
                .filter(|&p| bright(0, p) || bright(27, p) || bright(p, 0) || bright(p, 27));
            assert!(
                (12..400).contains(&inside),
                "{name} {i}: {inside} bright pixels"
            );
            assert!(edge.count() < 12, "{name} {i} is cut off");
        }
    }
}

/// Softmax regression by stochastic gradient descent with momentum; returns the test accuracy.
fn linear_accuracy(train: &ImageSet, test: &ImageSet, epochs: usize) -> f64 {
    let size = train.image_len();
    let scaled = |set: &ImageSet| {
        set.images
            .iter()
            .map(|&byte| f32::from(byte) / 255.0)
            .collect::<Vec<f32>>()
    };
    let (x, x_test) = (scaled(train), scaled(test));
    let (mut w, mut v) = (vec![0f32; 10 * (size + 1)], vec![0f32; 10 * (size + 1)]);
    let scores = |w: &[f32], x: &[f32]| -> Vec<f32> {
        let row = |r: &[f32]| r.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + r[size];
        w.chunks_exact(size + 1).map(row).collect()
    };
    let batch = 50;
    for epoch in 0..epochs {
        let rate = 0.05 * (1.0 - epoch as f32 / epochs as f32);
        for first in (0..train.len()).step_by(batch) {
            let mut gradient = vec![0f32; w.len()];
            for i in first..(first + batch).min(train.len()) {
                let image = &x[i * size..(i + 1) * size];
                let s = scores(&w, image);
                let top = s.iter().copied().fold(f32::MIN, f32::max);
                let exps: Vec<f32> = s.iter().map(|s| (s - top).exp()).collect();
                let sum: f32 = exps.iter().sum();
                for (class, row) in gradient.chunks_exact_mut(size + 1).enumerate() {
                    let hit = f32::from(u8::from(class == usize::from(train.labels[i])));
                    let d = (exps[class] / sum - hit) / batch as f32;
                    row.iter_mut().zip(image).for_each(|(g, x)| *g += d * x);
                    row[size] += d;
                }
            }
            for ((w, v), g) in w.iter_mut().zip(&mut v).zip(&gradient) {
                *v = 0.9 * *v + g;
                *w -= rate * *v;
            }
        }
    }
    let right = (0..test.len()).filter(|&i| {
        let s = scores(&w, &x_test[i * size..(i + 1) * size]);
        let best = (0..10).fold(
            0,
            |best, class| if s[class] > s[best] { class } else { best },
        );
        best == usize::from(test.labels[i])
    });
    right.count() as f64 / test.len() as f64
}

/// A linear classifier learns the digits in part only; a LeNet reaches about 99 %.
#[test]
fn linear_classifier_stays_well_below_a_lenet() {
    let config = SyntheticConfig {
        train: 10_000,
        test: 2_000,
        seed: 1,
    };
    let set = load("synthetic", None, config).unwrap();
    let accuracy = linear_accuracy(&set.train, &set.test, 10);
    println!(
        "linear classifier on synthetic digits: {:.1} %",
        100.0 * accuracy
    );
    assert!((0.80..0.90).contains(&accuracy), "{accuracy}");
}
