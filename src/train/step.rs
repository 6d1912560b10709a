//! The graph of a training step.

use crate::Result;
use crate::call::{Dtype, Optimizer, Schedule, scalar};
use crate::graph::{Graph, Shape, Store, TensorId};
use crate::method::Method;
use crate::model::{Likelihood, Model};
use crate::ops::batch::{DeviceSet, Order, StepFigures, advance_step, gather_batch, metrics};
use crate::ops::elementwise::{add, scale, scale_by_step_scalar};
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
    /// Step of the adversarial images that half of the likelihood is of.
    pub adversarial: Option<f32>,
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

    /// Gathers batches and builds the sum over the members of cross-entropy + anneal KL / N, with the metrics of their mean.
    fn loss(&self, g: &mut Graph, samples: usize, with_kl: bool) -> Result<TensorId> {
        let members = self.method.networks().members();
        let [x, labels, row_weights] = gather_batch(g, &self.set, (members, self.batch), Order::Shuffled)?;
        let specs = self.model.weights();
        let weights = self.method.network(g, &specs, samples)?;
        let read = if self.mc { samples } else { members };
        let likelihood = Likelihood {
            model: self.model,
            weights: weights.first_samples(g, read)?,
            labels,
            row_weights,
            adversarial: self.adversarial,
        };
        let (cross_entropy, correct) = likelihood.cross_entropy(g, x)?;
        let kl = if with_kl { self.method.kl(g, &specs, &weights)? } else { None };
        let (sum, kl, scaled_kl) = match kl {
            Some(kl) => {
                let scaled = scale_by_step_scalar(g, "scaled_kl", kl, scalar::ANNEAL, 1.0 / self.set.images as f32)?;
                (add(g, "loss.sum", cross_entropy, scaled, 1.0)?, kl, scaled)
            }
            None => {
                let zero = g.store.buffer("zero", Dtype::Real, 1)?;
                let zero = g.persistent("zero", Shape::scalar(), Dtype::Real, zero);
                (cross_entropy, zero, zero)
            }
        };
        let mut mean = |name: &str, tensor: TensorId| match members {
            1 => Ok(tensor),
            _ => scale(g, name, tensor, 1.0 / members as f32),
        };
        let figures = StepFigures {
            loss: mean("loss", sum)?,
            cross_entropy: mean("cross_entropy.mean", cross_entropy)?,
            kl: mean("kl.mean", kl)?,
            scaled_kl: mean("scaled_kl.mean", scaled_kl)?,
            correct,
            row_weights,
        };
        metrics(g, &figures);
        match self.method.auxiliary_loss(g, &weights.tensors)? {
            Some(auxiliary) if with_kl => add(g, "loss.all", sum, auxiliary, 1.0),
            _ => Ok(sum),
        }
    }
}
