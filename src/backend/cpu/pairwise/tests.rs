use super::*;

const STREAM: Stream = Stream { key: [3, 4], stream: 9, step: 2 };

fn dims(samples: usize, weights: usize, first: usize, total: usize) -> PairwiseDims {
    PairwiseDims {
        samples: samples as u32,
        weights: weights as u32,
        first: first as u32,
        total: total as u32,
        stream: 9,
        prior_scale: 0.8,
    }
}

/// Generated vectors [S, D], nearer to each other than prior draws are, sample by sample.
fn vectors(samples: usize, weights: usize) -> Vec<f64> {
    (0..samples * weights).map(|i| (0.1 + 0.2 * (i / weights) as f64) * (i as f64 * 0.731 + 0.2).sin()).collect()
}

/// Draw `i` of the prior, the part's weights.
fn prior(d: &PairwiseDims, i: usize) -> Vec<f64> {
    let mut whole = vec![0.0; (d.samples * d.total) as usize];
    STREAM.normals_f64(0, &mut whole);
    let from = i * d.total as usize + d.first as usize;
    whole[from..from + d.weights as usize].iter().map(|p| p * f64::from(d.prior_scale)).collect()
}

fn reference(d: &PairwiseDims, w: &[f64]) -> Vec<f64> {
    let (samples, weights) = (d.samples as usize, d.weights as usize);
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let rows: Vec<&[f64]> = w.chunks(weights).collect();
    let mut out = Vec::new();
    for a in &rows {
        out.extend(rows.iter().map(|b| distance(a, b)));
    }
    for i in 0..samples {
        let p = prior(d, i);
        out.extend(rows.iter().map(|b| distance(&p, b)));
    }
    out
}

/// Weights with a gap between samples, as a strided region.
fn gapped<T: Real>(samples: usize, weights: usize, w: &[f64]) -> Vec<T> {
    let mut out = vec![T::of(7.0); samples * (weights + 3)];
    for s in 0..samples {
        for i in 0..weights {
            out[s * (weights + 3) + i] = T::of(w[s * weights + i]);
        }
    }
    out
}

fn distances_of<T: Real>(d: &PairwiseDims, w: &[f64], add: bool) -> Vec<f64> {
    let (samples, weights) = (d.samples as usize, d.weights as usize);
    let w = gapped::<T>(samples, weights, w);
    let mut out = vec![3.0; 2 * samples * samples];
    squared_distances(d, &STREAM, Strided::from_slice(&w, samples, weights, weights + 3), add, &mut out);
    out
}

const SHAPES: [(usize, usize, usize, usize); 7] = [
    (2, 1, 0, 1),
    (2, 3, 1, 7),
    (5, 17, 2, 40),
    (5, 513, 3, 516),
    (5, 70_001, 5, 70_100),
    (16, 1030, 0, 1030),
    (7, 33, 4, 37),
];

#[test]
fn distances_agree_with_stored_prior_draws() {
    for (samples, weights, first, total) in SHAPES {
        let d = dims(samples, weights, first, total);
        let w = vectors(samples, weights);
        let expected = reference(&d, &w);
        for add in [false, true] {
            let before = if add { 3.0 } else { 0.0 };
            let (wide, narrow) = (distances_of::<f64>(&d, &w, add), distances_of::<f32>(&d, &w, add));
            for (i, e) in expected.iter().enumerate() {
                let e = e + before;
                assert!((wide[i] - e).abs() <= 1e-12 * e.max(1.0), "{d:?}: {i} is {}, not {e}", wide[i]);
                assert!((narrow[i] - e).abs() <= 1e-5 * e.max(1.0), "{d:?}: f32 {i} is {}, not {e}", narrow[i]);
            }
        }
    }
}

#[test]
fn close_vectors_keep_their_distance() {
    // Distances of 1e-3 between vectors of length 200: |a|^2 + |b|^2 - 2 a.b would lose them in f32.
    let (samples, weights) = (2, 40_000);
    let mut w = vec![1.0; samples * weights];
    w[weights..].iter_mut().for_each(|w| *w += 2f64.powi(-17));
    let found = distances_of::<f32>(&dims(samples, weights, 0, weights), &w, false)[1];
    let expected = weights as f64 * 2f64.powi(-34);
    assert!((found - expected).abs() <= 1e-5 * expected, "{found}, not {expected}");
}

/// KL of vectors in parts, as the kernels give it, with partners and slopes.
fn divergence(parts: &[PairwiseDims], total: usize, w: &[f64]) -> (f64, Vec<u32>, Vec<f64>) {
    let samples = parts[0].samples as usize;
    let mut distances = Vec::new();
    for part in parts {
        let rows = w.chunks(total).flat_map(|row| &row[part.first as usize..(part.first + part.weights) as usize]);
        distances.extend(distances_of::<f64>(part, &rows.copied().collect::<Vec<_>>(), false));
    }
    let (mut partner, mut slope) = (vec![0; 2 * samples], vec![0.0; 2 * samples]);
    let d = NearestDims { samples: samples as u32, parts: parts.len() as u32, total: total as u32 };
    let kl = nearest(&d, &distances, &mut partner, &mut slope);
    (kl, partner, slope)
}

