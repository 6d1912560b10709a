//! The nearest-neighbour estimate of KL(q || prior) where the prior's draws are tensors, so that any sampler is a prior. Composed of
//! elementary ops, one distance at a time: for networks of a few hundred weights. For N(0, prior_scale^2) at any size there is
//! `ops::pairwise`, with the same value.

use crate::call::{MOST_PARTS, Unary};
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::elementwise::{add, half_squared_norm, relu, scale, unary};
use crate::{Error, Result};

/// Added to squared distances under the logarithm.
const EPSILON: f32 = 1e-8;

/// D/S sum_j ln(nu_j / rho_j) + ln(S / (S - 1)) of weights and draws, both one tensor [S, ..] for each part of the D-vector; rho_j is
/// the distance of w_j to its nearest other sample, nu_j to its nearest draw (Wang, Kulkarni & Verdu 2009, k = 1).
///
/// # Errors
/// When S is below 2, there are more than 16 parts, or the shapes of weights and draws differ.
pub fn draws_kl(g: &mut Graph, name: &str, weights: &[TensorId], draws: &[TensorId]) -> Result<TensorId> {
    let samples = weights.first().map_or(0, |&w| g.shape(w).samples());
    if samples < 2 || weights.len() > MOST_PARTS || weights.len() != draws.len() {
        return Err(Error::input(format!(
            "{name}: expected at least 2 samples of up to {MOST_PARTS} weight tensors and as many draws, found {samples} of {} and {}",
            weights.len(),
            draws.len()
        )));
    }
    let elements: usize = weights.iter().map(|&w| g.shape(w).elements() / samples).sum();
    let w = rows(g, &format!("{name}.weights"), weights)?;
    let p = rows(g, &format!("{name}.draws"), draws)?;
    let mut between = vec![vec![None; samples]; samples];
    for j in 1..samples {
        for i in 0..j {
            let distance = half_squared_distance(g, name, &w[i], &w[j])?;
            (between[i][j], between[j][i]) = (Some(distance), Some(distance));
        }
    }
    let mut sum = None;
    for (w, between) in w.iter().zip(&between) {
        let others: Vec<TensorId> = between.iter().copied().flatten().collect();
        let rho = smallest(g, name, &others)?;
        let to_draws = p.iter().map(|p| half_squared_distance(g, name, p, w)).collect::<Result<Vec<_>>>()?;
        let nu = smallest(g, name, &to_draws)?;
        let [rho, nu] = [log_square(g, name, rho)?, log_square(g, name, nu)?];
        let term = add(g, name, nu, rho, -1.0)?;
        sum = Some(match sum {
            Some(sum) => add(g, name, sum, term, 1.0)?,
            None => term,
        });
    }
    let sum = sum.ok_or_else(|| Error::input(format!("{name}: expected weights, found none")))?;
    let s = samples as f32;
    unary(g, name, sum, Unary::Affine(elements as f32 / (2.0 * s), (s / (s - 1.0)).ln()))
}

/// [S][parts] each [1, elements]: the parts of one sample.
fn rows(g: &mut Graph, name: &str, parts: &[TensorId]) -> Result<Vec<Vec<TensorId>>> {
    let samples = parts.first().map_or(0, |&part| g.shape(part).samples());
    let mut rows = vec![Vec::with_capacity(parts.len()); samples];
    for &part in parts {
        let elements = g.shape(part).elements();
        let copy = scale(g, name, part, 1.0)?;
        let flat = g.reshape(copy, Shape::new(&[('S', 1), ('D', elements)]))?;
        let len = elements / samples;
        for (sample, row) in rows.iter_mut().enumerate() {
            row.push(g.part(flat, name, sample * len, Shape::new(&[('S', 1), ('D', len)]))?);
        }
    }
    Ok(rows)
}

/// |a - b|^2 / 2
fn half_squared_distance(g: &mut Graph, name: &str, a: &[TensorId], b: &[TensorId]) -> Result<TensorId> {
    let differences = a.iter().zip(b).map(|(&a, &b)| add(g, name, a, b, -1.0)).collect::<Result<Vec<_>>>()?;
    half_squared_norm(g, name, &differences)
}

