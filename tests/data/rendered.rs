//! Synthetic digits and letters: reproducible, balanced, readable, hard enough.

use bbh::data::synthetic::{self, SIDE};
use bbh::data::{ImageSet, SyntheticConfig, load, load_ood};

use super::{SMALL, sha256};

#[test]
fn an_image_depends_on_the_seed_and_its_index_alone() {
    let set = load("synthetic", None, SMALL).unwrap();
    let longer = SyntheticConfig { train: 1000, ..SMALL };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for threads in [1, 3] {
        let again = pool(threads).install(|| load("synthetic", None, longer).unwrap());
        assert!(again.train.take(SMALL.train) == set.train, "{threads} threads");
    }
    let other = load("synthetic", None, SyntheticConfig { seed: 12, ..SMALL }).unwrap();
    assert!((0..SMALL.test).all(|i| other.test.image(i) != set.test.image(i)));
    assert!((0..SMALL.test).all(|i| set.train.image(i) != set.test.image(i)));
}

#[test]
fn absurd_numbers_of_images_are_refused() {
    for (train, test) in [(usize::MAX, 1), (1, usize::MAX), (0, 1), (1, 0)] {
        let config = SyntheticConfig { train, test, seed: 0 };
        let error = load("synthetic", None, config).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("synthetic"), "{error}");
    }
    let like = load("synthetic", None, SMALL).unwrap().train;
    let config = SyntheticConfig { test: usize::MAX, ..SMALL };
    for name in ["letters", "uniform"] {
        assert!(load_ood(name, None, &like, config).is_err(), "{name}");
    }
}

/// Arithmetic that is exact on every platform gives one digest everywhere.
#[test]
fn synthetic_bytes_are_the_same_on_every_platform() {
    let set = load("synthetic", None, SMALL).unwrap();
    let letters = synthetic::letters(SMALL);
    let bytes = [set.train.images, set.train.labels, letters.images, letters.labels].concat();
    assert_eq!(sha256(&bytes), "9cc8b57b6096016bf81c1c97fbc2b4d882f4357567b6e874ae2341e9ff2e3626");
}

#[test]
fn classes_are_balanced_and_in_random_order() {
    let labels = load("synthetic", None, SMALL).unwrap().train.labels;
    for class in 0..10 {
        assert_eq!(labels.iter().filter(|&&label| label == class).count(), 30, "{class}");
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
            let inside = (0..SIDE * SIDE).filter(|&p| bright(p / SIDE, p % SIDE)).count();
            let edge = (0..SIDE).filter(|&p| bright(0, p) || bright(27, p) || bright(p, 0) || bright(p, 27));
            assert!((12..400).contains(&inside), "{name} {i}: {inside} bright pixels");
            assert!(edge.count() < 12, "{name} {i} is cut off");
        }
    }
}

/// Softmax regression by stochastic gradient descent with momentum; returns the test accuracy.
fn linear_accuracy(train: &ImageSet, test: &ImageSet, epochs: usize) -> f64 {
    let size = train.image_len();
    let scaled = |set: &ImageSet| set.images.iter().map(|&byte| f32::from(byte) / 255.0).collect::<Vec<f32>>();
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
        let best = (0..10).fold(0, |best, class| if s[class] > s[best] { class } else { best });
        best == usize::from(test.labels[i])
    });
    right.count() as f64 / test.len() as f64
}

/// A linear classifier learns the digits in part only; a LeNet reaches about 99 %.
#[test]
fn linear_classifier_stays_well_below_a_lenet() {
    let config = SyntheticConfig { train: 10_000, test: 2_000, seed: 1 };
    let set = load("synthetic", None, config).unwrap();
    let accuracy = linear_accuracy(&set.train, &set.test, 10);
    println!("linear classifier on synthetic digits: {:.1} %", 100.0 * accuracy);
    assert!((0.80..0.90).contains(&accuracy), "{accuracy}");
}
