//! The rank-update fusion against finite differences: Adam's first moment after one step from zero is (1 - beta1) times the
//! weight gradient that the fused call never stores.

use super::case::{Case, argument};
use super::prepared::{Prepared, parameters, seed_tensor};
use super::report::Row;
use crate::Result;
use crate::call::{Kind, Optimizer, Region, word};
use crate::graph::Graph;
use crate::ops::linear::linear;
use crate::plan::{Plan, Request};
use crate::{Error, call::scalar};

/// Name of its rows.
pub const OP: &str = "linear_rank_update";

const BETA1: f32 = 0.9;
const OPTIMIZER: Optimizer = Optimizer::Adam { beta1: BETA1, beta2: 0.999, epsilon: 1e-5 };
/// Just above `graph::LARGE` weights, the outputs no multiple of any block.
const OUTPUTS: usize = 16_411;
const INPUTS: usize = 64;

/// Linear map x [1, 3, I], w [1, O, I], b [1, O] with a weight matrix that is updated in the reverse pass.
pub fn case() -> Case {
    Case::op(OP, "large matrix", |g| {
        let x = argument(g, "x", &[('S', 1), ('N', 3), ('I', INPUTS)])?;
        let w = argument(g, "w", &[('S', 1), ('O', OUTPUTS), ('I', INPUTS)])?;
        let b = argument(g, "b", &[('S', 1), ('O', OUTPUTS)])?;
        linear(g, "y", x, w, Some(b))
    })
    .at_most(12)
}

/// One row for each of x, w and b.
///
/// # Errors
/// When the plan cannot be built or does not hold a rank update.
pub fn rows(seed: u64) -> Result<Vec<Row>> {
    let case = case();
    let mut prepared = Prepared::new(&case, seed)?;
    let plan = plan(&case, &mut prepared)?;
    let unfused = prepared.gradients(&prepared.plans[0])?;
    let fused = gradients(&prepared, &plan)?;
    Ok(prepared.compare(&[unfused, fused]))
}
