//! The reports, their JSON and their table.

use bbh::eval::metrics::{Classified, entropy_auc};
use bbh::eval::{OodReport, Score, TestReport, table};

use crate::{four, near, predict};

fn reports() -> (TestReport, OodReport) {
    let test = four();
    let ood = predict(2, &[&[0.5, 0.5, 0.625, 0.375]]);
    (TestReport::new(&test, &[0, 1, 1, 0]).unwrap(), OodReport::new("notMNIST", &ood, &test).unwrap())
}

#[test]
fn reports_hold_the_figures_under_the_names_of_the_summary() {
    let (test, ood) = reports();
    let json = serde_json::to_value(&test).unwrap();
    for key in [
        "accuracy",
        "error_percent",
        "nll",
        "brier",
        "ece",
        "adaptive_ece",
        "entropy",
        "mutual_information",
        "entropy_auc",
        "aurc",
    ] {
        assert!(json[key].is_f64(), "{key}");
    }
    assert_eq!((json["accuracy"].as_f64(), json["error_percent"].as_f64()), (Some(0.75), Some(25.0)));
    assert_eq!((json["images"].as_u64(), json["samples"].as_u64()), (Some(4), Some(1)));
    let predictive = four();
    near(test.entropy, predictive.entropy().iter().sum::<f64>() / 4.0, 1e-15);
    assert_eq!(test.ece, Classified::new(&predictive, &[0, 1, 1, 0]).unwrap().ece(15).unwrap());
    assert_eq!(test.entropy_auc, entropy_auc(predictive.entropy(), 2).unwrap());

    let json = serde_json::to_value(&ood).unwrap();
    for key in ["entropy", "mutual_information", "entropy_auc", "auroc", "aupr", "fpr95"] {
        assert!(json[key].is_f64(), "{key}");
    }
    assert_eq!((json["name"].as_str(), json["images"].as_u64()), (Some("notMNIST"), Some(2)));
    assert_eq!(json["by_score"][1]["score"], "mutual_information");
    // Confidences 0.5, 0.625 against 0.5, 0.625, 0.75, 1; without a second sample there is no mutual information.
    assert_eq!((ood.auroc, ood.fpr95), (0.75, 0.5));
    assert_eq!(json["by_score"][2]["auroc"].as_f64(), Some(0.75));
    assert_eq!(ood.by_score[1].detection.auroc, 0.5);
    assert_eq!(
        ood.by_score.map(|entry| entry.score),
        [Score::Entropy, Score::MutualInformation, Score::MaxProbability]
    );
    assert_eq!((ood.by_score[0].detection.aupr, ood.by_score[0].detection.fpr95), (ood.aupr, ood.fpr95));
    let again: OodReport = serde_json::from_value(json).unwrap();
    assert_eq!(again, ood);
}

#[test]
fn an_ood_set_of_another_run_is_an_error() {
    let test = four();
    assert!(OodReport::new("letters", &predict(3, &[&[0.5, 0.25, 0.25]]), &test).is_err());
    assert!(OodReport::new("letters", &predict(2, &[&[0.5, 0.5], &[0.5, 0.5]]), &test).is_err());
}

#[test]
fn the_table_is_aligned_and_fits_80_columns() {
    let (test, mut ood) = reports();
    let without = table(&test, None);
    assert!(without.contains("Test set: 4 images, 1 posterior sample\n"));
    assert!(without.contains("\n  accuracy                         75.00 %\n"), "{without}");
    assert!(without.contains("\n  predictive entropy, mean        0.4793 nats\n"), "{without}");
    assert!(!without.contains("Out of distribution"));
    ood.name = format!("{}\n{}", "long/".repeat(30), "letters");
    let text = table(&test, Some(&ood));
    assert!(text.starts_with(&without) && text.contains("?letters, 2 images\n"), "{text}");
    assert!(text.contains("\n  entropy                         0.7500    0.5000           50.00 %\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80 && line.trim_end() == line), "{text}");
}
