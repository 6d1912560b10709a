//! Training of one method on all points at once, and predictions with its networks.

use super::device::{Arithmetic, Device};
use super::recipe::Recipe;
use super::task::Task;
use crate::call::{Moments, Optimizer, Schedule, scalar};
use crate::eval::plans::{outputs, posterior, sample_plan};
use crate::graph::{Graph, Store, TensorId};
use crate::method::{Method, Networks};
use crate::model::with_adversarial_inputs;
use crate::ops::batch::advance_step;
use crate::ops::elementwise::{add, scale, scale_by_step_scalar};
use crate::plan::{Plan, Request};
use crate::{Error, Result};

/// Networks that are drawn and evaluated together.
const AT_ONCE: usize = 25;

/// Distinguishes the noise of predictions from that of training steps, in the high half of the seed.
const PREDICTION_KEY: u64 = 0x7072_6564 << 32;

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
/// When the settings do not fit together, the device fails, or a prediction is not finite.
pub fn fit(task: &Task, recipe: &Recipe, (seed, draws): (u64, usize), arithmetic: Arithmetic) -> Result<Networked> {
    let mut store = Store::new();
    let plans = Plans::new(&mut store, task, recipe, arithmetic.real_bytes())?;
    let mut device = Device::open(arithmetic, &store, &[&plans.step, &plans.sample, &plans.predict])?;
    device.start(&store, seed)?;
    for (region, values) in task.constants(&store) {
        device.write(region, &values)?;
    }
    for (name, values) in &recipe.constants {
        device.write(store.find(name)?, values)?;
    }
    for _ in 0..recipe.steps {
        device.run(&plans.step)?;
    }
    plans.predict_all(task, recipe, (&store, &mut device), (seed, draws))
}

/// Plans over one store.
struct Plans {
    step: Plan,
    /// Draws networks, or copies those there are.
    sample: Plan,
    /// Predicts with them.
    predict: Plan,
}

impl Plans {
    fn new(store: &mut Store, task: &Task, recipe: &Recipe, real_bytes: usize) -> Result<Self> {
        let method = recipe.method.as_ref();
        let at_once = method.networks().predicting(AT_ONCE);
        let step = step_plan(store, task, recipe, real_bytes)?;
        let sample = sample_plan(store, method, &task.specs, (at_once, real_bytes))?;
        let mut g = Graph::new(store);
        let predictions = outputs(&mut g, (&task.model, method), at_once, |g, copies| task.inputs(g, copies))?;
        let request = Request { name: "predict", keep: &[predictions], ..Request::default() };
        let predict = Plan::build(g, &request, real_bytes)?;
        Ok(Self { step, sample, predict })
    }

    fn predict_all(
        &self,
        task: &Task,
        recipe: &Recipe,
        (store, device): (&Store, &mut Device),
        (seed, draws): (u64, usize),
    ) -> Result<Networked> {
        let networks = recipe.method.networks();
        let (wanted, at_once) = (networks.predicting(draws), networks.predicting(AT_ONCE));
        let mut found = Networked::default();
        for block in 0..wanted.div_ceil(at_once) {
            device.write_words(store, seed ^ PREDICTION_KEY, block as u32 + 1)?;
            device.run(&self.sample)?;
            device.run(&self.predict)?;
            let count = (wanted - block * at_once).min(at_once);
            let predictions = device.read(&self.predict, self.predict.kept[0])?;
            found.predictions.extend_from_slice(&predictions[..count * task.inputs.len()]);
            let rows = match networks {
                Networks::Masked if block > 0 => 0,
                Networks::Masked => 1,
                _ => count,
            };
            let mut weights = Vec::with_capacity(task.specs.len());
            for spec in &task.specs {
                weights.push(device.read(&self.predict, store.find(&posterior(spec))?)?);
            }
            for row in 0..rows {
                for (spec, values) in task.specs.iter().zip(&weights) {
                    found.weights.extend_from_slice(&values[row * spec.elements()..(row + 1) * spec.elements()]);
                }
            }
        }
        match found.predictions.iter().all(|value| value.is_finite()) {
            true => Ok(found),
            false => Err(Error::run(format!(
                "{}: a prediction is not finite; train it with a smaller --lr",
                recipe.kind.name()
            ))),
        }
    }
}

