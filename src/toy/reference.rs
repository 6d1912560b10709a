//! The reference: Hamiltonian Monte Carlo on the exact log joint of the network, -sum (f(x) - y)^2 / (2 sigma^2) - |w|^2 / 2,
//! the prior N(0, 1) on all weights, from a MAP solution on. The gradient is a plan in f64, the chains its samples.

use super::fit::Networked;
use super::task::{GRID, Task};
use crate::Result;
use crate::backend::cpu::Cpu;
use crate::data::toy::NOISE;
use crate::graph::{Graph, Init, Store, TensorId};
use crate::hmc::diagnostics::{effective_sample_size, split_r_hat};
use crate::hmc::{self, Draws, Settings};
use crate::model::{Model, Weights};
use crate::ops::elementwise::{add, half_squared_norm};
use crate::plan::{Plan, Request};

/// Every so many grid points one is looked at by the diagnostics.
const STRIDE: usize = 10;

/// How the sampler did. All chains start at the same MAP solution, so that R-hat tells whether they agree on what they found from
/// there.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Diagnostics {
    pub chains: usize,
    /// Trajectories accepted after burn-in, 0 to 1.
    pub acceptance: f64,
    pub step_size: f64,
    pub leapfrog: usize,
    /// Largest split R-hat of the log joint and of predictions at every tenth grid point. Weights are left out: hidden units can
    /// change places and scales without changing a prediction.
    pub r_hat: f64,
    /// Smallest effective sample size of the same figures.
    pub effective_samples: f64,
}

/// The sampler's networks and how it did.
///
/// # Errors
/// When settings are out of range.
pub fn sample(task: &Task, settings: &Settings, start: &[f64]) -> Result<(Networked, Diagnostics)> {
    let mut joint = Joint::new(task, settings.chains)?;
    let start = start.repeat(settings.chains);
    let draws = hmc::sample(settings, &start, &mut |positions, log_densities, gradients| {
        joint.evaluate(positions, log_densities, gradients);
        Ok(())
    })?;
    let mut predictions = Vec::with_capacity(settings.draws * settings.chains * task.inputs.len());
    for positions in draws.positions.chunks(start.len()) {
        joint.predict(positions, &mut predictions);
    }
    let diagnostics = diagnose(task, settings, &draws, &predictions);
    Ok((Networked { weights: draws.positions, predictions }, diagnostics))
}

/// Plans over the weights of all chains.
struct Joint<'a> {
    task: &'a Task,
    store: Store,
    gradient: Plan,
    predict: Plan,
    device: Cpu<f64>,
}

impl<'a> Joint<'a> {
    fn new(task: &'a Task, chains: usize) -> Result<Self> {
        let mut store = Store::new();
        let gradient = {
            let mut g = Graph::new(&mut store);
            let weights = chain_weights(&mut g, task, chains)?;
            let x = task.points(&mut g, 1)?;
            let (likelihood, residuals) = task.negative_log_likelihood(&mut g, "likelihood", x, &weights)?;
            let prior = half_squared_norm(&mut g, "negative_log_prior", &weights.tensors)?;
            let joint = add(&mut g, "negative_log_joint", likelihood, prior, 1.0)?;
            let request = Request {
                name: "log joint",
                targets: &[(joint, None)],
                gradients: &weights.tensors,
                keep: &[residuals],
                ..Request::default()
            };
            Plan::build(g, &request, size_of::<f64>())?
        };
        let predict = {
            let mut g = Graph::new(&mut store);
            let weights = chain_weights(&mut g, task, chains)?;
            let x = task.inputs(&mut g, 1)?;
            let f = task.model.logits(&mut g, x, &weights)?;
            Plan::build(g, &Request { name: "predict", keep: &[f], ..Request::default() }, size_of::<f64>())?
        };
        let mut device = Cpu::<f64>::new(&store, &[&gradient, &predict])?;
        for (region, values) in task.constants(&store) {
            device.persistent_mut::<f64>(region).copy_from_slice(&values);
        }
        Ok(Self { task, store, gradient, predict, device })
    }

    /// Positions [C, D] into the tensors [C, ..].
    fn place(&mut self, positions: &[f64]) {
        let size = self.task.weights();
        let mut at = 0;
        for (spec, parameter) in self.task.specs.iter().zip(self.store.parameters()) {
            let len = spec.elements();
            let to = self.device.persistent_mut::<f64>(parameter.region);
            for (to, position) in to.chunks_mut(len).zip(positions.chunks(size)) {
                to.copy_from_slice(&position[at..at + len]);
            }
            at += len;
        }
    }

