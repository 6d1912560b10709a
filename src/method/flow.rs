//! Normalising flows of the multipliers of all layers side by side: masked RealNVP steps, and planar ones for a layer with one
//! multiplier, which no mask divides.

use crate::Result;
use crate::call::{MOST_PARTS, Unary};
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::coupling::{Coupled, coupling, coupling_mask};
use crate::ops::elementwise::{add, multiply, sum, unary};
use crate::ops::linear::linear;

/// Gates start near sigmoid(2) = 0.88: a step changes little.
const GATE: f32 = 2.0;
/// Where gates lead at the start: multipliers of 1 are those of an ordinary network.
const MEAN: f32 = 1.0;

/// The multipliers of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// `fc1`
    pub name: String,
    /// Multipliers D: inputs of a dense layer, filters of a convolution.
    pub multipliers: usize,
}

/// Flows of the same length for each layer.
pub struct Flow<'a> {
    /// `flow`: parameters are called `mnf.fc1.flow0.hidden.w` and so on.
    pub name: &'a str,
    pub layers: &'a [Layer],
    pub steps: usize,
    /// Hidden units of each step's network.
    pub hidden: usize,
}

impl Flow<'_> {
    /// z [S = 1, N, I = D] of each layer -> the same after all steps, N samples apart, and the log-determinants, one element each,
    /// whose sum is log |dz' / dz| of all layers together.
    ///
    /// # Errors
    /// When z has other shapes.
    pub fn apply(&self, g: &mut Graph, mut z: Vec<TensorId>) -> Result<(Vec<TensorId>, Vec<TensorId>)> {
        let mut log_determinants = Vec::new();
        let (planar, masked): (Vec<usize>, Vec<usize>) =
            (0..self.layers.len()).partition(|&layer| self.layers[layer].multipliers == 1);
        for step in 0..self.steps {
            for (chunk, layers) in masked.chunks(MOST_PARTS).enumerate() {
                log_determinants.push(self.masked_step(g, (step, chunk), layers, &mut z)?);
            }
            for &layer in &planar {
                let name = self.of_layer(layer, step);
                let (y, log_determinant) = planar_step(g, &name, z[layer])?;
                z[layer] = y;
                log_determinants.push(log_determinant);
            }
        }
        Ok((z, log_determinants))
    }

    /// `mnf.fc1.flow0`
    fn of_layer(&self, layer: usize, step: usize) -> String {
        format!("mnf.{}.{}{step}", self.layers[layer].name, self.name)
    }

    /// Louizos & Welling 2017, the masked RealNVP step: with a random mask m, h = tanh(f(m z)), mean = g(h) and
    /// s = sigmoid(k(h)), f, g and k linear; z' = m z + (1 - m) (s z + (1 - s) mean), log-determinant (1 - m)^T log s.
    fn masked_step(
        &self,
        g: &mut Graph,
        (step, chunk): (usize, usize),
        layers: &[usize],
        z: &mut [TensorId],
    ) -> Result<TensorId> {
        let name = format!("mnf.{}{step}.{chunk}", self.name);
        let names: Vec<String> = layers.iter().map(|&layer| self.of_layer(layer, step)).collect();
        let masks: Vec<String> = names.iter().map(|name| format!("{name}.mask")).collect();
        let before: Vec<TensorId> = layers.iter().map(|&layer| z[layer]).collect();
        let rows = g.shape(before[0]).axis('N').unwrap_or(1);
        let kept = coupling_mask(g, &format!("{name}.masked"), &before, &masks, rows)?;
        let mut parts = Vec::with_capacity(layers.len());
        for ((name, &z), x) in names.iter().zip(&before).zip(kept) {
            let multipliers = g.shape(z).axis('I').unwrap_or(1);
            let h = dense(g, &format!("{name}.hidden"), x, [multipliers, self.hidden], 0.0)?;
            let h = unary(g, &format!("{name}.tanh"), h, Unary::Tanh)?;
            let mean = dense(g, &format!("{name}.mean"), h, [self.hidden, multipliers], MEAN)?;
            let gate = dense(g, &format!("{name}.gate"), h, [self.hidden, multipliers], GATE)?;
            parts.push(Coupled { z, mean, gate });
        }
        let (after, log_determinant) = coupling(g, &name, &parts, &masks, rows)?;
        layers.iter().zip(after).for_each(|(&layer, y)| z[layer] = y);
        Ok(log_determinant)
    }
}

