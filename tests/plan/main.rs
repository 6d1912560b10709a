//! Passes of the planner: set or add, filled gaps, dead calls, constants, fusions, places in memory, and the verifier, which
//! must find every defect planted in a plan.

mod fusion;
mod group;
mod launches;
mod memory;
mod rules;
mod verify;

use bbh::Result;
use bbh::call::Optimizer;
use bbh::graph::{Graph, Init, Shape, Store, TensorId};
use bbh::ops::elementwise::{half_squared_norm, relu};
use bbh::ops::linear::linear;
use bbh::plan::{Plan, Request};

const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5 };

fn parameter(g: &mut Graph, name: &str, axes: &[(char, usize)]) -> TensorId {
    g.parameter(name, Shape::new(axes), Init::Uniform(1.0)).unwrap()
}

/// x [S, N, I] -> two linear maps with ReLU -> loss; parameters x, w1, w2.
fn two_layers(g: &mut Graph) -> Result<(TensorId, [TensorId; 3])> {
    let x = parameter(g, "x", &[('S', 2), ('N', 3), ('I', 5)]);
    let w1 = parameter(g, "w1", &[('S', 2), ('O', 7), ('I', 5)]);
    let w2 = parameter(g, "w2", &[('S', 2), ('O', 4), ('I', 7)]);
    let h = linear(g, "first", x, w1, None)?;
    let h = relu(g, "first.relu", h)?;
    let y = linear(g, "second", h, w2, None)?;
    Ok((half_squared_norm(g, "loss", &[y])?, [x, w1, w2]))
}

/// A plan with the gradients of `wanted`.
fn gradients(g: Graph, loss: TensorId, wanted: &[TensorId]) -> Result<Plan> {
    Plan::build(g, &Request { name: "test", targets: &[(loss, None)], gradients: wanted, ..Request::default() }, 8)
}

fn two_layer_plan(store: &mut Store) -> Plan {
    let mut g = Graph::new(store);
    let (loss, wanted) = two_layers(&mut g).unwrap();
    gradients(g, loss, &wanted).unwrap()
}
