//! The task: data, the network, and where predictions are compared.

use crate::backend::cpu::{Cpu, Real};
use crate::data::toy::{self, Regression};
use crate::graph::{Graph, Shape, Store, TensorId};
use crate::model::{Mlp, Model, WeightSpec, Weights};
use crate::ops::elementwise::{add, half_squared_norm, scale};
use crate::{Error, Result, call::Dtype};

/// Held-out points.
const TEST_POINTS: usize = 200;

/// Predictions are compared on [-END, END], `GRID` points equally far apart.
pub const END: f64 = 6.0;
pub const GRID: usize = 121;

/// Data, network, and the inputs at which it predicts.
pub struct Task {
    pub train: Regression,
    pub test: Regression,
    pub model: Mlp,
    pub specs: Vec<WeightSpec>,
    /// Inputs at which networks predict: the grid, then the held-out points.
    pub inputs: Vec<f64>,
}

impl Task {
    /// Draws the data.
    ///
    /// # Errors
    /// When there is no point or no unit.
    pub fn new(seed: u64, points: usize, units: usize) -> Result<Self> {
        for (name, count) in [("points", points), ("units", units)] {
            if count == 0 {
                return Err(Error::input(format!("{name}: expected at least 1, found 0")));
            }
        }
        let (train, test) = (toy::train(seed, points), toy::test(seed, TEST_POINTS));
        let model = Mlp { inputs: 1, hidden: vec![units], classes: 1 };
        let specs = model.weights();
        let inputs = grid().chain(test.x.iter().copied()).collect();
        Ok(Self { train, test, model, specs, inputs })
    }

    /// Weights D of the network.
    pub fn weights(&self) -> usize {
        self.specs.iter().map(WeightSpec::elements).sum()
    }

    /// The sum over networks S and training points of (f(x) - y)^2 / (2 sigma^2), beside the residuals f(x) - y [S, N, 1]. Composed
    /// of `add` and `half_squared_norm`.
    ///
    /// # Errors
    /// When the weights are not those of the network.
    pub fn negative_log_likelihood(&self, g: &mut Graph, weights: &Weights) -> Result<(TensorId, TensorId)> {
        let points = self.train.x.len();
        let x = constant(g, "x", &[('S', 1), ('N', points), ('I', 1)])?;
        let f = self.model.logits(g, x, weights)?;
        let networks = g.shape(f).samples();
        let y = constant(g, "y", &[('S', networks), ('N', points), ('I', 1)])?;
        let residuals = add(g, "residuals", f, y, -1.0)?;
        let norm = half_squared_norm(g, "half_squared_residuals", &[residuals])?;
        let likelihood = scale(g, "negative_log_likelihood", norm, (1.0 / (toy::NOISE * toy::NOISE)) as f32)?;
        Ok((likelihood, residuals))
    }

    /// Predictions [S, N, 1] at the inputs; those of masked activations [1, copies N, 1].
    ///
    /// # Errors
    /// When the weights are not those of the network.
    pub fn predictions(&self, g: &mut Graph, weights: &Weights, copies: usize) -> Result<TensorId> {
        let inputs = constant(g, "inputs", &[('S', 1), ('N', copies * self.inputs.len()), ('I', 1)])?;
        self.model.logits(g, inputs, weights)
    }

    /// Writes the data that the plans over a store ask for, repeated as often as they want it.
    ///
    /// # Errors
    /// None that the caller can cause.
    pub fn upload<T: Real>(&self, store: &Store, device: &mut Cpu<T>) -> Result<()> {
        for (name, values) in [("x", &self.train.x), ("y", &self.train.y), ("inputs", &self.inputs)] {
            if let Ok(region) = store.find(name) {
                let to = device.persistent_mut::<T>(region);
                to.iter_mut().zip(values.iter().cycle()).for_each(|(to, &value)| *to = T::of(value));
            }
        }
        Ok(())
    }
}

/// The grid, from left to right.
pub fn grid() -> impl Iterator<Item = f64> {
    (0..GRID).map(|i| END * (2.0 * i as f64 / (GRID - 1) as f64 - 1.0))
}

/// A persistent tensor without gradient that the host fills.
pub fn constant(g: &mut Graph, name: &str, axes: &[(char, usize)]) -> Result<TensorId> {
    let shape = Shape::new(axes);
    let region = g.store.buffer(name, Dtype::Real, shape.elements())?;
    Ok(g.persistent(name, shape, Dtype::Real, region))
}
