//! The task: data, the network, and where predictions are compared.

use crate::call::{Dtype, Region};
use crate::data::toy::{self, Regression};
use crate::graph::{Graph, Shape, Store, TensorId};
use crate::model::{Mlp, Model, WeightSpec, Weights};
use crate::ops::elementwise::{add, half_squared_norm, scale};
use crate::{Error, Result};

/// Most training points, and most hidden units.
const MOST: usize = 1_000_000;
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
    /// When there is no point or no unit, or more than anybody has memory for.
    pub fn new(seed: u64, points: usize, units: usize) -> Result<Self> {
        for (name, count) in [("points", points), ("units", units)] {
            if !(1..=MOST).contains(&count) {
                return Err(Error::input(format!("{name}: expected 1 to {MOST}, found {count}")));
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

    /// The inputs of the training points, [S = copies, N, 1].
    ///
    /// # Errors
    /// When the graph's store has them in another number.
    pub fn points(&self, g: &mut Graph, copies: usize) -> Result<TensorId> {
        constant(g, "x", &[('S', copies), ('N', self.train.x.len()), ('I', 1)])
    }

    /// The sum over networks S and training points of (f(x) - y)^2 / (2 sigma^2), beside the residuals f(x) - y [S, N, 1]. x [S or
    /// 1, N, 1]: the points, or inputs near them. Composed of `add` and `half_squared_norm`.
    ///
    /// # Errors
    /// When the weights are not those of the network.
    pub fn negative_log_likelihood(
        &self,
        g: &mut Graph,
        name: &str,
        x: TensorId,
        weights: &Weights,
    ) -> Result<(TensorId, TensorId)> {
        let f = self.model.logits(g, x, weights)?;
        let networks = g.shape(f).samples();
        let y = constant(g, "y", &[('S', networks), ('N', self.train.y.len()), ('I', 1)])?;
        let residuals = add(g, &format!("{name}.residuals"), f, y, -1.0)?;
        let norm = half_squared_norm(g, &format!("{name}.half_square"), &[residuals])?;
        Ok((scale(g, name, norm, (1.0 / (toy::NOISE * toy::NOISE)) as f32)?, residuals))
    }

    /// The inputs at which networks predict, [S = copies, N, 1].
    ///
    /// # Errors
    /// When the graph's store has them in another number.
    pub fn inputs(&self, g: &mut Graph, copies: usize) -> Result<TensorId> {
        constant(g, "inputs", &[('S', copies), ('N', self.inputs.len()), ('I', 1)])
    }

    /// The data that the plans over a store ask for, repeated as often as they want them, by their regions.
    pub fn constants(&self, store: &Store) -> Vec<(Region, Vec<f64>)> {
        let of = |(name, values): (&str, &Vec<f64>)| {
            let region = store.find(name).ok()?;
            Some((region, values.iter().copied().cycle().take(region.len).collect()))
        };
        [("x", &self.train.x), ("y", &self.train.y), ("inputs", &self.inputs)].into_iter().filter_map(of).collect()
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
