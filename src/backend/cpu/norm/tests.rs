use super::super::test_support::{close, in_pools, pattern};
use super::*;

/// Samples, batch, channels, inner.
const SHAPES: [[u32; 4]; 5] = [[1, 1, 1, 1], [2, 3, 5, 9], [1, 100, 16, 144], [5, 7, 33, 36], [3, 65, 2, 17]];

fn all_dims() -> Vec<NormDims> {
    let mut all = Vec::new();
    for [samples, batch, channels, inner] in SHAPES {
        for [per_image, shared, relu] in [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]] {
            all.push(NormDims { samples, batch, channels, inner, per_image, shared, relu, epsilon: 1e-3 });
        }
    }
    all
}

/// x about 1, so that a variance from E[x^2] - E[x]^2 would show.
fn arguments<T: Real>(d: &NormDims) -> [Vec<T>; 4] {
    let elements = d.planes() * d.inner as usize;
    let affine = d.groups_of_samples();
    let x = pattern::<T>(elements, 1).into_iter().map(|x| x + T::ONE).collect();
    [x, pattern(affine, 2), pattern(affine, 3), pattern(elements, 4)]
}

fn forward_of<T: Real>(d: &NormDims) -> (Vec<T>, Vec<T>) {
    let [x, gamma, beta, _] = arguments::<T>(d);
    let (mut y, mut statistics) = (vec![T::of(f64::NAN); x.len()], vec![T::of(f64::NAN); d.statistics()]);
    forward_slices(&Affine { d, gamma: &gamma, beta: &beta }, &x, &mut y, &mut statistics);
    (y, statistics)
}

/// y by loops over the definition, in f64.
fn expected(d: &NormDims) -> Vec<f64> {
    let [x, gamma, beta, _] = arguments::<f64>(d);
    let (inner, channels, batch) = (d.inner as usize, d.channels as usize, d.batch as usize);
    let group = |i: usize| match d.per_image {
        1 => i / inner,
        _ => i / (inner * channels * batch) * channels + i / inner % channels,
    };
    let mut sums = vec![(0.0, 0.0); d.groups()];
    x.iter().enumerate().for_each(|(i, x)| sums[group(i)].0 += x / f64::from(d.group_elements()));
    for (i, x) in x.iter().enumerate() {
        let mean = sums[group(i)].0;
        sums[group(i)].1 += (x - mean).powi(2) / f64::from(d.group_elements());
    }
    let value = |(i, x): (usize, &f64)| {
        let (mean, variance) = sums[group(i)];
        let c = i / inner % channels;
        let at = if d.shared == 1 { c } else { i / (inner * channels * batch) * channels + c };
        let z = gamma[at] * (x - mean) / (variance + f64::from(d.epsilon)).sqrt() + beta[at];
        if d.relu == 1 { z.max(0.0) } else { z }
    };
    x.iter().enumerate().map(value).collect()
}

#[test]
fn normalises_as_defined() {
    for d in all_dims() {
        let expected = expected(&d);
        close(&forward_of::<f64>(&d).0, &expected, 0.0, 1e-12, &format!("{d:?} in f64"));
        close(&forward_of::<f32>(&d).0, &expected, 0.0, 2e-5, &format!("{d:?} in f32"));
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    for d in all_dims() {
        in_pools(|| {
            let [x, gamma, beta, dy] = arguments::<f32>(&d);
            let affine = Affine { d: &d, gamma: &gamma, beta: &beta };
            let (y, statistics) = forward_of::<f32>(&d);
            let mut dx = vec![0.5; x.len()];
            let mut partials = vec![f32::NAN; d.grad_partials()];
            let (planes, sums) = partials.split_at_mut(2 * d.planes());
            grad_slices::<f32, true>(&affine, (&x, &dy, &statistics), &mut dx, planes, sums);
            [y, statistics, dx, partials].concat()
        });
    }
}

/// dx, set or added to 1/2, then the sums of dz and of dz u of each (s, c).
fn gradients_of<T: Real, const ADD: bool>(d: &NormDims) -> Vec<T> {
    let [x, gamma, beta, dy] = arguments::<T>(d);
    let affine = Affine { d, gamma: &gamma, beta: &beta };
    let (mut dx, mut partials) = (vec![T::of(0.5); x.len()], vec![T::of(f64::NAN); d.grad_partials()]);
    let (planes, sums) = partials.split_at_mut(2 * d.planes());
    grad_slices::<T, ADD>(&affine, (&x, &dy, &forward_of::<T>(d).1), &mut dx, planes, sums);
    [&dx[..], sums].concat()
}

/// Gradient checks run in f64 alone, whose blocks are transposed by other instructions.
#[test]
fn gradients_in_f32_are_those_in_f64() {
    for d in all_dims() {
        close(&gradients_of::<f32, false>(&d), &gradients_of::<f64, false>(&d), 0.0, 2e-4, &format!("{d:?}, set"));
        close(&gradients_of::<f32, true>(&d), &gradients_of::<f64, true>(&d), 0.0, 2e-4, &format!("{d:?}, added to"));
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let d = NormDims { samples: 1, batch: 2, channels: 1, inner: 3, per_image: 1, shared: 1, relu: 1, epsilon: 1e-3 };
    let x = [1.0, f32::NAN, 2.0, 1.0, 2.0, 3.0];
    let (mut y, mut statistics) = ([0.0; 6], [0.0; 4]);
    forward_slices(&Affine { d: &d, gamma: &[1.0], beta: &[0.0] }, &x, &mut y, &mut statistics);
    assert!(y[..3].iter().all(|y| y.is_nan()) && y[3..].iter().all(|y| y.is_finite()), "{y:?}");
}
