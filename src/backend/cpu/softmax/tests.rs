use super::*;

const SHAPES: [(usize, usize, usize); 6] = [(5, 201, 10), (1, 1, 3), (2, 17, 10), (5, 65, 5), (5, 33, 1), (37, 33, 3)];

fn dims((samples, rows, classes): (usize, usize, usize)) -> SoftmaxDims {
    SoftmaxDims { samples: samples as u32, rows: rows as u32, classes: classes as u32 }
}

fn numbers(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| 2.0 * (i as f64 * 0.731 + phase).sin()).collect()
}

fn to32(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

fn close<T: Real>(found: &[T], expected: &[f64], tolerance: f64, what: &str) {
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f.f64() - e).abs() <= tolerance * e.abs().max(1.0), "{what}: element {i} is {f:?}, not {e}");
    }
}

/// softmax(x), straight from its definition.
fn reference(classes: usize, x: &[f64]) -> Vec<f64> {
    let row = |x: &[f64]| {
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        x.iter().map(|x| x.exp() / sum).collect::<Vec<_>>()
    };
    x.chunks(classes).flat_map(row).collect()
}

/// Mean over samples of softmax(x).
fn mixture((samples, rows, classes): (usize, usize, usize), x: &[f64]) -> Vec<f64> {
    let p = reference(classes, x);
    (0..rows * classes).map(|i| p.iter().skip(i).step_by(rows * classes).sum::<f64>() / samples as f64).collect()
}

/// Compares a gradient kernel (f64 and f32, Set and Add) with central differences of `value`.
fn check_gradient(
    what: &str,
    x: &[f64],
    value: impl Fn(&[f64]) -> f64,
    run64: impl Fn(bool, &mut [f64]),
    run32: impl Fn(bool, &mut [f32]),
) {
    let h = 1e-5;
    let slope = |i: usize| {
        let at = |h: f64| {
            let mut x = x.to_vec();
            x[i] += h;
            value(&x)
        };
        (at(h) - at(-h)) / (2.0 * h)
    };
    for add in [false, true] {
        let expected: Vec<f64> = (0..x.len()).map(|i| slope(i) + if add { 3.0 } else { 0.0 }).collect();
        let mut dx = vec![3f64; x.len()];
        run64(add, &mut dx);
        close(&dx, &expected, 1e-8, what);
        let mut dx = vec![3f32; x.len()];
        run32(add, &mut dx);
        close(&dx, &expected, 1e-5, what);
    }
}

#[test]
fn softmax_and_its_gradient() {
    for shape in SHAPES {
        let (d, n) = (dims(shape), shape.0 * shape.1 * shape.2);
        let (x, dy) = (numbers(n, 0.1), numbers(n, 0.8));
        let expected = reference(shape.2, &x);
        for add in [false, true] {
            let shifted: Vec<f64> = expected.iter().map(|e| e + if add { 3.0 } else { 0.0 }).collect();
            let (mut y, mut y32) = (vec![3.0; n], vec![3f32; n]);
            probabilities(&d, add, &x, &mut y);
            probabilities(&d, add, &to32(&x), &mut y32);
            close(&y, &shifted, 1e-12, "softmax");
            close(&y32, &shifted, 1e-5, "softmax in f32");
        }
        if n > 1000 {
            continue;
        }
        check_gradient(
            "softmax gradient",
            &x,
            |x| reference(shape.2, x).iter().zip(&dy).map(|(y, dy)| y * dy).sum(),
            |add, dx| probabilities_grad(&d, add, &expected, &dy, dx),
            |add, dx| probabilities_grad(&d, add, &to32(&expected), &to32(&dy), dx),
        );
    }
}

#[test]
fn log_of_the_mean_softmax_and_its_gradient() {
    for shape in SHAPES {
        let (d, n, outputs) = (dims(shape), shape.0 * shape.1 * shape.2, shape.1 * shape.2);
        let (x, dy) = (numbers(n, 0.1), numbers(outputs, 0.8));
        let expected: Vec<f64> = mixture(shape, &x).iter().map(|m| m.ln()).collect();
        for add in [false, true] {
            let shifted: Vec<f64> = expected.iter().map(|e| e + if add { 3.0 } else { 0.0 }).collect();
            let (mut y, mut y32) = (vec![3.0; outputs], vec![3f32; outputs]);
            log_mean(&d, add, &x, &mut y);
            log_mean(&d, add, &to32(&x), &mut y32);
            close(&y, &shifted, 1e-12, "log mean");
            close(&y32, &shifted, 1e-5, "log mean in f32");
        }
        if n > 2000 {
            continue;
        }
        check_gradient(
            "log mean gradient",
            &x,
            |x| mixture(shape, x).iter().zip(&dy).map(|(m, dy)| m.ln() * dy).sum(),
            |add, dx| log_mean_backward(&d, add, &x, &dy, dx),
            |add, dx| log_mean_backward(&d, add, &to32(&x), &to32(&dy), dx),
        );
    }
}