    /// Log joint of each chain up to a constant, and its gradient. Chains share no weight, so that the gradient of the sum of their
    /// joints is that of each.
    fn evaluate(&mut self, positions: &[f64], log_densities: &mut [f64], gradients: &mut [f64]) {
        self.place(positions);
        self.device.run(&self.gradient);
        let size = self.task.weights();
        let half_squares = |values: &[f64]| 0.5 * values.iter().map(|value| value * value).sum::<f64>();
        let residuals = self.device.read::<f64>(&self.gradient, self.gradient.kept[0]);
        let rows = residuals.chunks(self.task.train.x.len()).zip(positions.chunks(size));
        for (log_density, (residuals, position)) in log_densities.iter_mut().zip(rows) {
            *log_density = -half_squares(residuals) / (NOISE * NOISE) - half_squares(position);
        }
        let mut at = 0;
        for (spec, &region) in self.task.specs.iter().zip(&self.gradient.gradients) {
            let len = spec.elements();
            let from = self.device.read::<f64>(&self.gradient, region);
            for (gradient, from) in gradients.chunks_mut(size).zip(from.chunks(len)) {
                gradient[at..at + len].iter_mut().zip(from).for_each(|(to, from)| *to = -from);
            }
            at += len;
        }
    }

    /// Appends the predictions of all chains.
    fn predict(&mut self, positions: &[f64], predictions: &mut Vec<f64>) {
        self.place(positions);
        self.device.run(&self.predict);
        predictions.extend_from_slice(self.device.read::<f64>(&self.predict, self.predict.kept[0]));
    }
}

/// One parameter for each weight tensor, with the chains as its samples; the sampler sets their values.
fn chain_weights(g: &mut Graph, task: &Task, chains: usize) -> Result<Weights> {
    let tensors: Result<Vec<TensorId>> =
        task.specs.iter().map(|spec| g.parameter(&spec.name, spec.shape(chains), Init::Constant(0.0))).collect();
    tensors.map(Weights::new)
}

fn diagnose(task: &Task, settings: &Settings, draws: &Draws, predictions: &[f64]) -> Diagnostics {
    let chains = settings.chains;
    let inputs = task.inputs.len();
    let log_joint = by_chain(&draws.log_densities, chains, 1, 0);
    let points = (0..GRID).step_by(STRIDE).map(|point| by_chain(predictions, chains, inputs, point));
    let figures: Vec<Vec<Vec<f64>>> = [log_joint].into_iter().chain(points).collect();
    Diagnostics {
        chains,
        acceptance: draws.acceptance,
        step_size: draws.step_size,
        leapfrog: settings.leapfrog,
        r_hat: figures.iter().map(|figure| split_r_hat(figure)).fold(f64::NEG_INFINITY, f64::max),
        effective_samples: figures.iter().map(|figure| effective_sample_size(figure)).fold(f64::INFINITY, f64::min),
    }
}

/// Column `column` of values [draws, C, columns], as one list for each chain.
fn by_chain(values: &[f64], chains: usize, columns: usize, column: usize) -> Vec<Vec<f64>> {
    let of_chain =
        |chain: usize| values[chain * columns + column..].iter().step_by(chains * columns).copied().collect();
    (0..chains).map(of_chain).collect()
}

#[cfg(test)]
mod tests {
    use super::{Joint, by_chain};
    use crate::toy::Task;

    /// Against central differences, at positions of two chains where no unit is near its kink.
    #[test]
    fn gradient_of_the_log_joint() {
        let task = Task::new(1, 6, 5).unwrap();
        let (chains, size) = (2, task.weights());
        let mut joint = Joint::new(&task, chains).unwrap();
        let mut at = |positions: &[f64]| {
            let (mut log_densities, mut gradients) = (vec![0.0; chains], vec![0.0; chains * size]);
            joint.evaluate(positions, &mut log_densities, &mut gradients);
            (log_densities, gradients)
        };
        let positions: Vec<f64> = (0..chains * size).map(|i| 1.5 * (1.3 * i as f64 + 0.5).sin()).collect();
        let (_, gradients) = at(&positions);
        assert!(gradients.iter().any(|g| g.abs() > 1.0), "{gradients:?}");
        for i in 0..positions.len() {
            let moved = |step: f64| {
                let mut positions = positions.clone();
                positions[i] += step;
                positions
            };
            let (up, down) = (at(&moved(1e-5)).0, at(&moved(-1e-5)).0);
            for chain in 0..chains {
                let difference = (up[chain] - down[chain]) / 2e-5;
                let expected = if i / size == chain { gradients[i] } else { 0.0 };
                let scale = expected.abs().max(1.0);
                assert!((difference - expected).abs() <= 1e-6 * scale, "{i} of {chain}: {difference}, not {expected}");
            }
        }
    }

    #[test]
    fn draws_are_sorted_by_chain() {
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        assert_eq!(by_chain(&values, 2, 3, 1), [[1.0, 7.0], [4.0, 10.0]]);
    }
}
