//! The sampler on a Gaussian whose mean and covariance are known.

use super::diagnostics::{effective_sample_size, split_r_hat};
use super::{Draws, Settings, sample};

const MEAN: [f64; 2] = [1.0, -2.0];
/// Deviations 1 and 0.3, correlation 0.8.
const COVARIANCE: [[f64; 2]; 2] = [[1.0, 0.24], [0.24, 0.09]];

fn settings() -> Settings {
    Settings { chains: 4, burn_in: 500, draws: 20_000, thin: 1, leapfrog: 12, acceptance: 0.8, seed: 3 }
}

/// ln N(x | MEAN, COVARIANCE) up to a constant, for any number of chains.
fn gaussian(positions: &[f64], log_densities: &mut [f64], gradients: &mut [f64]) -> crate::Result<()> {
    let [[a, b], [_, d]] = COVARIANCE;
    let determinant = a * d - b * b;
    let precision = [[d / determinant, -b / determinant], [-b / determinant, a / determinant]];
    for ((x, log_density), gradient) in positions.chunks(2).zip(log_densities).zip(gradients.chunks_mut(2)) {
        let from = [x[0] - MEAN[0], x[1] - MEAN[1]];
        for i in 0..2 {
            gradient[i] = -(precision[i][0] * from[0] + precision[i][1] * from[1]);
        }
        *log_density = 0.5 * (gradient[0] * from[0] + gradient[1] * from[1]);
    }
    Ok(())
}

fn run(settings: &Settings) -> Draws {
    sample(settings, &[0.0; 8], &mut gaussian).unwrap()
}

/// Bounds at five standard errors, by the effective sample size of what is averaged.
#[test]
fn mean_and_covariance_of_a_gaussian() {
    let draws = run(&settings());
    assert!((draws.acceptance - 0.8).abs() <= 0.1, "acceptance {}", draws.acceptance);
    let chain =
        |chain: usize, f: &dyn Fn(&[f64]) -> f64| draws.positions.chunks(2).skip(chain).step_by(4).map(f).collect();
    let check = |f: &dyn Fn(&[f64]) -> f64, expected: f64, what: &str| {
        let chains: Vec<Vec<f64>> = (0..4).map(|number| chain(number, f)).collect();
        let size = effective_sample_size(&chains);
        assert!(size >= 4000.0 && (split_r_hat(&chains) - 1.0).abs() <= 0.01, "{what}: {size} effective draws");
        let all = chains.concat();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64;
        let error = (mean - expected) / (variance / size).sqrt();
        assert!(error.abs() <= 5.0, "{what}: {mean}, not {expected}, {error} standard errors off");
    };
    for i in 0..2 {
        check(&|x| x[i], MEAN[i], &format!("mean {i}"));
        for j in 0..=i {
            let product = |x: &[f64]| (x[i] - MEAN[i]) * (x[j] - MEAN[j]);
            check(&product, COVARIANCE[i][j], &format!("covariance {i} {j}"));
        }
    }
}

#[test]
fn chains_differ_and_a_seed_repeats() {
    let short = Settings { burn_in: 20, draws: 5, ..settings() };
    let draws = run(&short);
    let last: Vec<&[f64]> = draws.positions[4 * 8..].chunks(2).collect();
    assert!((1..4).all(|chain| last[chain] != last[0]), "{last:?}");
    assert_eq!(run(&short), draws);
    assert_ne!(run(&Settings { seed: 4, ..short }), draws);
}

#[test]
fn settings_out_of_range_and_a_start_without_density_are_refused() {
    let refused = |settings: Settings| sample(&settings, &[0.0; 8], &mut gaussian).unwrap_err().to_string();
    assert!(refused(Settings { chains: 0, ..settings() }).contains("chains"));
    assert!(refused(Settings { draws: 0, ..settings() }).contains("draws"));
    assert!(refused(Settings { thin: 0, ..settings() }).contains("thin"));
    assert!(refused(Settings { leapfrog: 0, ..settings() }).contains("leapfrog"));
    assert!(refused(Settings { acceptance: f64::NAN, ..settings() }).contains("acceptance"));
    assert!(refused(Settings { chains: 3, ..settings() }).contains("start"));
    let nowhere = sample(&settings(), &[f64::NAN; 8], &mut gaussian);
    assert!(nowhere.unwrap_err().to_string().contains("not finite"));
}