/// Cross-entropy and weighted count of correct predictions of a mixture.
fn reference_loss(shape: (usize, usize, usize), x: &[f64], labels: &[u32], weights: &[f64]) -> [f64; 2] {
    let (mut loss, mut correct) = (0.0, 0.0);
    for (n, m) in mixture(shape, x).chunks(shape.2).enumerate() {
        let best = (0..shape.2).fold(0, |best, c| if m[c] > m[best] { c } else { best });
        loss -= weights[n] * m[labels[n] as usize].ln();
        correct += if best == labels[n] as usize { weights[n] } else { 0.0 };
    }
    [loss / weights.iter().sum::<f64>(), correct]
}

#[test]
fn cross_entropy_of_the_mixture_and_its_gradient() {
    for shape in SHAPES {
        let (d, n) = (dims(shape), shape.0 * shape.1 * shape.2);
        let x = numbers(n, 0.1);
        let labels: Vec<u32> = (0..shape.1).map(|n| (n * 7 % shape.2) as u32).collect();
        // The last row is padding.
        let weights: Vec<f64> = (0..shape.1).map(|n| if n > 0 && n + 1 == shape.1 { 0.0 } else { 1.0 }).collect();
        let expected = reference_loss(shape, &x, &labels, &weights);
        close(&cross_entropy(&d, &x, &labels, &weights), &expected, 1e-12, "cross-entropy");
        close(&cross_entropy(&d, &to32(&x), &labels, &to32(&weights)), &expected, 1e-5, "cross-entropy in f32");
        if n > 2000 {
            continue;
        }
        check_gradient(
            "cross-entropy gradient",
            &x,
            |x| 0.7 * reference_loss(shape, x, &labels, &weights)[0],
            |add, dx| cross_entropy_grad(&d, add, &x, &labels, &weights, 0.7, dx),
            |add, dx| cross_entropy_grad(&d, add, &to32(&x), &labels, &to32(&weights), 0.7, dx),
        );
    }
}

#[test]
fn the_mean_probability_decides_not_one_sample() {
    // Samples 0 and 1 prefer class 0 weakly, sample 2 class 1 strongly: means 0.36 and 0.64.
    let x = [0.54, 0.46, 0.54, 0.46, 0.01, 0.99].map(f64::ln);
    let d = dims((3, 1, 2));
    assert_eq!(cross_entropy(&d, &x, &[1], &[1.0])[1], 1.0);
    assert_eq!(cross_entropy(&d, &x, &[0], &[1.0])[1], 0.0);
}

#[test]
fn large_logits_neither_overflow_nor_vanish() {
    let x = [0f32, 800.0, 0.0, 900.0];
    let d = dims((2, 1, 2));
    let [loss, _] = cross_entropy(&d, &x, &[0], &[1f32]);
    assert!((loss - (800.0 + 2f64.ln())).abs() <= 1e-3, "{loss}");
    let mut dx = [0f32; 4];
    cross_entropy_grad(&d, false, &x, &[0], &[1f32], 1.0, &mut dx);
    close(&dx, &[-1.0, 1.0, 0.0, 0.0], 1e-5, "gradient");
    let mut y = [0f32; 2];
    log_mean(&d, false, &x, &mut y);
    close(&y, &[-(800.0 + 2f64.ln()), 0.0], 1e-6, "log mean");
}

#[test]
fn without_weight_the_loss_is_zero_and_not_a_number_shows() {
    let d = dims((1, 1, 2));
    assert_eq!(cross_entropy(&d, &[f64::NAN, 1.0], &[0], &[0.0]), [0.0, 0.0]);
    let mut dx = [1.0; 2];
    cross_entropy_grad(&d, false, &[1.0, 2.0], &[0], &[0.0], 1.0, &mut dx);
    assert_eq!(dx, [0.0, 0.0]);
    assert!(cross_entropy(&d, &[f64::NAN, 1.0], &[0], &[1.0])[0].is_nan());
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let shape = (5, 1000, 10);
    let (d, n) = (dims(shape), 5 * 1000 * 10);
    let x = to32(&numbers(n, 0.1));
    let labels: Vec<u32> = (0..1000).map(|n| n % 10).collect();
    let weights = vec![1f32; 1000];
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut dx = vec![0f32; n];
            cross_entropy_grad(&d, false, &x, &labels, &weights, 1.0, &mut dx);
            (cross_entropy(&d, &x, &labels, &weights).map(f64::to_bits), dx)
        })
    };
    let one = run(1);
    assert!([2, 3].map(run).iter().all(|other| *other == one));
}
