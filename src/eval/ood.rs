//! Telling out-of-distribution (OOD) images from test images by one score per image.
//!
//! The positive class is OOD: a larger score must mean "more likely OOD". The figures come from exact ranking, not from a grid
//! of thresholds, and do not change under a strictly increasing map of the scores.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How well one score separates OOD images (positive) from test images (negative).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Area under the ROC curve: the probability that an OOD image scores above a test image, ties counting one half, in `[0, 1]`.
    pub auroc: f64,
    /// Area under the precision-recall curve as average precision: the sum over distinct thresholds of precision times the gain
    /// in recall, in `(0, 1]`; chance is the share of OOD images.
    pub aupr: f64,
    /// Share of test images taken for OOD at the highest threshold that finds at least 95% of the OOD images, in `[0, 1]`.
    pub fpr95: f64,
}

/// The images of one score: how many OOD, how many test.
#[derive(Debug, Clone, Copy, Default)]
struct Tie {
    ood: usize,
    test: usize,
}

/// Ranks `test` and `ood` scores, one number per image, higher = more likely OOD.
///
/// The AUROC is the Mann-Whitney statistic with ties averaged (Hanley and McNeil 1982), counted in integers.
///
/// # Errors
/// No scores on a side (wrong use), or a score that is NaN (a failed run). Infinite scores are ranked.
pub fn detect(test: &[f64], ood: &[f64]) -> Result<Detection> {
    let ties = ties(test, ood)?;
    Ok(Detection {
        auroc: auroc(&ties, test.len(), ood.len()),
        aupr: average_precision(&ties, ood.len()),
        fpr95: false_positives(&ties, test.len(), ood.len()),
    })
}

/// Groups of equal scores, from the highest score down.
fn ties(test: &[f64], ood: &[f64]) -> Result<Vec<Tie>> {
    if test.is_empty() || ood.is_empty() {
        return Err(Error::input(format!(
            "an OOD detection needs test and OOD images, found {} and {}: give two data sets that are not empty",
            test.len(),
            ood.len()
        )));
    }
    for (set, scores) in [("test", test), ("OOD", ood)] {
        if let Some(image) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::run(format!(
                "an OOD score must be a number, found NaN for {set} image {image}: the network has diverged"
            )));
        }
    }
    // The total order puts -0 next to +0, so equal scores are neighbours.
    let mut scores: Vec<(f64, bool)> = test.iter().map(|&score| (score, false)).collect();
    scores.extend(ood.iter().map(|&score| (score, true)));
    scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let tie = |group: &[(f64, bool)]| {
        let ood = group.iter().filter(|&&(_, is_ood)| is_ood).count();
        Tie { ood, test: group.len() - ood }
    };
    Ok(scores.chunk_by(|a, b| a.0 == b.0).map(tie).collect())
}

/// Twice the Mann-Whitney count is an integer; one division makes it the area.
fn auroc(ties: &[Tie], test: usize, ood: usize) -> f64 {
    let mut above = 0_u128;
    let mut twice = 0_u128;
    for tie in ties {
        twice += tie.test as u128 * (2 * above + tie.ood as u128);
        above += tie.ood as u128;
    }
    twice as f64 / (2.0 * test as f64 * ood as f64)
}

fn average_precision(ties: &[Tie], ood: usize) -> f64 {
    let mut found = Tie::default();
    let mut area = 0.0;
    for tie in ties {
        found.ood += tie.ood;
        found.test += tie.test;
        area += tie.ood as f64 * found.ood as f64 / (found.ood + found.test) as f64;
    }
    area / ood as f64
}

fn false_positives(ties: &[Tie], test: usize, ood: usize) -> f64 {
    let mut found = Tie::default();
    for tie in ties {
        found.ood += tie.ood;
        found.test += tie.test;
        // 95% as 19 of 20, so that no rounding moves the threshold.
        if found.ood as u128 * 20 >= ood as u128 * 19 {
            break;
        }
    }
    found.test as f64 / test as f64
}
