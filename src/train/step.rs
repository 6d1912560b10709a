//! The graph of a training step.

use crate::Result;
use crate::call::{Dtype, Optimizer, Schedule, scalar};
use crate::graph::{Graph, Shape, Store, TensorId};
use crate::method::Method;
use crate::model::Model;
use crate::ops::batch::{DeviceSet, Order, StepFigures, advance_step, gather_batch, metrics};
use crate::ops::elementwise::{add, scale_by_step_scalar};
use crate::ops::softmax::softmax_xent;
use crate::plan::{Plan, Request};

/// What the training plans of a run have in common.
pub struct Step<'a> {
    pub model: &'a dyn Model,
    pub method: &'a dyn Method,
    pub set: DeviceSet,
    pub batch: usize,
    pub schedule: Schedule,
    pub optimizer: Optimizer,
    /// Clips stored gradients by value.
    pub clip: Option<f32>,
    /// All samples in the likelihood (the mean of their predictions), not the first alone.
    pub mc: bool,
}

impl Step<'_> {
    /// A training step with `samples` weight samples; `with_kl` false leaves the KL term out (its factor is 0 then).
    ///
    /// # Errors
    /// When the settings do not fit together.
    pub fn plan(&self, store: &mut Store, name: &str, samples: usize, with_kl: bool) -> Result<Plan> {
        let mut g = Graph::new(store);
        advance_step(&mut g, self.schedule);
        let loss = self.loss(&mut g, samples, with_kl)?;
        let request = Request {
            name,
            targets: &[(loss, None)],
            optimizer: Some(self.optimizer),
            clip: self.clip,
            ..Request::default()
        };
        Plan::build(g, &request, size_of::<f32>())
    }

    /// Gathers a batch and builds cross-entropy + anneal KL / N, with its metrics.
    fn loss(&self, g: &mut Graph, samples: usize, with_kl: bool) -> Result<TensorId> {
        let [x, labels, row_weights] = gather_batch(g, &self.set, self.batch, Order::Shuffled)?;
        let specs = self.model.weights();
        let weights = self.method.weights(g, &specs, samples)?;
        let likelihood = if self.mc { weights.clone() } else { first_of_each(g, &weights)? };
        let logits = self.model.logits(g, x, &likelihood)?;
        let (cross_entropy, correct) = softmax_xent(g, "cross_entropy", logits, labels, row_weights)?;
        let kl = if with_kl { self.method.kl(g, &specs, &weights)? } else { None };
        let (loss, kl, scaled_kl) = match kl {
            Some(kl) => {
                let scaled = scale_by_step_scalar(g, "scaled_kl", kl, scalar::ANNEAL, 1.0 / self.set.images as f32)?;
                (add(g, "loss", cross_entropy, scaled, 1.0)?, kl, scaled)
            }
            None => {
                let zero = g.store.buffer("zero", Dtype::Real, 1)?;
                let zero = g.persistent("zero", Shape::scalar(), Dtype::Real, zero);
                (cross_entropy, zero, zero)
            }
        };
        metrics(g, &StepFigures { loss, cross_entropy, kl, scaled_kl, correct, row_weights });
        Ok(loss)
    }
}

fn first_of_each(g: &mut Graph, weights: &[TensorId]) -> Result<Vec<TensorId>> {
    weights.iter().map(|&w| g.first_samples(w, 1)).collect()
}
