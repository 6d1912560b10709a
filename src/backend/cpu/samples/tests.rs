use super::*;

fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| (i as f64 * 0.731 + 0.2).sin()).collect()
}

fn to32(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

/// Runs a kernel on x in f32 and f64, with Set and Add, and compares.
fn check(
    what: &str,
    x: &[f64],
    expected: &[f64],
    run32: impl Fn(bool, &[f32], &mut [f32]),
    run64: impl Fn(bool, &[f64], &mut [f64]),
) {
    for add in [false, true] {
        let mut y32 = vec![3f32; expected.len()];
        let mut y64 = vec![3f64; expected.len()];
        run32(add, &to32(x), &mut y32);
        run64(add, x, &mut y64);
        for (i, e) in expected.iter().enumerate() {
            let e = e + if add { 3.0 } else { 0.0 };
            assert!((y64[i] - e).abs() <= 1e-12, "{what}: element {i} is {}, not {e}", y64[i]);
            assert!((f64::from(y32[i]) - e).abs() <= 1e-5, "{what}: f32 element {i} is {}, not {e}", y32[i]);
        }
    }
}

const ONE_HOT: [(usize, usize, usize); 4] = [(1, 1, 1), (2, 3, 8), (5, 130, 1), (5, 231, 17)];

#[test]
fn one_hot_follows_the_noise() {
    for (samples, conditions, noise) in ONE_HOT {
        let dims = OneHotDims { samples: samples as u32, conditions: conditions as u32, noise: noise as u32 };
        let z = numbers(samples * noise);
        let mut expected = Vec::new();
        for s in 0..samples {
            for c in 0..conditions {
                expected.extend_from_slice(&z[s * noise..(s + 1) * noise]);
                expected.extend((0..conditions).map(|i| if i == c { 1.0 } else { 0.0 }));
            }
        }
        check("one-hot", &z, &expected, |a, x, y| concat(&dims, a, x, y), |a, x, y| concat(&dims, a, x, y));
    }
}

#[test]
fn noise_gradient_is_the_sum_over_conditions() {
    for (samples, conditions, noise) in ONE_HOT {
        let dims = OneHotDims { samples: samples as u32, conditions: conditions as u32, noise: noise as u32 };
        let width = noise + conditions;
        let dy = numbers(samples * conditions * width);
        let mut expected = vec![0.0; samples * noise];
        for (row, dy) in dy.chunks(width).enumerate() {
            for i in 0..noise {
                expected[row / conditions * noise + i] += dy[i];
            }
        }
        check("gradient", &dy, &expected, |a, x, y| concat_grad(&dims, a, x, y), |a, x, y| concat_grad(&dims, a, x, y));
    }
}

#[test]
fn means_over_samples() {
    for (samples, inner) in [(1, 1), (2, 3), (5, 33), (5, 2 * BLOCK + 65), (33, 17), (37, BLOCK + 1)] {
        let dims = SampleDims { samples: samples as u32, inner: inner as u32 };
        let x = numbers(samples * inner);
        let column = |i: usize| (0..samples).map(|s| x[s * inner + i]).sum::<f64>() / samples as f64;
        let mean: Vec<f64> = (0..inner).map(column).collect();
        check("mean", &x, &mean, |a, x, y| mean_rows(&dims, a, x, y), |a, x, y| mean_rows(&dims, a, x, y));
        let centred: Vec<f64> = x.iter().enumerate().map(|(i, x)| x - mean[i % inner]).collect();
        check("centre", &x, &centred, |a, x, y| center_rows(&dims, a, x, y), |a, x, y| center_rows(&dims, a, x, y));
        let spread: Vec<f64> = (0..samples * inner).map(|i| x[i % inner] / samples as f64).collect();
        let dy = &x[..inner];
        check(
            "spread",
            dy,
            &spread,
            |a, x, y| mean_rows_grad(&dims, a, x, y),
            |a, x, y| mean_rows_grad(&dims, a, x, y),
        );
    }
}
