//! What predictions are worth, and how far they are from the reference.

use super::task::{GRID, Task, grid};
use crate::data::toy::{NOISE, RANGE};
use serde::Serialize;

/// Mean and standard deviation of the functions f(x) at each grid point, without the noise of the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Band {
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
}

impl Band {
    /// Of predictions [T, columns], the grid being the first columns. One network has deviation 0.
    pub fn new(predictions: &[f64], columns: usize) -> Self {
        let count = (predictions.len() / columns) as f64;
        let column = |point: usize| predictions.iter().skip(point).step_by(columns);
        let mean: Vec<f64> = (0..GRID).map(|point| column(point).sum::<f64>() / count).collect();
        let deviation = |(point, mean): (usize, &f64)| {
            let squares: f64 = column(point).map(|f| (f - mean) * (f - mean)).sum();
            (squares / (count - 1.0).max(1.0)).sqrt()
        };
        let deviation = mean.iter().enumerate().map(deviation).collect();
        Self { mean, deviation }
    }
}

/// How far a band is from the reference's, a mean over grid points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// Absolute difference of the means.
    pub mean: f64,
    /// Absolute difference of the standard deviations.
    pub deviation: f64,
    /// Divergence of the predictive density of a target, N(mean, deviation^2 + 9^2), from the reference's, nats: what a forecaster
    /// loses by it if the reference is right.
    pub kl: f64,
}

impl Distance {
    /// Over the grid points at which `chosen` holds.
    pub fn new(band: &Band, reference: &Band, chosen: impl Fn(f64) -> bool) -> Self {
        let points: Vec<usize> = grid().enumerate().filter(|(_, x)| chosen(*x)).map(|(point, _)| point).collect();
        let mean_of = |distance: &dyn Fn(usize) -> f64| {
            points.iter().map(|&point| distance(point)).sum::<f64>() / points.len() as f64
        };
        Self {
            mean: mean_of(&|i| (band.mean[i] - reference.mean[i]).abs()),
            deviation: mean_of(&|i| (band.deviation[i] - reference.deviation[i]).abs()),
            kl: mean_of(&|i| {
                let density = |band: &Band| (band.mean[i], band.deviation[i].powi(2) + NOISE * NOISE);
                gaussian_kl(density(reference), density(band))
            }),
        }
    }

    /// Over the whole grid.
    pub fn everywhere(band: &Band, reference: &Band) -> Self {
        Self::new(band, reference, |_| true)
    }

    /// Where there are no data.
    pub fn outside(band: &Band, reference: &Band) -> Self {
        Self::new(band, reference, |x| x.abs() > RANGE)
    }
}

/// KL(N(m, v) || N(m', v')) of pairs (mean, variance), nats.
fn gaussian_kl((m, v): (f64, f64), (other_m, other_v): (f64, f64)) -> f64 {
    0.5 * ((other_v / v).ln() + (v + (m - other_m).powi(2)) / other_v - 1.0)
}

/// Root mean square of mean prediction minus target at the held-out points; their noise alone is 9.
pub fn rmse(task: &Task, predictions: &[f64]) -> f64 {
    let columns = task.inputs.len();
    let count = (predictions.len() / columns) as f64;
    let square = |(point, y): (usize, &f64)| {
        let mean = predictions.iter().skip(GRID + point).step_by(columns).sum::<f64>() / count;
        (mean - y) * (mean - y)
    };
    let squares: f64 = task.test.y.iter().enumerate().map(square).sum();
    (squares / task.test.y.len() as f64).sqrt()
}

/// Mean over the held-out points of ln(mean over networks of N(y | f(x), 9^2)), nats.
pub fn log_likelihood(task: &Task, predictions: &[f64]) -> f64 {
    let columns = task.inputs.len();
    let constant = -(NOISE * (2.0 * std::f64::consts::PI).sqrt()).ln();
    let of_point = |(point, y): (usize, &f64)| {
        let column = predictions.iter().skip(GRID + point).step_by(columns);
        let logs: Vec<f64> = column.map(|f| -(y - f) * (y - f) / (2.0 * NOISE * NOISE)).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = logs.iter().map(|log| (log - largest).exp()).sum::<f64>() / logs.len() as f64;
        constant + largest + mean.ln()
    };
    task.test.y.iter().enumerate().map(of_point).sum::<f64>() / task.test.y.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two functions, 1 and 3 on the grid; 0 and 1 times the target at the held-out points.
    fn predictions(task: &Task) -> Vec<f64> {
        let of = |on_grid: f64, factor: f64| {
            let held_out = task.test.y.iter().map(move |y| factor * y);
            (0..GRID).map(move |_| on_grid).chain(held_out)
        };
        of(1.0, 0.0).chain(of(3.0, 1.0)).collect()
    }

    #[test]
    fn band_and_distances_of_known_functions() {
        let task = Task::new(0, 20, 3).unwrap();
        let band = Band::new(&predictions(&task), task.inputs.len());
        assert_eq!(band, Band { mean: vec![2.0; GRID], deviation: vec![2f64.sqrt(); GRID] });
        let mut reference = Band { mean: vec![0.0; GRID], deviation: vec![2f64.sqrt(); GRID] };
        // Changed within the data only.
        (reference.mean[GRID / 2], reference.deviation[GRID / 2]) = (2.0, 0.0);
        let (all, outside) = (Distance::everywhere(&band, &reference), Distance::outside(&band, &reference));
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-12;
        assert!(close(all.mean, 2.0 * 120.0 / 121.0) && close(all.deviation, 2f64.sqrt() / 121.0), "{all:?}");
        assert!(close(outside.mean, 2.0) && close(outside.deviation, 0.0), "{outside:?}");
        assert!(close(outside.kl, 0.5 * 4.0 / 83.0), "{outside:?}");
    }

    /// The divergence is the mean of the log ratio of the densities.
    #[test]
    fn divergence_is_an_integral() {
        let (p, q) = ((1.0, 4.0), (-0.5, 9.0));
        let log = |(m, v): (f64, f64), x: f64| -0.5 * ((x - m).powi(2) / v + (std::f64::consts::TAU * v).ln());
        let term = |i: i32| {
            let x = f64::from(i) * 1e-2;
            log(p, x).exp() * (log(p, x) - log(q, x)) * 1e-2
        };
        let integral: f64 = (-3000..3000).map(term).sum();
        assert!((gaussian_kl(p, q) - integral).abs() <= 1e-9, "{} {integral}", gaussian_kl(p, q));
    }

    #[test]
    fn scores_of_known_functions() {
        let task = Task::new(0, 20, 3).unwrap();
        let predictions = predictions(&task);
        let mean = |f: &dyn Fn(f64) -> f64| task.test.y.iter().map(|&y| f(y)).sum::<f64>() / task.test.y.len() as f64;
        let half = mean(&|y| 0.25 * y * y).sqrt();
        assert!(
            (rmse(&task, &predictions) - half).abs() <= 1e-9 * half,
            "the mean of the functions is half the target"
        );
        let density = |e: f64| (-e * e / 162.0).exp() / (std::f64::consts::TAU * 81.0).sqrt();
        let expected = mean(&|y| (0.5 * (density(y) + density(0.0))).ln());
        let found = log_likelihood(&task, &predictions);
        assert!((found - expected).abs() <= 1e-9, "{found}, not {expected}");
    }
}