/// min(a, b) = a - relu(a - b), over a list.
fn smallest(g: &mut Graph, name: &str, values: &[TensorId]) -> Result<TensorId> {
    let (&first, rest) =
        values.split_first().ok_or_else(|| Error::input(format!("{name}: expected distances, found none")))?;
    let mut least = first;
    for &value in rest {
        let excess = add(g, name, least, value, -1.0)?;
        let excess = relu(g, name, excess)?;
        least = add(g, name, least, excess, -1.0)?;
    }
    Ok(least)
}

/// ln(2 x + 1e-8): of the squared distance.
fn log_square(g: &mut Graph, name: &str, half_square: TensorId) -> Result<TensorId> {
    let square = unary(g, name, half_square, Unary::Affine(2.0, EPSILON))?;
    unary(g, name, square, Unary::Log)
}

#[cfg(test)]
mod tests {
    use super::draws_kl;
    use crate::Result;
    use crate::backend::cpu::Cpu;
    use crate::graph::{Graph, Init, Shape, Store, TensorId};
    use crate::ops::noise::normal;
    use crate::ops::pairwise::nearest_neighbour_kl;
    use crate::plan::{Plan, Request};

    const SAMPLES: usize = 4;
    const SIZES: [usize; 2] = [5, 3];
    const SCALE: f32 = 0.8;

    /// Value and gradients in f64 of an estimate from the same weights, both parts of one vector.
    fn estimate(kl: impl Fn(&mut Graph, &[TensorId]) -> Result<TensorId>) -> (f64, Vec<f64>) {
        let mut store = Store::new();
        let mut g = Graph::new(&mut store);
        let all = Shape::new(&[('S', SAMPLES), ('D', SIZES.iter().sum())]);
        let w = g.parameter("w", all, Init::Normal(1.0)).unwrap();
        let part = |g: &mut Graph, at, len| g.part(w, "part", at, Shape::new(&[('S', SAMPLES), ('D', len)])).unwrap();
        let parts = [part(&mut g, 0, SIZES[0]), part(&mut g, SIZES[0], SIZES[1])];
        let kl = kl(&mut g, &parts).unwrap();
        let request =
            Request { name: "kl", targets: &[(kl, None)], gradients: &[w], keep: &[kl], ..Request::default() };
        let plan = Plan::build(g, &request, size_of::<f64>()).unwrap();
        let mut device = Cpu::<f64>::new(&store, &[&plan]).unwrap();
        let values = device.persistent_mut::<f64>(store.parameters()[0].region);
        values.iter_mut().enumerate().for_each(|(i, value)| *value = (i as f64 * 1.7).sin());
        device.run(&plan);
        let value = device.read::<f64>(&plan, plan.kept[0])[0];
        (value, device.read::<f64>(&plan, plan.gradients[0]).to_vec())
    }

    /// The draws of the op are elements of the stream of its name, whole vectors one after another.
    #[test]
    fn equals_the_op_that_draws_for_itself() {
        let (value, gradient) = estimate(|g, parts| nearest_neighbour_kl(g, "kl", parts, SCALE));
        let (found, found_gradient) = estimate(|g, parts| {
            let total = SIZES.iter().sum();
            let draws = normal(g, "kl", Shape::new(&[('S', SAMPLES), ('D', total)]), SCALE)?;
            let mut at = 0;
            let mut of_parts = Vec::new();
            for len in SIZES {
                of_parts.push(g.part(draws, "draws", at, Shape::new(&[('S', SAMPLES), ('D', len)]))?);
                at += len;
            }
            draws_kl(g, "composed", parts, &of_parts)
        });
        assert!((found - value).abs() <= 1e-6 * value.abs(), "{found}, not {value}");
        let largest = gradient.iter().fold(0.0, |most, g| f64::max(most, g.abs()));
        assert!(largest >= 0.1, "{gradient:?}");
        for (found, expected) in found_gradient.iter().zip(&gradient) {
            assert!((found - expected).abs() <= 1e-6 * largest, "{found_gradient:?}, not {gradient:?}");
        }
    }

    #[test]
    fn one_sample_has_no_neighbour() {
        let mut store = Store::new();
        let mut g = Graph::new(&mut store);
        let w = g.parameter("w", Shape::new(&[('S', 1), ('D', 3)]), Init::Constant(0.0)).unwrap();
        let error = draws_kl(&mut g, "kl", &[w], &[w]).unwrap_err().to_string();
        assert!(error.contains("at least 2 samples"), "{error}");
    }
}
