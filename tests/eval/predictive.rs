//! Posterior samples to the posterior predictive.

use std::f64::consts::LN_2;

use bbh::eval::PredictiveAccumulator;

use crate::{near, predict};

#[test]
fn opposite_certain_samples_are_all_epistemic() {
    let predictive = predict(2, &[&[1.0, 0.0, 0.5, 0.5, 1.0, 0.0], &[0.0, 1.0, 0.5, 0.5, 1.0, 0.0]]);
    assert_eq!((predictive.images(), predictive.classes(), predictive.samples()), (3, 2, 2));
    assert_eq!(predictive.probabilities(), [0.5, 0.5, 0.5, 0.5, 1.0, 0.0]);
    assert_eq!(predictive.max_probability(), [0.5, 0.5, 1.0]);
    assert_eq!(predictive.prediction(), [0, 0, 0]);
    for (image, (entropy, information)) in [(LN_2, LN_2), (LN_2, 0.0), (0.0, 0.0)].into_iter().enumerate() {
        near(predictive.entropy()[image], entropy, 1e-15);
        near(predictive.mutual_information()[image], information, 1e-15);
    }
}

#[test]
fn mutual_information_of_two_unequal_samples() {
    let predictive = predict(2, &[&[0.75, 0.25], &[0.25, 0.75]]);
    let one_sample = 0.75 * (4.0_f64 / 3.0).ln() + 0.25 * 4.0_f64.ln();
    near(predictive.mutual_information()[0], LN_2 - one_sample, 1e-15);
    assert_eq!(predict(2, &[&[0.75, 0.25]]).mutual_information(), [0.0]);
}

#[test]
fn rows_are_divided_by_their_sum() {
    let predictive = predict(2, &[&[0.7504, 0.25]]);
    near(predictive.probabilities().iter().sum(), 1.0, 1e-15);
}

#[test]
fn blocks_in_any_split_give_the_same_prediction() {
    let samples: [&[f32]; 2] = [&[0.1, 0.9, 0.7, 0.3, 0.2, 0.8], &[0.4, 0.6, 0.5, 0.5, 1.0, 0.0]];
    let mut blocks = PredictiveAccumulator::new(3, 2).unwrap();
    for sample in samples {
        blocks.add(1, &sample[2..]).unwrap();
        blocks.add(0, &sample[..2]).unwrap();
    }
    assert_eq!(blocks.finish().unwrap(), predict(2, &samples));
}

#[test]
fn wrong_use_of_the_accumulator_is_an_error() {
    assert!(PredictiveAccumulator::new(0, 10).is_err());
    assert!(PredictiveAccumulator::new(5, 1).is_err());
    assert!(PredictiveAccumulator::new(usize::MAX, 2).is_err());
    assert!(PredictiveAccumulator::new(1, 2).unwrap().finish().is_err(), "no samples");
    let wrong: [(usize, &[f32], u8); 9] = [
        (0, &[], 2),
        (0, &[0.5, 0.5, 1.0], 2),
        (1, &[0.5, 0.5, 0.5, 0.5], 2),
        (usize::MAX, &[0.5, 0.5], 2),
        (0, &[0.5, 0.5, f32::NAN, 0.5], 3),
        (0, &[f32::INFINITY, 0.5], 3),
        (0, &[1.25, -0.25], 3),
        (0, &[0.5, 0.25], 3),
        (0, &[0.0, 0.0], 3),
    ];
    let mut sum = PredictiveAccumulator::new(2, 2).unwrap();
    for (first_image, block, exit_code) in wrong {
        let error = sum.add(first_image, block).expect_err(&format!("{first_image} {block:?}"));
        assert_eq!(error.exit_code(), exit_code, "{error}");
    }
    sum.add(0, &[1.0, 0.0]).unwrap();
    assert!(sum.clone().finish().is_err(), "image 1 has no sample");
    sum.add(1, &[1.0, 0.0]).unwrap();
    assert_eq!(sum.finish().unwrap(), predict(2, &[&[1.0, 0.0, 1.0, 0.0]]), "a refused block added nothing");
}
