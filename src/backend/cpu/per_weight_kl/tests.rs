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

fn vectors(samples: usize, weights: usize) -> Vec<f64> {
    (0..samples * weights).map(|i| (0.1 + 0.2 * (i / weights) as f64) * (i as f64 * 0.731 + 0.2).sin()).collect()
}

fn reference(d: &PairwiseDims, w: &[f64]) -> f64 {
    let (samples, weights) = (d.samples as usize, d.weights as usize);
    let mut prior = vec![0.0; (d.samples * d.total) as usize];
    STREAM.normals_f64(0, &mut prior);
    let mut kl = 0.0;
    for k in 0..weights {
        let w = |j: usize| w[j * weights + k];
        let p = |i: usize| prior[i * d.total as usize + d.first as usize + k] * f64::from(d.prior_scale);
        for j in 0..samples {
            let distance = |x: f64| ((w(j) - x).powi(2) + 1e-8).sqrt();
            let rho = (0..samples).filter(|&i| i != j).map(|i| distance(w(i))).fold(f64::INFINITY, f64::min);
            let nu = (0..samples).map(|i| distance(p(i))).fold(f64::INFINITY, f64::min);
            kl += (nu / (rho + 1e-8) + 1e-8).ln() / samples as f64;
        }
        kl += (samples as f64 / (samples as f64 - 1.0)).ln();
    }
    kl
}

fn value<T: Real>(d: &PairwiseDims, w: &[f64]) -> f64 {
    let w: Vec<T> = w.iter().map(|&w| T::of(w)).collect();
    divergence(d, &STREAM, Strided::from_slice(&w, d.samples as usize, d.weights as usize, d.weights as usize))
}

#[test]
fn divergence_agrees_with_stored_prior_draws() {
    for (samples, weights, first, total) in [(2, 1, 0, 1), (2, 3, 1, 7), (5, 70_001, 2, 70_010), (16, 1030, 0, 1030)] {
        let d = dims(samples, weights, first, total);
        let w = vectors(samples, weights);
        let expected = reference(&d, &w);
        let (wide, narrow) = (value::<f64>(&d, &w), value::<f32>(&d, &w));
        let scale = weights as f64;
        assert!((wide - expected).abs() <= 1e-12 * scale, "{d:?}: {wide}, not {expected}");
        assert!((narrow - expected).abs() <= 1e-4 * scale, "{d:?}: f32 {narrow}, not {expected}");
    }
}

fn gradient<T: Real>(d: &PairwiseDims, w: &[f64], add: bool) -> Vec<T> {
    let (samples, weights) = (d.samples as usize, d.weights as usize);
    let w: Vec<T> = w.iter().map(|&w| T::of(w)).collect();
    let mut dw = vec![T::of(3.0); samples * (weights + 3)];
    let view = StridedMut::from_slice(&mut dw, samples, weights, weights + 3);
    divergence_grad(d, &STREAM, Strided::from_slice(&w, samples, weights, weights), T::of(0.7), add, view);
    dw.chunks(weights + 3).flat_map(|row| row[..weights].to_vec()).collect()
}

#[test]
fn gradient_agrees_with_central_differences() {
    for (samples, weights, first, total) in [(2, 1, 0, 1), (2, 3, 1, 7), (5, 41, 2, 50), (16, 33, 0, 33)] {
        let d = dims(samples, weights, first, total);
        let w = vectors(samples, weights);
        let h = 1e-7;
        for add in [false, true] {
            let (wide, narrow) = (gradient::<f64>(&d, &w, add), gradient::<f32>(&d, &w, add));
            for i in 0..w.len() {
                let at = |h: f64| {
                    let mut w = w.clone();
                    w[i] += h;
                    reference(&d, &w)
                };
                let expected = 0.7 * (at(h) - at(-h)) / (2.0 * h) + if add { 3.0 } else { 0.0 };
                let scale = expected.abs().max(1.0);
                assert!((wide[i] - expected).abs() <= 1e-4 * scale, "{d:?} {i}: {}, not {expected}", wide[i]);
                assert!(
                    (f64::from(narrow[i]) - wide[i]).abs() <= 1e-2 * scale,
                    "f32 {i}: {}, not {}",
                    narrow[i],
                    wide[i]
                );
            }
        }
    }
}

#[test]
fn of_equally_near_samples_the_first_is_the_partner() {
    let d = dims(3, 1, 0, 1);
    let (tie, first_nearer) =
        (gradient::<f64>(&d, &[0.0, 0.5, -0.5], false), gradient::<f64>(&d, &[0.0, 0.4999, -0.5], false));
    for (i, (tie, near)) in tie.iter().zip(&first_nearer).enumerate() {
        assert!((tie - near).abs() <= 0.01, "sample {i}: {tie}, and {near} a little off the tie");
    }
}

#[test]
fn equal_weights_are_finite_and_not_a_number_shows() {
    let d = dims(3, 5, 0, 5);
    let same = vec![0.5; 15];
    assert!(value::<f32>(&d, &same).is_finite());
    assert!(gradient::<f32>(&d, &same, false).iter().all(|g| g.is_finite()));
    let mut bad = vectors(3, 5);
    bad[7] = f64::NAN;
    assert!(value::<f32>(&d, &bad).is_nan());
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let d = dims(5, 50_003, 1, 50_010);
    let w = vectors(5, 50_003);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (value::<f32>(&d, &w).to_bits(), gradient::<f32>(&d, &w, false)))
    };
    let one = run(1);
    assert!([2, 3].map(run).iter().all(|other| *other == one));
}