/// A linear map with parameters of its own, N(0, 1 / inputs), bias at first `start`.
fn dense(g: &mut Graph, name: &str, x: TensorId, [inputs, outputs]: [usize; 2], start: f32) -> Result<TensorId> {
    let matrix = Shape::new(&[('S', 1), ('O', outputs), ('I', inputs)]);
    let w = g.parameter(&format!("{name}.w"), matrix, Init::Normal((inputs as f32).sqrt().recip()))?;
    let b = g.parameter(&format!("{name}.b"), Shape::new(&[('S', 1), ('O', outputs)]), Init::Constant(start))?;
    linear(g, name, x, w, Some(b))
}

/// Rezende & Mohamed 2015 ("Variational inference with normalizing flows", equations 10 and 12) for one multiplier:
/// z' = z + u' h with h = tanh(w z + b), log-determinant log |1 + u' w (1 - h^2)|. Their appendix A.1 keeps it invertible by
/// u' = m / w with m = ln(1 + e^(w u)) - 1 > -1.
fn planar_step(g: &mut Graph, name: &str, z: TensorId) -> Result<(TensorId, TensorId)> {
    let one = |inputs: bool| match inputs {
        true => Shape::new(&[('S', 1), ('O', 1), ('I', 1)]),
        false => Shape::new(&[('S', 1), ('O', 1)]),
    };
    let about = |mean: f32| Init::NormalAbout { mean, deviation: 0.1 };
    let w = g.parameter(&format!("{name}.w"), one(true), about(1.0))?;
    let u = g.parameter(&format!("{name}.u"), one(true), about(0.5))?;
    let b = g.parameter(&format!("{name}.b"), one(false), Init::Constant(0.0))?;
    let mut f = |label: &str, x: TensorId, f: Unary| unary(g, &format!("{name}.{label}"), x, f);
    let w_squared = f("w.squared", w, Unary::Square)?;
    let log_w = f("w.log", w_squared, Unary::Log)?;
    let minus_log_w = f("w.minus_log", log_w, Unary::Affine(-1.0, 0.0))?;
    let inverse_square = f("w.inverse_square", minus_log_w, Unary::Exp)?;
    let product = multiply(g, &format!("{name}.wu"), w, u)?;
    let mut f = |label: &str, x: TensorId, f: Unary| unary(g, &format!("{name}.{label}"), x, f);
    let exponential = f("wu.exp", product, Unary::Exp)?;
    let above_one = f("wu.above_one", exponential, Unary::Affine(1.0, 1.0))?;
    let softplus = f("wu.softplus", above_one, Unary::Log)?;
    let m = f("m", softplus, Unary::Affine(1.0, -1.0))?;
    let over_w = multiply(g, &format!("{name}.w.inverse"), w, inverse_square)?;
    let u = multiply(g, &format!("{name}.u.invertible"), m, over_w)?;
    let h = linear(g, &format!("{name}.h"), z, w, Some(b))?;
    let h = unary(g, &format!("{name}.tanh"), h, Unary::Tanh)?;
    let moved = linear(g, &format!("{name}.moved"), h, u, None)?;
    let y = add(g, &format!("{name}.sum"), z, moved, 1.0)?;
    let mut f = |label: &str, x: TensorId, f: Unary| unary(g, &format!("{name}.{label}"), x, f);
    let h_squared = f("h.squared", h, Unary::Square)?;
    let slope = f("slope", h_squared, Unary::Affine(-1.0, 1.0))?;
    let scaled = linear(g, &format!("{name}.slope.m"), slope, m, None)?;
    let mut f = |label: &str, x: TensorId, f: Unary| unary(g, &format!("{name}.{label}"), x, f);
    let determinant = f("determinant", scaled, Unary::Affine(1.0, 1.0))?;
    let logarithm = f("log_determinants", determinant, Unary::Log)?;
    Ok((y, sum(g, &format!("{name}.log_determinant"), logarithm)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Cpu;
    use crate::graph::Store;
    use crate::method::total;
    use crate::plan::{Plan, Request};

    /// Runs both steps of a flow of one vector: z' and the sum of the log-determinants.
    fn run(cpu: &mut Cpu<f64>, store: &Store, plan: &Plan, z: &[f64]) -> (Vec<f64>, f64) {
        for (index, parameter) in store.parameters().iter().enumerate() {
            let values = cpu.persistent_mut::<f64>(parameter.region);
            let number = |i: usize| ((7 * i + 3 * index + 2) % 11) as f64 / 8.0 - 0.6;
            values.iter_mut().enumerate().for_each(|(i, value)| *value = number(i));
        }
        cpu.persistent_mut::<f64>(store.parameters()[0].region).copy_from_slice(z);
        (0..plan.calls.len()).for_each(|index| cpu.run_one(plan, index));
        (cpu.read::<f64>(plan, plan.kept[0]).to_vec(), cpu.read::<f64>(plan, plan.kept[1])[0])
    }

    /// |det| by elimination; rows of the matrix are columns of the Jacobian.
    fn determinant(mut rows: Vec<Vec<f64>>) -> f64 {
        let mut product = 1.0;
        while let Some(row) = rows.pop() {
            let Some(pivot) = (0..row.len()).max_by(|&a, &b| row[a].abs().total_cmp(&row[b].abs())) else { break };
            product *= row[pivot].abs();
            for other in &mut rows {
                let factor = other[pivot] / row[pivot];
                other.iter_mut().zip(&row).for_each(|(to, from)| *to -= factor * from);
            }
        }
        product
    }

    #[test]
    fn log_determinants_are_those_of_the_jacobian() {
        for multipliers in [1, 2, 9] {
            let mut store = Store::new();
            let mut g = Graph::new(&mut store);
            let shape = Shape::new(&[('S', 1), ('N', 1), ('I', multipliers)]);
            let z = g.parameter("z", shape, Init::Constant(0.0)).unwrap();
            let layers = [Layer { name: "fc1".into(), multipliers }];
            let flow = Flow { name: "flow", layers: &layers, steps: 2, hidden: 3 };
            let (y, log_determinants) = flow.apply(&mut g, vec![z]).unwrap();
            let sum = total(&mut g, "sum", &log_determinants).unwrap().unwrap();
            let request = Request { keep: &[y[0], sum], ..Request::default() };
            let plan = Plan::build(g, &request, size_of::<f64>()).unwrap();
            let mut cpu = Cpu::<f64>::new(&store, &[&plan]).unwrap();
            let at: Vec<f64> = (0..multipliers).map(|i| 0.3 + 0.17 * i as f64).collect();
            let mut moved = |i: usize, by: f64| {
                let mut z = at.clone();
                z[i] += by;
                run(&mut cpu, &store, &plan, &z).0
            };
            let column = |i: usize| -> Vec<f64> {
                let (above, below) = (moved(i, 1e-5), moved(i, -1e-5));
                above.iter().zip(&below).map(|(above, below)| (above - below) / 2e-5).collect()
            };
            let expected = determinant((0..multipliers).map(column).collect()).ln();
            let found = run(&mut cpu, &store, &plan, &at).1;
            assert!(found != 0.0 && (found - expected).abs() <= 1e-7, "{multipliers}: {found}, Jacobian {expected}");
        }
    }
}
