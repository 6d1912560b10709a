//! Training of one method on all points at once, and predictions with its networks.

use super::recipe::Recipe;
use super::task::Task;
use crate::backend::cpu::{Cpu, Real};
use crate::call::{Moments, Optimizer, Schedule, scalar, word};
use crate::graph::{Graph, Store};
use crate::method::Networks;
use crate::model::Weights;
use crate::ops::batch::advance_step;
use crate::ops::elementwise::{add, keep, scale, scale_by_step_scalar};
use crate::plan::{Plan, Request};
use crate::train::first_values;
use crate::{Error, Result};

/// Networks that are drawn and evaluated together.
const AT_ONCE: usize = 25;

/// Distinguishes the noise of predictions from that of training steps, in the high half of the seed.
const PREDICTION_KEY: u32 = 0x7072_6564;

/// With the epsilon of the authors' code.
const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, moments: Moments::Fp32 };

/// Networks and what they predict.
#[derive(Clone, Debug, Default)]
pub struct Networked {
    /// [T, D]: T networks; one for masked activations, whose predictions are more.
    pub weights: Vec<f64>,
    /// [T, inputs]
    pub predictions: Vec<f64>,
}

/// Trains a method and predicts with `draws` networks (or masks; or with all there are).
///
/// # Errors
/// When the settings do not fit together, or a prediction is not finite.
pub fn fit<T: Real>(task: &Task, recipe: &Recipe, seed: u64, draws: usize) -> Result<Networked> {
    let mut store = Store::new();
    let step = step_plan::<T>(&mut store, task, recipe)?;
    let predict = predict_plan::<T>(&mut store, task, recipe)?;
    let mut device = Cpu::<T>::new(&store, &[&step, &predict])?;
    start(&store, &mut device, seed);
    task.upload(&store, &mut device)?;
    for (name, values) in &recipe.constants {
        let to = device.persistent_mut::<T>(store.find(name)?);
        to.iter_mut().zip(values).for_each(|(to, &value)| *to = T::of(value));
    }
    for _ in 0..recipe.steps {
        device.run(&step);
    }
    predict_all(task, recipe, (&store, &mut device), &predict, draws)
}

/// One step of gradient descent on the mean over the points of the negative log-likelihood (of the mean over drawn networks, of the
/// sum over members) + anneal KL / N.
fn step_plan<T: Real>(store: &mut Store, task: &Task, recipe: &Recipe) -> Result<Plan> {
    let points = task.train.x.len() as f32;
    let method = recipe.method.as_ref();
    let networks = method.networks();
    let mut g = Graph::new(store);
    advance_step(&mut g, schedule(recipe));
    let weights = method.network(&mut g, &task.specs, networks.samples(recipe.samples))?;
    let (sum, _) = task.negative_log_likelihood(&mut g, &weights)?;
    let drawn = if networks == Networks::Drawn { recipe.samples as f32 } else { 1.0 };
    let mut loss = scale(&mut g, "likelihood", sum, 1.0 / (drawn * points))?;
    if let Some(kl) = method.kl(&mut g, &task.specs, &weights)? {
        let scaled = scale_by_step_scalar(&mut g, "scaled_kl", kl, scalar::ANNEAL, 1.0 / points)?;
        loss = add(&mut g, "loss", loss, scaled, 1.0)?;
    }
    let request = Request { name: "step", targets: &[(loss, None)], optimizer: Some(ADAM), ..Request::default() };
    Plan::build(g, &request, size_of::<T>())
}

/// The rate falls to 0 along a cosine; the KL's factor rises from 0 over the first half of the steps.
fn schedule(recipe: &Recipe) -> Schedule {
    let steps = recipe.steps as u32;
    Schedule {
        learning_rate: recipe.rate,
        warmup_steps: steps / 50,
        decay_steps: steps,
        final_fraction: 0.0,
        anneal_start_step: steps / 10,
        anneal_length_steps: (steps / 5).max(1),
        beta1: 0.9,
        beta2: 0.999,
    }
}

/// Draws networks where they are drawn, keeps their weights, predicts at the task's inputs.
fn predict_plan<T: Real>(store: &mut Store, task: &Task, recipe: &Recipe) -> Result<Plan> {
    let method = recipe.method.as_ref();
    let mut g = Graph::new(store);
    let weights = match method.networks() {
        Networks::Drawn => Weights::new(method.weights(&mut g, &task.specs, AT_ONCE)?),
        _ => method.network(&mut g, &task.specs, 1)?,
    };
    let mut kept = Vec::new();
    for (spec, &w) in task.specs.iter().zip(&weights.tensors) {
        kept.push(keep(&mut g, &format!("kept.{}", spec.name), w)?);
    }
    let copies = if method.networks() == Networks::Masked { AT_ONCE } else { 1 };
    kept.push(task.predictions(&mut g, &weights, copies)?);
    Plan::build(g, &Request { name: "predict", keep: &kept, ..Request::default() }, size_of::<T>())
}

/// First values of the parameters, and step 0 of the seed.
fn start<T: Real>(store: &Store, device: &mut Cpu<T>, seed: u64) {
    for (index, parameter) in store.parameters().iter().enumerate() {
        let mut values = vec![0.0; parameter.region.len];
        first_values((parameter, index), seed, 0, &mut values);
        let to = device.persistent_mut::<T>(parameter.region);
        to.iter_mut().zip(values).for_each(|(to, value)| *to = T::of(value.into()));
    }
    let words = device.persistent_mut::<u32>(store.words());
    (words[word::SEED_LOW], words[word::SEED_HIGH]) = (seed as u32, (seed >> 32) as u32);
}

fn predict_all<T: Real>(
    task: &Task,
    recipe: &Recipe,
    (store, device): (&Store, &mut Cpu<T>),
    plan: &Plan,
    draws: usize,
) -> Result<Networked> {
    let networks = recipe.method.networks();
    let (wanted, at_once) = (networks.predicting(draws), networks.predicting(AT_ONCE));
    let mut found = Networked::default();
    for block in 0..wanted.div_ceil(at_once) {
        let words = device.persistent_mut::<u32>(store.words());
        words[word::STEP] = block as u32 + 1;
        if block == 0 {
            words[word::SEED_HIGH] ^= PREDICTION_KEY;
        }
        device.run(plan);
        let count = (wanted - block * at_once).min(at_once);
        let [weights @ .., predictions] = &plan.kept[..] else { continue };
        let predictions = &device.read::<T>(plan, *predictions)[..count * task.inputs.len()];
        found.predictions.extend(predictions.iter().map(|value| value.f64()));
        let rows = match networks {
            Networks::Masked if block > 0 => 0,
            Networks::Masked => 1,
            _ => count,
        };
        for row in 0..rows {
            for (spec, &region) in task.specs.iter().zip(weights) {
                let values = &device.read::<T>(plan, region)[row * spec.elements()..(row + 1) * spec.elements()];
                found.weights.extend(values.iter().map(|value| value.f64()));
            }
        }
    }
    match found.predictions.iter().all(|value| value.is_finite()) {
        true => Ok(found),
        false => {
            Err(Error::run(format!("{}: a prediction is not finite; train it with a smaller --lr", recipe.kind.name())))
        }
    }
}
