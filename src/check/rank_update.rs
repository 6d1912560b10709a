//! The rank-update fusion against finite differences: Adam's first moment after one step from zero is (1 - beta1) times the
//! weight gradient that the fused call never stores.

use super::case::{Case, argument};
use super::prepared::{Prepared, parameters, seed_tensor};
use super::report::Row;
use crate::Result;
use crate::call::{Moments, Optimizer};
use crate::graph::Graph;
use crate::ops::linear::linear;
use crate::plan::{Plan, Request};

/// Name of its rows.
pub const OP: &str = "linear_rank_update";

/// A power of two, so that the gradient comes back exactly.
const BETA1: f32 = 0.5;
const OPTIMIZER: Optimizer = Optimizer::Adam { beta1: BETA1, beta2: 0.999, epsilon: 1e-5, moments: Moments::Fp32 };
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
    let fused = fused_gradients(&mut prepared, &plan)?;
    Ok(prepared.compare(&[unfused, fused]))
}

/// The training plan of the case, with the gradients of all parameters but w.
fn plan(case: &Case, prepared: &mut Prepared) -> Result<Plan> {
    let mut graph = Graph::new(&mut prepared.store);
    let output = (case.build)(&mut graph)?.output;
    let seed = seed_tensor(&mut graph, output)?;
    let stored: Vec<_> = parameters(&graph).into_iter().filter(|&tensor| graph.name(tensor) != "w").collect();
    let (targets, gradients) = ([(output, Some(seed))], stored);
    let request = Request {
        name: OP,
        targets: &targets,
        gradients: &gradients,
        optimizer: Some(OPTIMIZER),
        ..Request::default()
    };
    Plan::build(graph, &request, size_of::<f64>())
}

/// One step at learning rate 0; gradients of all parameters, that of w from its first moment.
fn fused_gradients(prepared: &mut Prepared, plan: &Plan) -> Result<Vec<Vec<f64>>> {
    let w = prepared.store.find("w")?;
    let moment = prepared.store.moments(w, OPTIMIZER)?[0];
    let mut device = prepared.device(&[plan])?;
    let scalars = prepared.store.scalars();
    device.persistent_mut::<f64>(scalars).copy_from_slice(&[0.0, 1.0, 1.0, 1.0]);
    device.run(plan);
    let scale = 1.0 / f64::from(1.0 - BETA1);
    let from_moment = device.persistent::<f64>(moment).iter().map(|m| m * scale).collect();
    let mut stored = plan.gradients.iter().map(|&gradient| device.read::<f64>(plan, gradient).to_vec());
    let mut from_moment = Some(from_moment);
    let gradient = |argument: &super::prepared::Argument| match argument.name.as_str() {
        "w" => from_moment.take().unwrap_or_default(),
        _ => stored.next().unwrap_or_default(),
    };
    Ok(prepared.arguments.iter().map(gradient).collect())
}
