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

/// Mean absolute differences from the reference's band.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    pub mean: f64,
    pub deviation: f64,
}

impl Distance {
    /// Over the grid points at which `chosen` holds.
    pub fn new(band: &Band, reference: &Band, chosen: impl Fn(f64) -> bool) -> Self {
        let points: Vec<usize> = grid().enumerate().filter(|(_, x)| chosen(*x)).map(|(point, _)| point).collect();
        let mean_of = |a: &[f64], b: &[f64]| {
            points.iter().map(|&point| (a[point] - b[point]).abs()).sum::<f64>() / points.len() as f64
        };
        Self { mean: mean_of(&band.mean, &reference.mean), deviation: mean_of(&band.deviation, &reference.deviation) }
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
