//! The figures of an evaluation as plain text for the terminal.

use super::{OodReport, Score, TestReport};

/// Longest name of a set that is printed whole, so that no line exceeds 80 columns.
const NAME_WIDTH: usize = 40;

/// A table of the figures, at most 80 columns wide, each line ended by a newline.
pub fn table(test: &TestReport, ood: Option<&OodReport>) -> String {
    let mut text = test_table(test);
    if let Some(ood) = ood {
        text.push('\n');
        text.push_str(&ood_table(ood));
    }
    text
}

fn test_table(test: &TestReport) -> String {
    let mut text = format!("Test set: {}, {}\n", count(test.images, "image"), count(test.samples, "posterior sample"));
    let rows = [
        ("accuracy", 100.0 * test.accuracy, 2, "%"),
        ("error", test.error_percent, 2, "%"),
        ("negative log-likelihood", test.nll, 4, "nats"),
        ("Brier score", test.brier, 4, "in [0, 2], lower = better"),
        ("calibration error (ECE)", 100.0 * test.ece, 2, "%, 15 bins of equal width"),
        ("adaptive calibration error", 100.0 * test.adaptive_ece, 2, "%, 15 bins of equal mass"),
        ("predictive entropy, mean", test.entropy, 4, "nats"),
        ("mutual information, mean", test.mutual_information, 4, "nats"),
        ("entropy AUC", test.entropy_auc, 4, "nats, lower = more uncertain"),
        ("area under risk-coverage", test.aurc, 4, "in [0, 1], lower = better"),
    ];
    rows.iter().for_each(|&(name, value, digits, unit)| text.push_str(&row(name, value, digits, unit)));
    text
}

fn ood_table(ood: &OodReport) -> String {
    let mut text = format!("Out of distribution: {}, {}\n", shortened(&ood.name), count(ood.images, "image"));
    text.push_str(&row("predictive entropy, mean", ood.entropy, 4, "nats"));
    text.push_str(&row("mutual information, mean", ood.mutual_information, 4, "nats"));
    text.push_str(&row("entropy AUC", ood.entropy_auc, 4, "nats, lower = more uncertain"));
    text.push_str(&format!(
        "\n  {:<28}{:>10}{:>10}{:>18}\n",
        "told from the test set by", "AUROC", "AUPR", "FPR at 95% TPR"
    ));
    for entry in &ood.by_score {
        let detection = &entry.detection;
        let name = match entry.score {
            Score::Entropy => "entropy",
            Score::MutualInformation => "mutual information",
            Score::MaxProbability => "max probability",
        };
        let percent = format!("{:.2} %", 100.0 * detection.fpr95);
        text.push_str(&format!("  {name:<28}{:>10.4}{:>10.4}{percent:>18}\n", detection.auroc, detection.aupr));
    }
    text
}

fn row(name: &str, value: f64, digits: usize, unit: &str) -> String {
    format!("  {name:<28}{value:>10.digits$} {unit}\n")
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The name, or its end after "..." where it is too long: a path is told by its end. Control characters are shown as '?'.
fn shortened(name: &str) -> String {
    let name: Vec<char> = name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    if name.len() <= NAME_WIDTH {
        return name.into_iter().collect();
    }
    let end = name.iter().skip(name.len() + 3 - NAME_WIDTH);
    "...".chars().chain(end.copied()).collect()
}
