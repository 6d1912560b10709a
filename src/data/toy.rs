//! The regression of arXiv 1711.01297 (after Hernandez-Lobato & Adams 2015): y = x^3 + N(0, 9^2), x uniform on [-4, 4].

use crate::random::Stream;

/// Standard deviation of the targets about the cubic.
pub const NOISE: f64 = 9.0;

/// Inputs are on [-RANGE, RANGE].
pub const RANGE: f64 = 4.0;

/// Two random streams each, inputs and noise; below those of the drawn images.
const TRAIN: u32 = 0x6461_7300;
const TEST: u32 = 0x6461_7310;

/// Pairs of an input and a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
}

/// Points to train on.
pub fn train(seed: u64, points: usize) -> Regression {
    draw(seed, TRAIN, points)
}

/// Other points of the same law.
pub fn test(seed: u64, points: usize) -> Regression {
    draw(seed, TEST, points)
}

/// The function without noise.
pub fn cubic(x: f64) -> f64 {
    x * x * x
}

fn draw(seed: u64, stream: u32, points: usize) -> Regression {
    let key = [seed as u32, (seed >> 32) as u32];
    let (mut x, mut y) = (vec![0.0; points], vec![0.0; points]);
    Stream { key, stream, step: 0 }.uniforms_f64(0, &mut x);
    Stream { key, stream: stream + 1, step: 0 }.normals_f64(0, &mut y);
    for (x, y) in x.iter_mut().zip(&mut y) {
        *x = RANGE * (2.0 * *x - 1.0);
        *y = cubic(*x) + NOISE * *y;
    }
    Regression { x, y }
}

#[cfg(test)]
mod tests {
    use super::{NOISE, RANGE, cubic, test, train};

    /// 20,000 points: standard errors of 0.016 for the mean of x, 0.064 for the mean of the noise and 0.045 for its deviation.
    #[test]
    fn the_law_is_as_stated() {
        let data = test(5, 20_000);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!(data.x.iter().all(|x| x.abs() <= RANGE) && mean(&data.x).abs() <= 0.07, "{}", mean(&data.x));
        let squares: Vec<f64> = data.x.iter().map(|x| x * x).collect();
        assert!((mean(&squares) - RANGE * RANGE / 3.0).abs() <= 0.15, "{}", mean(&squares));
        let noise: Vec<f64> = data.x.iter().zip(&data.y).map(|(&x, y)| y - cubic(x)).collect();
        let deviation = mean(&noise.iter().map(|e| e * e).collect::<Vec<_>>()).sqrt();
        assert!(mean(&noise).abs() <= 0.26 && (deviation - NOISE).abs() <= 0.2, "{} {deviation}", mean(&noise));
    }

    #[test]
    fn a_seed_repeats_and_the_halves_differ() {
        assert_eq!(train(1, 20), train(1, 20));
        assert_ne!(train(1, 20), train(2, 20));
        assert_ne!(train(1, 20), test(1, 20));
    }
}
