//! Results of a gradient check: comparison, rows, table.

use serde::Serialize;
use std::fmt::Write as _;

/// Part of the largest derivative of an argument below which errors are measured against that part: finite differences
/// resolve a small element only as well as its neighbours.
const ARGUMENT_FLOOR: f64 = 1e-3;
/// The same against the largest derivative of the whole case, for arguments whose derivative is zero but for rounding.
const CASE_FLOOR: f64 = 1e-5;
/// The same against the sum of the terms of the output, whose rounding the differences cannot see below.
const NOISE_FLOOR: f64 = 1e-6;
/// Most that fused and unfused gradients may differ, in parts of the argument's largest derivative, or
const FUSION_TOLERANCE: f64 = 1e-12;
/// of this part of the case's largest, for gradients that are zero but for rounding.
const FUSION_FLOOR: f64 = 1e-2;

/// One argument of one op or model.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub op: String,
    pub argument: String,
    /// Worst relative error |got - expected| / max(|got|, |expected|, floor), floor = max(1e-3 of the argument's largest
    /// derivative, 1e-5 of the case's largest, 1e-6 of the sum of the terms of the output); `f64::MAX` when a gradient is
    /// not a number.
    pub worst: f64,
    /// Index of the worst element.
    pub index: usize,
    /// Elements compared.
    pub checked: usize,
    /// Elements left out because every step straddles a kink, or is too small to be resolved.
    pub skipped: usize,
    /// Gradient and finite difference of the worst element.
    pub got: f64,
    pub expected: f64,
    /// Case of the op in which the worst element stands.
    pub case: String,
    /// Largest expected derivative of the argument.
    pub largest: f64,
    /// Largest difference between the gradients of the fused and the unfused plan, in parts of `largest` (at least 1% of
    /// the case's largest).
    pub fusion: f64,
}

impl Row {
    /// True when something was compared and everything agrees.
    pub fn passes(&self, tolerance: f64) -> bool {
        self.checked > 0 && self.worst <= tolerance && self.fusion <= FUSION_TOLERANCE
    }

    /// Joins the results of the same argument in another case.
    pub fn join(&mut self, other: Row) {
        let (checked, skipped) = (self.checked + other.checked, self.skipped + other.skipped);
        let (largest, fusion) = (self.largest.max(other.largest), self.fusion.max(other.fusion));
        if other.worst > self.worst {
            *self = other;
        }
        (self.checked, self.skipped, self.largest, self.fusion) = (checked, skipped, largest, fusion);
    }
}

/// Expected derivatives of an argument, and what they are large against.
pub(super) struct Comparison<'a> {
    pub expected: &'a [(usize, Option<f64>)],
    pub largest: f64,
    pub case_largest: f64,
    /// Sum of the sizes of the terms of the output.
    pub scale: f64,
}

impl Comparison<'_> {
    /// The row of an argument for the gradients that each plan returned for it.
    pub fn row(&self, (op, case, argument): (&str, &str, &str), got: &[&[f64]]) -> Row {
        let mut row = Row {
            op: op.into(),
            argument: argument.into(),
            worst: -1.0,
            index: 0,
            checked: 0,
            skipped: self.expected.iter().filter(|(_, expected)| expected.is_none()).count(),
            got: 0.0,
            expected: 0.0,
            case: case.into(),
            largest: self.largest,
            fusion: self.fusion(got),
        };
        let floor = floor(self.largest, self.case_largest, self.scale);
        for &(index, expected) in self.expected {
            let Some(expected) = expected else { continue };
            row.checked += 1;
            for gradient in got {
                let error = relative(gradient[index], expected, floor);
                if error > row.worst {
                    (row.worst, row.index, row.got, row.expected) = (error, index, gradient[index], expected);
                }
            }
        }
        row.worst = row.worst.max(0.0);
        row
    }

    /// Largest difference between all plans' gradients and the first's.
    fn fusion(&self, got: &[&[f64]]) -> f64 {
        let scale = self.largest.max(FUSION_FLOOR * self.case_largest);
        let pairs = got.iter().skip(1).flat_map(|other| other.iter().zip(got[0]));
        pairs.map(|(a, b)| ratio((a - b).abs(), scale)).fold(0.0, f64::max)
    }
}

/// What errors are measured against at least: `largest` and `case_largest` are derivatives, `scale` the sum of the terms of
/// the output.
pub(super) fn floor(largest: f64, case_largest: f64, scale: f64) -> f64 {
    (ARGUMENT_FLOOR * largest).max(CASE_FLOOR * case_largest).max(NOISE_FLOOR * scale)
}

fn relative(got: f64, expected: f64, floor: f64) -> f64 {
    ratio((got - expected).abs(), got.abs().max(expected.abs()).max(floor))
}

/// a / b for a, b >= 0; 0 for 0 / 0 and `f64::MAX` for anything that is no number.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 {
        return 0.0;
    }
    let ratio = a / b;
    if ratio.is_finite() { ratio } else { f64::MAX }
}

/// The rows as a table for people; of a whole model only the worst argument, with the elements of all.
pub fn table(rows: &[Row], tolerance: f64) -> String {
    let mut text = format!(
        "{:<50} {:<21} {:>9} {:>7} {:>8} {:>8}  result\n",
        "op", "argument", "worst", "index", "checked", "skipped"
    );
    let mut at = 0;
    while at < rows.len() {
        let is_model = rows[at].op.contains(' ');
        let count = if is_model { rows[at..].iter().take_while(|row| row.op == rows[at].op).count() } else { 1 };
        let mut shown = rows[at].clone();
        rows[at + 1..at + count].iter().for_each(|row| {
            let argument = if row.worst > shown.worst { row.argument.clone() } else { shown.argument.clone() };
            shown.join(row.clone());
            shown.argument = argument;
        });
        let passes = rows[at..at + count].iter().all(|row| row.passes(tolerance));
        let _ = writeln!(
            text,
            "{:<50} {:<21} {:>9.1e} {:>7} {:>8} {:>8}  {}",
            shown.op,
            shown.argument,
            shown.worst,
            shown.index,
            shown.checked,
            shown.skipped,
            if passes { "ok" } else { "FAILED" }
        );
        at += count;
    }
    text
}
