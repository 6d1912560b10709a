//! Gaussian weights: one to as many tensors as a call takes, samples that begin at a counter and elements that do not fill one,
//! one block and several, gradients that are set, added to and not wanted.

use super::case::{Case, argument, twice};
use crate::Result;
use crate::call::MOST_PARTS;
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::elementwise::half_squared_norm;
use crate::ops::gaussian::{Gaussian, gaussian_kl, gaussian_samples};
use crate::ops::noise::normal;

/// Elements of each argument of the larger cases whose gradients are checked.
const CHECKED: usize = 3;

pub(super) fn cases() -> Vec<Case> {
    let many: Vec<usize> = (0..MOST_PARTS).map(|part| 1 + part * 7 % 33).collect();
    let shapes = [
        (1, vec![1]),
        (2, vec![3, 17]),
        (5, vec![33, 129, 4]),
        (16, vec![65]),
        (3, many.clone()),
        (2, vec![4099, 516]),
    ];
    let mut cases: Vec<Case> =
        shapes.into_iter().map(|(samples, sizes)| drawn((samples, false), sizes, false)).collect();
    cases.push(drawn((5, false), vec![17, 36], true));
    cases.push(drawn((4, true), vec![17, 5000, 36], false));
    let shapes = [vec![1], vec![3, 17], vec![33, 129, 4], many, vec![4099, 516]];
    cases.extend(shapes.into_iter().map(|sizes| divergence(sizes, false)));
    cases.push(divergence(vec![17, 36], true));
    let mut cases: Vec<Case> = cases.into_iter().map(|case| case.at_most(CHECKED)).collect();
    // Every element, so that every defect of a gradient shows.
    cases.push(drawn((3, false), vec![5, 2], true));
    cases.push(drawn((3, true), vec![5, 2], true));
    cases.push(divergence(vec![5, 2], true));
    cases.extend([constant_parameter("gaussian_samples"), constant_parameter("gaussian_kl")]);
    cases
}

/// Half the squared norm of samples, so that each sample's gradient is another.
fn drawn(samples: (usize, bool), sizes: Vec<usize>, again: bool) -> Case {
    let noise = if samples.1 { "aligned " } else { "" };
    let name = format!("{} {noise}samples of {sizes:?}{}", samples.0, if again { ", twice" } else { "" });
    Case::op("gaussian_samples", &name, move |g| {
        let parts = parts(g, &sizes)?;
        let one = move |g: &mut Graph, name: &str| norm(g, name, &parts, samples);
        if again { twice(g, one) } else { one(g, "y") }
    })
}

fn norm(g: &mut Graph, name: &str, parts: &[Gaussian], samples: (usize, bool)) -> Result<TensorId> {
    let y = gaussian_samples(g, name, parts, samples)?;
    half_squared_norm(g, &format!("{name}.norm"), &y)
}

fn divergence(sizes: Vec<usize>, again: bool) -> Case {
    let name = format!("of {sizes:?}{}", if again { ", twice" } else { "" });
    Case::op("gaussian_kl", &name, move |g| {
        let parts = parts(g, &sizes)?;
        let one = move |g: &mut Graph, name: &str| gaussian_kl(g, name, &parts, 0.8);
        if again { twice(g, one) } else { one(g, "kl") }
    })
}

/// The mean of one part and the log variance of another are noise, which gets no gradient.
fn constant_parameter(op: &'static str) -> Case {
    Case::op(op, "constant parameters", move |g| {
        let noise = |g: &mut Graph, name: &str| normal(g, name, Shape::new(&[('S', 1), ('D', 6)]), 0.5);
        let (log_variance, mean) =
            (argument(g, "log_variance0", &[('S', 1), ('D', 6)])?, argument(g, "mean1", &[('S', 1), ('D', 6)])?);
        let parts = [
            Gaussian { mean: noise(g, "mean0")?, log_variance },
            Gaussian { mean, log_variance: noise(g, "log_variance1")? },
        ];
        if op == "gaussian_kl" { gaussian_kl(g, "kl", &parts, 0.8) } else { norm(g, "y", &parts, (3, false)) }
    })
}

fn parts(g: &mut Graph, sizes: &[usize]) -> Result<Vec<Gaussian>> {
    let part = |(index, &size): (usize, &usize)| {
        let axes = [('S', 1), ('D', size)];
        let mean = argument(g, &format!("mean{index}"), &axes)?;
        Ok(Gaussian { mean, log_variance: argument(g, &format!("log_variance{index}"), &axes)? })
    };
    sizes.iter().enumerate().map(part).collect()
}
