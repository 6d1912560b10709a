//! Telling out-of-distribution images from test images.

use bbh::eval::ood::detect;
use proptest::prelude::*;

use crate::near;

#[test]
fn detection_by_hand() {
    // Falling: ood 9, test 8, ood 7 and test 7, test 1.
    let found = detect(&[8.0, 7.0, 1.0], &[9.0, 7.0]).unwrap();
    near(found.auroc, (3.0 + 0.5 + 1.0) / 6.0, 1e-15);
    near(found.aupr, 0.5 * 1.0 + 0.5 * (2.0 / 4.0), 1e-15);
    near(found.fpr95, 2.0 / 3.0, 1e-15);
}

#[test]
fn fpr_at_exactly_95_percent() {
    // 19 of 20 OOD images lie above all test images but the highest; the last lies below all.
    let ood: Vec<f64> = (0..20).map(|image| if image == 0 { -1.0 } else { 10.0 }).collect();
    assert_eq!(detect(&[20.0, 1.0, 2.0, 3.0], &ood).unwrap().fpr95, 0.25);
    assert_eq!(detect(&[20.0, 1.0, 2.0, 3.0], &ood[..19]).unwrap().fpr95, 1.0);
}

#[test]
fn detection_at_the_extremes() {
    let perfect = detect(&[0.1, 0.2], &[0.3, f64::INFINITY]).unwrap();
    assert_eq!((perfect.auroc, perfect.aupr, perfect.fpr95), (1.0, 1.0, 0.0));
    let tied = detect(&[0.0, -0.0, 0.0], &[-0.0]).unwrap();
    assert_eq!((tied.auroc, tied.aupr, tied.fpr95), (0.5, 0.25, 1.0));
    for (test, ood) in [(&[][..], &[1.0][..]), (&[1.0], &[]), (&[f64::NAN], &[1.0]), (&[1.0], &[1.0, f64::NAN])] {
        assert!(detect(test, ood).is_err(), "{test:?} {ood:?}");
    }
}

/// Scores with many ties.
fn scores() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-8..8_i32).prop_map(|score| f64::from(score) / 4.0), 1..40)
}

/// AUROC and FPR@95%TPR by their definitions: all pairs, all thresholds.
fn brute_force(test: &[f64], ood: &[f64]) -> (f64, f64) {
    let pairs = ood.iter().flat_map(|o| {
        test.iter().map(move |t| {
            if o > t {
                1.0
            } else if o == t {
                0.5
            } else {
                0.0
            }
        })
    });
    let share =
        |scores: &[f64], at: f64| scores.iter().filter(|&&score| score >= at).count() as f64 / scores.len() as f64;
    let rates = ood.iter().filter(|&&at| share(ood, at) >= 0.95).map(|&at| share(test, at));
    (pairs.sum::<f64>() / (test.len() * ood.len()) as f64, rates.fold(1.0, f64::min))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn detection_equals_brute_force_and_ignores_monotone_maps(test in scores(), ood in scores()) {
        let found = detect(&test, &ood).unwrap();
        let (auroc, fpr95) = brute_force(&test, &ood);
        near(found.auroc, auroc, 1e-12);
        near(found.fpr95, fpr95, 1e-12);
        near(found.auroc, 1.0 - detect(&ood, &test).unwrap().auroc, 1e-12);
        prop_assert!(found.aupr > 0.0 && found.aupr <= 1.0);
        let map = |scores: &[f64]| scores.iter().map(|score| (3.0 * score).exp() - 2.0).collect::<Vec<_>>();
        prop_assert_eq!(detect(&map(&test), &map(&ood)).unwrap(), found);
        near(detect(&test, &test).unwrap().auroc, 0.5, 1e-12);
    }
}
