//! Every figure of an evaluation against cases computed by hand, and properties that hold for any input.

mod metrics;
mod ood;
mod predictive;
mod report;

use bbh::eval::{Predictive, PredictiveAccumulator};

fn near(found: f64, expected: f64, tolerance: f64) {
    let within = (found - expected).abs() <= tolerance;
    assert!(within, "expected {expected}, found {found}");
}

/// The prediction of `[samples][images * classes]` probabilities.
fn predict(classes: usize, samples: &[&[f32]]) -> Predictive {
    let mut sum = PredictiveAccumulator::new(samples[0].len() / classes, classes).unwrap();
    samples.iter().for_each(|sample| sum.add(0, sample).unwrap());
    sum.finish().unwrap()
}

/// Two-class images of these confidences in class 0.
fn confident(confidences: &[f32]) -> Predictive {
    let rows: Vec<f32> = confidences.iter().flat_map(|&p| [p, 1.0 - p]).collect();
    predict(2, &[&rows])
}

/// Four images of two classes, predicted 0, 1, 0, 0.
fn four() -> Predictive {
    predict(2, &[&[0.75, 0.25, 0.0, 1.0, 0.625, 0.375, 0.5, 0.5]])
}
