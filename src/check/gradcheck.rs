//! Gradients against central differences in f64: every op and every input of it, and whole models.
//!
//! Each case is a small graph whose inputs are parameters. The reverse pass starts from fixed random numbers (a softmax
//! seeded with ones has gradient zero, right or wrong), runs once as the nodes were said and once fused, and both results
//! are compared with fourth-order differences. Points where every step straddles a kink (the branches taken change), but for
//! steps so small that rounding drowns the difference, are skipped and counted.

pub use super::prepared::check_case;

use super::case::Case;
use super::prepared::Prepared;
use super::report::Row;
use super::{models, ops, ops_images, rank_update};
use super::{
    shapes, shapes_conv2d, shapes_gaussian, shapes_group, shapes_linear, shapes_mnf, shapes_norm, shapes_pairwise,
    shapes_pool2d, shapes_scalars, toy,
};
use crate::{Error, Result};
use rayon::prelude::*;

/// What to check.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// One of [`names`]; `None` for all.
    pub op: Option<String>,
    pub seed: u64,
    /// Largest relative error that passes.
    pub tolerance: f64,
    /// Whole models too.
    pub models: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { op: None, seed: 1, tolerance: 1e-6, models: true }
    }
}

/// All cases, ops before models.
pub fn cases() -> Vec<Case> {
    let mut cases = ops_cases();
    cases.extend(models::cases());
    cases.extend(toy::cases());
    cases
}

/// Cases of single ops.
pub fn ops_cases() -> Vec<Case> {
    let mut cases = ops::cases();
    cases.extend(shapes_conv2d::cases());
    cases.extend(ops_images::cases());
    cases.extend(shapes::cases());
    cases.extend(shapes_linear::cases());
    cases.extend(shapes_group::cases());
    cases.extend(shapes_scalars::cases());
    cases.extend(shapes_norm::cases());
    cases.extend(shapes_pool2d::cases());
    cases.extend(shapes_pairwise::cases());
    cases.extend(shapes_gaussian::cases());
    cases.extend(shapes_mnf::cases());
    cases
}

/// What [`Options::op`] can be: the ops, and the networks of the whole models.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in cases().iter().map(|case| family(&case.op)).chain([rank_update::OP]) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_string());
        }
    }
    names
}

/// One row for each argument of each op (the worst of its cases) and of each model.
///
/// # Errors
/// When no op has the name that was asked for, or a case cannot be built.
pub fn run(options: &Options) -> Result<Vec<Row>> {
    let wanted = |op: &str| options.op.as_ref().is_none_or(|name| name == op || name == family(op));
    let is_model = |case: &Case| family(&case.op) != case.op;
    let selected: Vec<Case> = cases()
        .into_iter()
        .filter(|case| wanted(&case.op) && (options.models || options.op.is_some() || !is_model(case)))
        .collect();
    if selected.is_empty() && !wanted(rank_update::OP) {
        return Err(Error::input(format!(
            "--op {}: expected one of {}",
            options.op.as_deref().unwrap_or_default(),
            names().join(", ")
        )));
    }
    let checked: Result<Vec<Vec<Row>>> = selected
        .par_iter()
        .map(|case| Prepared::new(case, options.seed).and_then(|prepared| prepared.rows(&prepared.plans)))
        .collect();
    let mut rows: Vec<Row> = Vec::new();
    for row in checked?.into_iter().flatten() {
        match rows.iter_mut().find(|known| known.op == row.op && known.argument == row.argument) {
            Some(known) => known.join(row),
            None => rows.push(row),
        }
    }
    if wanted(rank_update::OP) {
        rows.extend(rank_update::rows(options.seed)?);
    }
    Ok(rows)
}

/// Fails when a row does.
///
/// # Errors
/// Names the op, the argument and the element with what was got and expected.
pub fn verdict(rows: &[Row], tolerance: f64) -> Result<()> {
    let failed: Vec<&Row> = rows.iter().filter(|row| !row.passes(tolerance)).collect();
    let Some(worst) = failed.iter().max_by(|a, b| a.worst.total_cmp(&b.worst)) else { return Ok(()) };
    Err(Error::check(format!(
        "gradcheck: {} of {} arguments fail at tolerance {tolerance:e}; worst {} {} ({}), element {}: got {:e}, expected {:e}, \
         relative error {:.1e}, fused against unfused {:.1e}",
        failed.len(),
        rows.len(),
        worst.op,
        worst.argument,
        worst.case,
        worst.index,
        worst.got,
        worst.expected,
        worst.worst,
        worst.fusion
    )))
}

/// The op itself, or the network of a model.
fn family(op: &str) -> &str {
    op.split(' ').next().unwrap_or(op)
}