#[test]
fn divergence_follows_the_estimator() {
    for (samples, total) in [(2, 1), (2, 7), (5, 40), (16, 33)] {
        let whole = dims(samples, total, 0, total);
        let w = vectors(samples, total);
        let squared = reference(&whole, &w);
        let at = |kind: usize, i: usize, j: usize| squared[(kind * samples + i) * samples + j];
        let mut expected = (samples as f64 / (samples as f64 - 1.0)).ln();
        for j in 0..samples {
            let rho = (0..samples).filter(|&i| i != j).map(|i| (at(0, i, j) + 1e-8).sqrt()).fold(1e9, f64::min);
            let nu = (0..samples).map(|i| (at(1, i, j) + 1e-8).sqrt()).fold(1e9, f64::min);
            expected += total as f64 / samples as f64 * (nu / (rho + 1e-8) + 1e-8).ln();
        }
        let (kl, ..) = divergence(&[whole], total, &w);
        assert!((kl - expected).abs() <= 1e-10 * expected.abs().max(1.0), "{kl}, not {expected}");
        if total > 5 {
            let parts = [dims(samples, 3, 0, total), dims(samples, total - 3, 3, total)];
            let (in_parts, ..) = divergence(&parts, total, &w);
            assert!((in_parts - kl).abs() <= 1e-10 * kl.abs().max(1.0), "in parts {in_parts}, whole {kl}");
        }
    }
}

fn gradient<T: Real>(d: &PairwiseDims, w: &[f64], partner: &[u32], slope: &[f64], add: bool) -> Vec<T> {
    let (samples, weights) = (d.samples as usize, d.weights as usize);
    let stride = weights + 3;
    let w = gapped::<T>(samples, weights, w);
    let slope: Vec<T> = slope.iter().map(|&s| T::of(s)).collect();
    let neighbours = Neighbours { partner, slope: &slope, dkl: T::of(0.7) };
    let mut dw = vec![T::of(3.0); samples * stride];
    let view = StridedMut::from_slice(&mut dw, samples, weights, stride);
    squared_distances_grad(d, &STREAM, Strided::from_slice(&w, samples, weights, stride), &neighbours, add, view);
    assert!(dw.chunks(stride).all(|row| row[weights..].iter().all(|&gap| gap == T::of(3.0))), "wrote between samples");
    dw.chunks(stride).flat_map(|row| row[..weights].to_vec()).collect()
}

#[test]
fn gradient_agrees_with_central_differences() {
    for (samples, total) in [(2, 1), (2, 7), (5, 41), (16, 33)] {
        let whole = dims(samples, total, 0, total);
        let w = vectors(samples, total);
        let (_, partner, slope) = divergence(&[whole], total, &w);
        let h = 1e-6;
        let expected: Vec<f64> = (0..w.len())
            .map(|i| {
                let at = |h: f64| {
                    let mut w = w.clone();
                    w[i] += h;
                    divergence(&[whole], total, &w).0
                };
                0.7 * (at(h) - at(-h)) / (2.0 * h)
            })
            .collect();
        let largest = expected.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
        for add in [false, true] {
            let before = if add { 3.0 } else { 0.0 };
            let wide = gradient::<f64>(&whole, &w, &partner, &slope, add);
            let narrow = gradient::<f32>(&whole, &w, &partner, &slope, add);
            for (i, e) in expected.iter().enumerate() {
                let e = e + before;
                assert!((wide[i] - e).abs() <= 1e-7 * largest, "S = {samples}, {i}: {}, not {e}", wide[i]);
                assert!((f64::from(narrow[i]) - e).abs() <= 2e-5 * largest, "f32 {i}: {}, not {e}", narrow[i]);
            }
        }
    }
}

#[test]
fn equal_vectors_give_finite_slopes() {
    let w = vec![0.5; 2 * 9];
    let whole = dims(2, 9, 0, 9);
    let (kl, partner, slope) = divergence(&[whole], 9, &w);
    assert!(kl.is_finite() && slope.iter().all(|s| s.is_finite()), "{kl} {slope:?}");
    assert_eq!(partner[..2], [1, 0]);
    let dw = gradient::<f32>(&whole, &w, &partner, &slope, false);
    assert!(dw.iter().all(|g| g.is_finite()));
}

#[test]
fn not_a_number_in_the_weights_shows_in_the_divergence() {
    let mut w = vectors(3, 9);
    w[4] = f64::NAN;
    assert!(divergence(&[dims(3, 9, 0, 9)], 9, &w).0.is_nan());
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let d = dims(5, 100_003, 1, 100_010);
    let w = vectors(5, 100_003);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let distances = distances_of::<f32>(&d, &w, false);
            let dw = gradient::<f32>(&d, &w, &[1, 0, 0, 2, 1, 3, 3, 1, 0, 3], &[0.5; 10], false);
            (distances.into_iter().map(f64::to_bits).collect::<Vec<_>>(), dw)
        })
    };
    let one = run(1);
    assert!([2, 3].map(run).iter().all(|other| *other == one));
}
