//! Bayes by Hypernet under a prior with structure: p(w) = N(w | 1, A A^T) / 2 + N(w | -1, B B^T) / 2, A and B lower triangular. The
//! divergence is estimated from draws of it, which linear maps make of normal noise.

use super::task::constant;
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, Shape, TensorId};
use crate::method::{Bbh, Method, Networks, draws_kl};
use crate::model::{WeightSpec, Weights};
use crate::ops::elementwise::{add, multiply, unary};
use crate::ops::linear::linear;
use crate::ops::noise::{normal, uniform};
use crate::random::Stream;

/// Diagonal of A and B. What lies below it is N(0, (`BELOW` / sqrt(D))^2), so that weights have variances from 0.25 to 0.5.
const DIAGONAL: f64 = 0.5;
const BELOW: f64 = 0.5;

/// Streams of A and B, beside those of the data.
const STREAM: u32 = 0x6461_7320;

/// Names of the buffers that hold A, B, and D ones.
const FACTORS: [&str; 2] = ["prior.factor1", "prior.factor2"];
const ONES: &str = "prior.ones";

/// A hypernetwork with that prior.
pub struct Structured {
    pub hypernet: Bbh,
}

impl Structured {
    /// A and B [D, D] of a seed, and the ones, by the names of their buffers.
    pub fn constants(seed: u64, weights: usize) -> Vec<(String, Vec<f64>)> {
        let key = [seed as u32, (seed >> 32) as u32];
        let factor = |(index, name): (usize, &&str)| {
            let mut values = vec![0.0; weights * weights];
            Stream { key, stream: STREAM + index as u32, step: 0 }.normals_f64(0, &mut values);
            for (place, value) in values.iter_mut().enumerate() {
                *value = match (place / weights).cmp(&(place % weights)) {
                    std::cmp::Ordering::Greater => *value * BELOW / (weights as f64).sqrt(),
                    std::cmp::Ordering::Equal => DIAGONAL,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
            (name.to_string(), values)
        };
        let ones = (ONES.to_string(), vec![1.0; weights]);
        FACTORS.iter().enumerate().map(factor).chain([ones]).collect()
    }

    /// Draws of the prior, one tensor [S, ..] for each spec: side + [side > 0] A z + [side < 0] B z, the side being 1 or -1.
    fn draws(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>> {
        let total: usize = specs.iter().map(WeightSpec::elements).sum();
        let z = normal(g, "prior.noise", Shape::new(&[('S', 1), ('N', samples), ('I', total)]), 1.0)?;
        let lot = uniform(g, "prior.lot", Shape::new(&[('S', 1), ('N', samples), ('I', 1)]), -1.0, 1.0)?;
        let side = unary(g, "prior.side", lot, Unary::Sign)?;
        let ones = constant(g, ONES, &[('S', 1), ('O', total), ('I', 1)])?;
        let side = linear(g, "prior.sides", side, ones, None)?;
        let mut sum = side;
        for (name, sign) in FACTORS.into_iter().zip([0.5, -0.5]) {
            let factor = constant(g, name, &[('S', 1), ('O', total), ('I', total)])?;
            let spread = linear(g, "prior.spread", z, factor, None)?;
            let chosen = unary(g, "prior.chosen", side, Unary::Affine(sign, 0.5))?;
            let spread = multiply(g, "prior.spread of side", spread, chosen)?;
            sum = add(g, "prior", sum, spread, 1.0)?;
        }
        let vectors = g.reshape(sum, Shape::new(&[('S', samples), ('D', total)]))?;
        let mut at = 0;
        let mut draws = Vec::with_capacity(specs.len());
        for spec in specs {
            draws.push(g.part(vectors, &format!("prior.{}", spec.name), at, spec.shape(samples))?);
            at += spec.elements();
        }
        Ok(draws)
    }
}

impl Method for Structured {
    fn name(&self) -> &'static str {
        "bbh-structured"
    }

    fn networks(&self) -> Networks {
        self.hypernet.networks()
    }

    fn weights(&self, g: &mut Graph, specs: &[WeightSpec], samples: usize) -> Result<Vec<TensorId>> {
        self.hypernet.weights(g, specs, samples)
    }

    fn kl(&self, g: &mut Graph, specs: &[WeightSpec], weights: &Weights) -> Result<Option<TensorId>> {
        let samples = weights.tensors.first().map_or(0, |&w| g.shape(w).samples());
        let draws = self.draws(g, specs, samples)?;
        draws_kl(g, "kl", &weights.tensors, &draws).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::Structured;
    use crate::backend::cpu::Cpu;
    use crate::call::word;
    use crate::graph::{Graph, Store};
    use crate::method::{Bbh, GeneratorKind, InitKind, KlKind, NoiseKind};
    use crate::model::{Mlp, Model};
    use crate::ops::elementwise::keep;
    use crate::plan::{Plan, Request};

    /// 4,000 draws of 7 weights: half of them about 1 with covariance A A^T, half about -1 with B B^T. Standard errors of 0.016 for
    /// a mean of a half, of at most 0.016 for a covariance; bounds at five of them.
    #[test]
    fn draws_have_the_two_means_and_covariances() {
        let (specs, at_once, runs) = (Mlp { inputs: 1, hidden: vec![2], classes: 1 }.weights(), 100, 40);
        let hypernet = Bbh {
            generator: GeneratorKind::Shared,
            noise_dim: 1,
            noise: NoiseKind::Aligned,
            zero_mean: false,
            kl: KlKind::Full,
            random_weights: 1,
            prior_scale: 1.0,
            hidden: vec![],
            init: InitKind::Glorot,
        };
        let mut store = Store::new();
        let mut g = Graph::new(&mut store);
        let draws = Structured { hypernet }.draws(&mut g, &specs, at_once).unwrap();
        let kept: Vec<_> = draws.iter().map(|&draw| keep(&mut g, &format!("kept{}", draw.0), draw).unwrap()).collect();
        let request = Request { name: "draws", keep: &kept, ..Request::default() };
        let plan = Plan::build(g, &request, size_of::<f64>()).unwrap();
        let mut device = Cpu::<f64>::new(&store, &[&plan]).unwrap();
        let constants = Structured::constants(3, 7);
        for (name, values) in &constants {
            device.persistent_mut::<f64>(store.find(name).unwrap()).copy_from_slice(values);
        }
        let mut sides = [Vec::new(), Vec::new()];
        for run in 0..runs {
            device.persistent_mut::<u32>(store.words())[word::STEP] = run;
            device.run(&plan);
            for sample in 0..at_once {
                let part = |(spec, &region): (&crate::model::WeightSpec, _)| {
                    let len = spec.elements();
                    device.read::<f64>(&plan, region)[sample * len..(sample + 1) * len].to_vec()
                };
                let vector: Vec<f64> = specs.iter().zip(&plan.kept).flat_map(part).collect();
                sides[usize::from(vector.iter().sum::<f64>() < 0.0)].push(vector);
            }
        }
        for (side, (sign, draws)) in [1.0, -1.0].into_iter().zip(&sides).enumerate() {
            let n = draws.len() as f64;
            assert!((n - 2000.0).abs() <= 160.0, "{n} draws");
            let factor = |i: usize, k: usize| constants[side].1[i * 7 + k];
            let mean = |i: usize| draws.iter().map(|w| w[i]).sum::<f64>() / n;
            for i in 0..7 {
                assert!((mean(i) - sign).abs() <= 0.08, "mean {i}: {}", mean(i));
                for j in 0..7 {
                    let found = draws.iter().map(|w| (w[i] - mean(i)) * (w[j] - mean(j))).sum::<f64>() / n;
                    let expected: f64 = (0..7).map(|k| factor(i, k) * factor(j, k)).sum();
                    assert!((found - expected).abs() <= 0.08, "covariance {i} {j}: {found}, not {expected}");
                }
            }
        }
    }
}