/// One step of gradient descent on the loss.
fn step_plan(store: &mut Store, task: &Task, recipe: &Recipe, real_bytes: usize) -> Result<Plan> {
    let mut g = Graph::new(store);
    advance_step(&mut g, schedule(recipe));
    let loss = loss(&mut g, task, (recipe.method.as_ref(), recipe.samples), recipe.adversarial)?;
    let request = Request { name: "step", targets: &[(loss, None)], optimizer: Some(ADAM), ..Request::default() };
    Plan::build(g, &request, real_bytes)
}

/// The mean over the points of the negative log-likelihood (of the mean over drawn networks, of the sum over members) + anneal
/// KL / N. `adversarial`: the step of the inputs that half of the likelihood is of.
///
/// # Errors
/// When the method does not fit the network, or needs more samples.
pub fn loss(
    g: &mut Graph,
    task: &Task,
    (method, samples): (&dyn Method, usize),
    adversarial: Option<f32>,
) -> Result<TensorId> {
    let points = task.train.x.len() as f32;
    let networks = method.networks();
    let weights = method.network(g, &task.specs, networks.samples(samples))?;
    let x = task.points(g, networks.members())?;
    let drawn = if networks == Networks::Drawn { samples as f32 } else { 1.0 };
    let share = 1.0 / (drawn * points);
    let of_inputs = |g: &mut Graph, name: &str, x| task.negative_log_likelihood(g, name, x, &weights);
    let likelihood = match adversarial {
        Some(step) => with_adversarial_inputs(g, "likelihood", x, (step, share), of_inputs)?.0,
        None => {
            let (sum, _) = of_inputs(g, "negative_log_likelihood", x)?;
            scale(g, "likelihood", sum, share)?
        }
    };
    let Some(kl) = method.kl(g, &task.specs, &weights)? else { return Ok(likelihood) };
    let scaled = scale_by_step_scalar(g, "scaled_kl", kl, scalar::ANNEAL, 1.0 / points)?;
    add(g, "loss", likelihood, scaled, 1.0)
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

#[cfg(test)]
mod tests {
    use super::{Arithmetic, Device, loss};
    use crate::data::toy::NOISE;
    use crate::graph::{Graph, Store};
    use crate::method::Ensemble;
    use crate::plan::{Plan, Request};
    use crate::toy::Task;

    const STEP: f64 = 0.5;

    /// Half of the likelihood at the points, half where each member's own grows from there, by hand.
    #[test]
    fn members_meet_adversarial_inputs_of_their_own() {
        let task = Task::new(1, 6, 5).unwrap();
        let mut store = Store::new();
        let mut g = Graph::new(&mut store);
        let method = Ensemble { members: 2, prior_scale: 1.0 };
        let loss = loss(&mut g, &task, (&method, 1), Some(STEP as f32)).unwrap();
        let plan = Plan::build(g, &Request { name: "loss", keep: &[loss], ..Request::default() }, size_of::<f64>());
        let plan = plan.unwrap();
        let mut device = Device::open(Arithmetic::F64, &store, &[&plan]).unwrap();
        device.start(&store, 3).unwrap();
        for (region, values) in task.constants(&store) {
            device.write(region, &values).unwrap();
        }
        device.run(&plan).unwrap();
        let found = device.read(&plan, plan.kept[0]).unwrap()[0];
        let parameters: Vec<_> =
            task.specs.iter().map(|spec| device.read(&plan, store.find(&spec.name).unwrap()).unwrap()).collect();
        let [w1, b1, w2, b2] = &parameters[..] else { panic!("{parameters:?}") };
        let (mut plain, mut moved, mut signs) = (0.0, 0.0, Vec::new());
        for member in 0..2 {
            let units = 5 * member..5 * member + 5;
            let f = |x: f64| {
                b2[member] + units.clone().map(|unit| w2[unit] * (w1[unit] * x + b1[unit]).max(0.0)).sum::<f64>()
            };
            for (&x, &y) in task.train.x.iter().zip(&task.train.y) {
                let term = |x: f64| (f(x) - y) * (f(x) - y) / (2.0 * NOISE * NOISE);
                let sign = (term(x + 1e-7) - term(x - 1e-7)).signum();
                plain += term(x) / 6.0;
                moved += term(x + STEP * sign) / 6.0;
                signs.push(sign);
            }
        }
        assert!(signs[..6] != signs[6..], "{signs:?}");
        assert!(moved > 1.01 * plain, "{moved} {plain}");
        let expected = 0.5 * (plain + moved);
        assert!((found - expected).abs() <= 1e-6 * expected, "{found}, not {expected}");
    }
}
