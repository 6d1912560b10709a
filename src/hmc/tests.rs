//! The sampler on a Gaussian whose mean and covariance are known.

use super::{Draws, Settings, sample};

const MEAN: [f64; 2] = [1.0, -2.0];
/// Deviations 1 and 0.3, correlation 0.8.
const COVARIANCE: [[f64; 2]; 2] = [[1.0, 0.24], [0.24, 0.09]];

fn settings() -> Settings {
    Settings { chains: 4, burn_in: 500, draws: 4000, thin: 1, leapfrog: 12, acceptance: 0.8, seed: 3 }
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

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let all: Vec<f64> = values.collect();
    all.iter().sum::<f64>() / all.len() as f64
}

fn run(settings: &Settings) -> Draws {
    sample(settings, &[0.0; 8], &mut gaussian).unwrap()
}

/// 16,000 draws, at least 2,000 of them worth an independent one: a standard error of 1/45 deviation for a mean, of about 1/30
/// variance for a variance. Bounds at four of them.
#[test]
fn mean_and_covariance_of_a_gaussian() {
    let draws = run(&settings());
    assert!((draws.acceptance - 0.8).abs() <= 0.12, "acceptance {}", draws.acceptance);
    let column = |i: usize| draws.positions.iter().skip(i).step_by(2).copied();
    let means = [mean(column(0)), mean(column(1))];
    for i in 0..2 {
        let error = (means[i] - MEAN[i]) / COVARIANCE[i][i].sqrt();
        assert!(error.abs() <= 4.0 / 45.0, "mean {i}: {}", means[i]);
        for j in 0..2 {
            let products = column(i).zip(column(j)).map(|(x, y)| (x - means[i]) * (y - means[j]));
            let error = (mean(products) - COVARIANCE[i][j]) / (COVARIANCE[i][i] * COVARIANCE[j][j]).sqrt();
            assert!(error.abs() <= 4.0 / 30.0, "covariance {i} {j}: {error}");
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
