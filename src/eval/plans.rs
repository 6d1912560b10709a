//! The graphs of an evaluation: drawing posterior samples, predicting with them.

use crate::Result;
use crate::call::Dtype;
use crate::graph::{Graph, Store};
use crate::method::Method;
use crate::model::{Model, WeightSpec};
use crate::ops::batch::{DeviceSet, Order, gather_batch};
use crate::ops::elementwise::keep;
use crate::ops::softmax::softmax;
use crate::plan::{Plan, Request};

/// Draws `samples` networks into the persistent buffers `posterior.<weight>`.
///
/// # Errors
/// When the settings do not fit together.
pub fn sample_plan(store: &mut Store, method: &dyn Method, specs: &[WeightSpec], samples: usize) -> Result<Plan> {
    let mut g = Graph::new(store);
    let weights = method.weights(&mut g, specs, samples)?;
    for (spec, &w) in specs.iter().zip(&weights) {
        keep(&mut g, &posterior(spec), w)?;
    }
    Plan::build(g, &Request { name: "sample", ..Request::default() }, size_of::<f32>())
}

/// Predicts a batch of a set, in order, with `samples` networks drawn by [`sample_plan`] (or the single network of a method
/// without samples); `kept[0]` holds the probabilities [S, N, classes].
///
/// # Errors
/// When the settings do not fit together.
pub fn predict_plan(
    store: &mut Store,
    (model, method): (&dyn Model, &dyn Method),
    set: &DeviceSet,
    batch: usize,
    samples: usize,
) -> Result<Plan> {
    let mut g = Graph::new(store);
    let [x, _, _] = gather_batch(&mut g, set, batch, Order::Sequential)?;
    let specs = model.weights();
    let weights = if method.is_stochastic() {
        let mut weights = Vec::with_capacity(specs.len());
        for spec in &specs {
            let shape = spec.shape(samples);
            let region = g.store.buffer(&posterior(spec), Dtype::Real, shape.elements())?;
            weights.push(g.persistent(&spec.name, shape, Dtype::Real, region));
        }
        weights
    } else {
        method.weights(&mut g, &specs, 1)?
    };
    let logits = model.logits(&mut g, x, &weights)?;
    let probabilities = softmax(&mut g, "probabilities", logits)?;
    let name = format!("predict {}", set.name);
    Plan::build(g, &Request { name: &name, keep: &[probabilities], ..Request::default() }, size_of::<f32>())
}

/// Name of the persistent buffer of a drawn weight.
pub fn posterior(spec: &WeightSpec) -> String {
    format!("posterior.{}", spec.name)
}
