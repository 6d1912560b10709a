//! Figures of the prediction itself.

use bbh::eval::TestReport;
use bbh::eval::metrics::{CALIBRATION_BINS, Classified, CoveragePoint, PROBABILITY_FLOOR, entropy_auc, mean};
use proptest::prelude::*;

use crate::{confident, four, near, predict};

#[test]
fn scores_of_four_images_by_hand() {
    let predictive = four();
    let classified = Classified::new(&predictive, &[0, 1, 1, 0]).unwrap();
    assert_eq!(classified.accuracy(), 0.75);
    near(classified.nll(), (-(0.75_f64.ln()) - 0.375_f64.ln() - 0.5_f64.ln()) / 4.0, 1e-15);
    assert_eq!(classified.brier(), (2.0 * 0.0625 + 0.0 + 2.0 * 0.390625 + 2.0 * 0.25) / 4.0);
    near(classified.ece(2).unwrap(), ((0.5 - 1.0_f64).abs() + (2.0 - 2.375_f64).abs()) / 4.0, 1e-15);
    near(classified.ece(15).unwrap(), (0.25 + 0.0 + 0.625 + 0.5) / 4.0, 1e-15);
    near(classified.adaptive_ece(2).unwrap(), ((2.0 - 1.75_f64).abs() + (1.0 - 1.125_f64).abs()) / 4.0, 1e-15);
    let risks = [(0.25, 0.0), (0.5, 0.0), (0.75, 1.0 / 3.0), (1.0, 0.25)];
    let curve = risks.map(|(coverage, risk)| CoveragePoint { coverage, risk });
    assert_eq!(classified.risk_coverage(), curve);
    near(classified.aurc(), (1.0 / 3.0 + 0.25) / 4.0, 1e-15);
}

#[test]
fn equal_confidences_count_their_mean() {
    let predictive = confident(&[0.75; 4]);
    for labels in [[0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0]] {
        let classified = Classified::new(&predictive, &labels).unwrap();
        near(classified.aurc(), 0.5, 1e-15);
        near(classified.adaptive_ece(2).unwrap(), 0.25, 1e-15);
    }
}

#[test]
fn certain_and_wrong_is_clamped() {
    let predictive = confident(&[1.0]);
    let classified = Classified::new(&predictive, &[1]).unwrap();
    assert_eq!(classified.nll(), -PROBABILITY_FLOOR.ln());
    assert_eq!((classified.brier(), classified.ece(15).unwrap(), classified.aurc()), (2.0, 1.0, 1.0));
    let right = Classified::new(&predictive, &[0]).unwrap();
    assert_eq!((right.nll(), right.brier(), right.ece(15).unwrap()), (0.0, 0.0, 0.0));
}

#[test]
fn a_calibrated_set_has_no_calibration_error() {
    let mut confidences = Vec::new();
    let mut labels = Vec::new();
    for right in 9..=16_u8 {
        for image in 0..16 {
            confidences.push(f32::from(right) / 16.0);
            labels.push(u8::from(image >= right));
        }
    }
    let predictive = confident(&confidences);
    let classified = Classified::new(&predictive, &labels).unwrap();
    near(classified.ece(CALIBRATION_BINS).unwrap(), 0.0, 1e-14);
    near(classified.adaptive_ece(8).unwrap(), 0.0, 1e-14);
    labels.iter_mut().for_each(|label| *label = 1 - *label);
    let inverted = Classified::new(&predictive, &labels).unwrap();
    assert!(inverted.ece(CALIBRATION_BINS).unwrap() > 0.5);
}

#[test]
fn entropy_auc_by_hand() {
    let (ln_10, bin) = (10.0_f64.ln(), 10.0_f64.ln() / 500.0);
    near(entropy_auc(&[0.0], 10).unwrap(), ln_10, 1e-12);
    near(entropy_auc(&[ln_10], 10).unwrap(), bin / 2.0, 1e-12);
    near(entropy_auc(&[100.25 * bin], 10).unwrap(), 399.5 * bin, 1e-12);
    near(
        entropy_auc(&[0.0, 100.25 * bin, 300.75 * bin, 0.5 * bin], 10).unwrap(),
        (500.0 + 399.5 + 199.5 + 499.5) * bin / 4.0,
        1e-12,
    );
}

#[test]
fn unfit_metric_inputs_are_errors() {
    let predictive = four();
    for labels in [&[0, 1, 1][..], &[], &[0, 1, 1, 2], &[0; 5]] {
        assert!(Classified::new(&predictive, labels).is_err(), "{labels:?}");
    }
    let classified = Classified::new(&predictive, &[0; 4]).unwrap();
    assert!(classified.ece(0).is_err());
    assert!(classified.adaptive_ece(0).is_err());
    assert!(mean(&[]).is_err());
    assert!(mean(&[0.0, f64::NAN]).is_err());
    for (entropy, classes) in [(&[][..], 10), (&[0.5], 1), (&[f64::NAN], 10), (&[-0.1], 10), (&[0.7], 2)] {
        assert!(entropy_auc(entropy, classes).is_err(), "{entropy:?} {classes}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn figures_stay_in_range(logits in prop::collection::vec(prop::array::uniform3(-20.0..20.0_f32), 2..60), labels in prop::collection::vec(0..3_u8, 60)) {
        let rows: Vec<f32> = logits.iter().flat_map(|row| {
            let total: f32 = row.iter().map(|logit| logit.exp()).sum();
            row.map(|logit| logit.exp() / total)
        }).collect();
        let half = logits.len() / 2;
        let predictive = predict(3, &[&rows[..3 * half], &rows[3 * half..6 * half]]);
        let report = TestReport::new(&predictive, &labels[..half]).unwrap();
        for share in [report.accuracy, report.ece, report.adaptive_ece, report.aurc, report.brier / 2.0, report.error_percent / 100.0] {
            prop_assert!((0.0..=1.0).contains(&share), "{:?}", report);
        }
        let ln_3 = 3.0_f64.ln();
        prop_assert!((0.0..=-PROBABILITY_FLOOR.ln()).contains(&report.nll));
        prop_assert!((0.0..=ln_3).contains(&report.entropy));
        prop_assert!((0.0..=report.entropy + 1e-12).contains(&report.mutual_information));
        near(report.entropy_auc, ln_3 - report.entropy, 0.5 * ln_3 / 500.0 + 1e-12);
    }
}
