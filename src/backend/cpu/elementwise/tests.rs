use super::*;

const LENGTHS: [usize; 6] = [1, 3, 17, 65, 2 * CHUNK, 3 * CHUNK + 5];

/// Numbers in (-2, 2) of either sign, without zeros.
fn numbers(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| 2.0 * (i as f64 * 0.731 + phase).sin()).collect()
}

fn to<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::of(x)).collect()
}

fn close<T: Real>(found: &[T], expected: &[f64], tolerance: f64, what: &str) {
    let largest = expected.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f.f64() - e).abs() <= tolerance * largest, "{what}: element {i} is {f:?}, not {e}");
    }
}

/// Runs a kernel that writes one tensor in f32 and f64, with Set and Add, and compares.
fn check(what: &str, expected: &[f64], run32: impl Fn(bool, &mut [f32]), run64: impl Fn(bool, &mut [f64])) {
    for add in [false, true] {
        let before = if add { 3.0 } else { 0.0 };
        let shifted: Vec<f64> = expected.iter().map(|e| e + before).collect();
        let mut y = vec![3f32; expected.len()];
        run32(add, &mut y);
        close(&y, &shifted, 1e-5, what);
        let mut y = vec![3f64; expected.len()];
        run64(add, &mut y);
        close(&y, &shifted, 1e-12, what);
    }
}

type Case = (Unary, fn(f64) -> f64);

fn functions() -> [Case; 11] {
    [
        (Unary::Identity, |x| x),
        (Unary::Relu, |x| x.max(0.0)),
        (Unary::LeakyRelu(0.25), |x| if x > 0.0 { x } else { 0.25 * x }),
        (Unary::Tanh, f64::tanh),
        (Unary::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        (Unary::Exp, f64::exp),
        (Unary::Log, f64::ln),
        (Unary::Sign, f64::signum),
        (Unary::Affine(1.5, -0.5), |x| 1.5 * x - 0.5),
        (Unary::Square, |x| x * x),
        (Unary::Softplus, |x| (1.0 + x.exp()).ln()),
    ]
}

#[test]
fn functions_agree_with_the_standard_library() {
    for n in LENGTHS {
        for (function, f) in functions() {
            let mut x = numbers(n, 0.3);
            if function == Unary::Log {
                x.iter_mut().for_each(|x| *x = x.abs() + 0.1);
            }
            let expected: Vec<f64> = x.iter().map(|&x| f(x)).collect();
            let (narrow, wide) = (to::<f32>(&x), x.clone());
            check(
                &format!("{function:?} of {n}"),
                &expected,
                |add, y| apply(function, add, &narrow, y),
                |add, y| apply(function, add, &wide, y),
            );
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    for (function, f) in functions().into_iter().filter(|(function, _)| *function != Unary::Sign) {
        for n in [1, 17, 3 * CHUNK + 5] {
            let mut x = numbers(n, 0.3);
            if function == Unary::Log {
                x.iter_mut().for_each(|x| *x = x.abs() + 0.1);
            }
            let dy = numbers(n, 1.1);
            let source: Vec<f64> =
                if function.gradient_from_output() { x.iter().map(|&x| f(x)).collect() } else { x.clone() };
            let h = 1e-6;
            let expected: Vec<f64> = x.iter().zip(&dy).map(|(&x, dy)| dy * (f(x + h) - f(x - h)) / (2.0 * h)).collect();
            for add in [false, true] {
                let shifted: Vec<f64> = expected.iter().map(|e| e + if add { 3.0 } else { 0.0 }).collect();
                let mut dx = vec![3.0; n];
                apply_grad(function, add, &source, &dy, &mut dx);
                close(&dx, &shifted, 1e-7, &format!("gradient of {function:?}"));
                let mut dx = vec![3f32; n];
                apply_grad(function, add, &to::<f32>(&source), &to::<f32>(&dy), &mut dx);
                close(&dx, &shifted, 1e-5, &format!("f32 gradient of {function:?}"));
            }
        }
    }
}

#[test]
fn not_a_number_passes_through() {
    for (function, _) in functions() {
        let mut y = [0.0];
        apply(function, false, &[f64::NAN], &mut y);
        assert!(y[0].is_nan(), "{function:?}");
    }
}

#[test]
fn two_tensors_and_constants() {
    for n in LENGTHS {
        let (a, b) = (numbers(n, 0.1), numbers(n, 0.9));
        let expected: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - 0.5 * b).collect();
        let (a32, b32) = (to::<f32>(&a), to::<f32>(&b));
        check(
            "a - b / 2",
            &expected,
            |add, y| map2(add, &a32, &b32, y, |a, b| a - 0.5 * b),
            |add, y| map2(add, &a, &b, y, |a, b| a - 0.5 * b),
        );
        check("constant", &vec![0.75; n], |add, y| map0(add, y, 0.75), |add, y| map0(add, y, 0.75));
    }
}

#[test]
fn scaling_leaves_what_lies_between_blocks() {
    for (samples, len, stride) in [(1, 5, 5), (2, 17, 20), (5, 33, 40)] {
        let x = numbers(samples * len, 0.2);
        for add in [false, true] {
            let mut y = vec![3.0; (samples - 1) * stride + len + 2];
            scale_blocks(
                add,
                Strided::from_slice(&x, samples, len, len),
                StridedMut::from_slice(&mut y, samples, len, stride),
                0.5,
            );
            for (i, y) in y.iter().enumerate() {
                let (s, j) = (i / stride, i % stride);
                let inside = s < samples && j < len;
                let before = if add || !inside { 3.0 } else { 0.0 };
                let expected = before + if inside { 0.5 * x[s * len + j] } else { 0.0 };
                assert!((y - expected).abs() <= 1e-15, "element {i}: {y}, not {expected}");
            }
        }
    }
}

#[test]
fn sums_are_exact_to_rounding_and_the_same_for_any_number_of_threads() {
    for n in [1, 31, 33, CHUNK + 1, 5 * CHUNK + 7, 200 * CHUNK + 1] {
        let x = to::<f32>(&numbers(n, 0.2));
        // Neumaier's compensated sum.
        let (mut expected, mut compensation) = (0.0f64, 0.0f64);
        for v in x.iter().map(|&x| f64::from(x)) {
            let next = expected + v;
            let (large, small) = if expected.abs() >= v.abs() { (expected, v) } else { (v, expected) };
            compensation += (large - next) + small;
            expected = next;
        }
        let in_pool = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_of(&x, |x| x.f64()))
        };
        let found = in_pool(1);
        assert!((found - (expected + compensation)).abs() <= 1e-9, "{n}: {found}, not {expected}");
        assert!([2, 3].map(in_pool).iter().all(|other| other.to_bits() == found.to_bits()), "{n}");
    }
}
