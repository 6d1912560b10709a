//! The graphs of an evaluation: drawing posterior samples, predicting with them.

use crate::Result;
use crate::call::Dtype;
use crate::graph::{Graph, Shape, Store, TensorId};
use crate::method::{Method, Networks};
use crate::model::{Model, WeightSpec, Weights};
use crate::ops::batch::{DeviceSet, Order, gather_batch};
use crate::ops::elementwise::keep;
use crate::ops::softmax::softmax;
use crate::plan::{Plan, Request};

/// Draws `samples` networks into the persistent buffers `posterior.<weight>`; the members, or the one network, where none are
/// drawn. Real elements of `real_bytes`.
///
/// # Errors
/// When the settings do not fit together.
pub fn sample_plan(
    store: &mut Store,
    method: &dyn Method,
    specs: &[WeightSpec],
    (samples, real_bytes): (usize, usize),
) -> Result<Plan> {
    let mut g = Graph::new(store);
    let weights = method.weights(&mut g, specs, samples)?;
    for (spec, &w) in specs.iter().zip(&weights) {
        keep(&mut g, &posterior(spec), w)?;
    }
    Plan::build(g, &Request { name: "sample", ..Request::default() }, real_bytes)
}

/// Predicts a batch of a set, in order, with `samples` networks: drawn by [`sample_plan`], members, or masks of one network;
/// `kept[0]` holds the probabilities [S, N, classes].
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
    let images = |g: &mut Graph, copies| gather_batch(g, set, (copies, batch), Order::Sequential).map(|[x, _, _]| x);
    let logits = outputs(&mut g, (model, method), samples, images)?;
    let probabilities = softmax(&mut g, "probabilities", logits)?;
    let name = format!("predict {}", set.name);
    Plan::build(g, &Request { name: &name, keep: &[probabilities], ..Request::default() }, size_of::<f32>())
}

/// The outputs [S, N, I] of `samples` networks: drawn by [`sample_plan`], members, or masks of one network. `inputs` builds
/// [copies, N, ..], the same inputs `copies` times: one for each mask, else once.
///
/// # Errors
/// When the settings do not fit together.
pub fn outputs(
    g: &mut Graph,
    (model, method): (&dyn Model, &dyn Method),
    samples: usize,
    inputs: impl FnOnce(&mut Graph, usize) -> Result<TensorId>,
) -> Result<TensorId> {
    let masked = method.networks() == Networks::Masked;
    let copies = if masked { samples } else { 1 };
    let mut x = inputs(g, copies)?;
    let batch = g.shape(x).axis('N').unwrap_or(1);
    if masked {
        let one = g.shape(x).with_samples(1).with_axis('N', copies * batch);
        x = g.reshape(x, one)?;
    }
    let specs = model.weights();
    let weights = match method.networks() {
        Networks::Drawn => {
            let mut weights = Vec::with_capacity(specs.len());
            for spec in &specs {
                let shape = spec.shape(samples);
                let region = g.store.buffer(&posterior(spec), Dtype::Real, shape.elements())?;
                weights.push(g.persistent(&spec.name, shape, Dtype::Real, region));
            }
            Weights::new(weights)
        }
        _ => method.network(g, &specs, 1)?,
    };
    let found = model.logits(g, x, &weights)?;
    if !masked {
        return Ok(found);
    }
    let outputs = g.shape(found).axis('I').unwrap_or(1);
    g.reshape(found, Shape::new(&[('S', copies), ('N', batch), ('I', outputs)]))
}

/// Name of the persistent buffer of a drawn weight.
pub fn posterior(spec: &WeightSpec) -> String {
    format!("posterior.{}", spec.name)
}
