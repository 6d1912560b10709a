//! The graphs of an evaluation: drawing posterior samples, predicting with them.

use crate::Result;
use crate::call::Dtype;
use crate::graph::{Graph, Shape, Store};
use crate::method::{Method, Networks};
use crate::model::{Model, WeightSpec, Weights};
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
    let masked = method.networks() == Networks::Masked;
    let copies = if masked { samples } else { 1 };
    let [mut x, _, _] = gather_batch(&mut g, set, (copies, batch), Order::Sequential)?;
    if masked {
        let [channels, height, width] = ['C', 'H', 'W'].map(|axis| g.shape(x).axis(axis).unwrap_or(1));
        let one = [('S', 1), ('N', copies * batch), ('C', channels), ('H', height), ('W', width)];
        x = g.reshape(x, Shape::new(&one))?;
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
        _ => method.network(&mut g, &specs, 1)?,
    };
    let mut logits = model.logits(&mut g, x, &weights)?;
    if masked {
        let classes = g.shape(logits).axis('I').unwrap_or(1);
        logits = g.reshape(logits, Shape::new(&[('S', copies), ('N', batch), ('I', classes)]))?;
    }
    let probabilities = softmax(&mut g, "probabilities", logits)?;
    let name = format!("predict {}", set.name);
    Plan::build(g, &Request { name: &name, keep: &[probabilities], ..Request::default() }, size_of::<f32>())
}

/// Name of the persistent buffer of a drawn weight.
pub fn posterior(spec: &WeightSpec) -> String {
    format!("posterior.{}", spec.name)
}
