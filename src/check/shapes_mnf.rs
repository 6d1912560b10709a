//! Ops of multiplicative normalising flows: dense layers and filters, tensors of one block and of several, samples that do not fill
//! a counter, caps that bind and that do not, gradients that are set, added to and not wanted.

use super::case::{Case, argument, twice};
use crate::Result;
use crate::call::MOST_PARTS;
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::capped_variances::capped_variances;
use crate::ops::coupling::{Coupled, coupling, coupling_mask};
use crate::ops::elementwise::{add, half_squared_norm, multiply, sum};
use crate::ops::gaussian::Gaussian;
use crate::ops::local_reparameterization::local_reparameterization;
use crate::ops::log_density::log_density;
use crate::ops::noise::normal;
use crate::ops::scaled::{Scaled, scaled_means, scaled_samples};

/// Elements of each argument of the larger cases whose gradients are checked.
const CHECKED: usize = 3;

/// The same where a mask leaves half of the derivatives 0.
const COUPLED: usize = 24;

/// A dense layer [O, I] or filters [O, C, K, K].
#[derive(Clone, Copy)]
enum Layer {
    Dense(usize, usize),
    Filters(usize, usize, usize),
}

pub(super) fn cases() -> Vec<Case> {
    let many: Vec<Layer> = (0..MOST_PARTS)
        .map(|part| if part % 2 == 0 { Layer::Dense(1 + part, 3) } else { Layer::Filters(part, 2, 1 + part % 3) })
        .collect();
    let lists = [
        (1, vec![Layer::Dense(1, 1)]),
        (5, vec![Layer::Filters(3, 2, 3), Layer::Dense(5, 17)]),
        (2, vec![Layer::Dense(33, 65), Layer::Filters(17, 3, 5), Layer::Dense(9, 33)]),
        (1, vec![Layer::Dense(37, 129), Layer::Filters(20, 12, 5)]),
        (3, many),
    ];
    let mut cases = Vec::new();
    for (samples, layers) in lists {
        for noise in [false, true] {
            cases.push(scaled(samples, layers.clone(), noise, false).at_most(CHECKED));
        }
    }
    let both = vec![Layer::Dense(3, 5), Layer::Filters(2, 1, 2)];
    cases.extend([scaled(3, both.clone(), false, true), scaled(3, both, true, true), constant_multipliers()]);

    let many: Vec<usize> = (0..MOST_PARTS).map(|part| 1 + part * 7 % 33).collect();
    for sizes in [vec![1], vec![3, 17], vec![513, 4], many.clone(), vec![4099, 516]] {
        cases.push(capped(sizes.clone(), true).at_most(CHECKED));
        cases.push(capped(sizes, false).at_most(CHECKED));
    }
    cases.extend([capped(vec![6, 3], true), capped(vec![6, 3], false), capped_twice()]);

    cases.extend([1, 33, 4099].map(|size| drawn(size, false).at_most(CHECKED)));
    cases.extend([drawn(7, true), without_variance()]);

    for sizes in [vec![1], vec![3, 17], vec![129, 33], many.clone(), vec![4099, 130]] {
        cases.push(density(sizes, false).at_most(CHECKED));
    }
    cases.extend([density(vec![5, 2], true), density_of_noise()]);

    for (samples, sizes) in [(1, vec![1]), (5, vec![3, 17]), (2, vec![33, 129]), (3, many), (1, vec![4099, 513])] {
        cases.push(masked(samples, sizes.clone(), false).at_most(COUPLED));
        cases.push(coupled(samples, sizes, false).at_most(COUPLED));
    }
    cases.extend([masked(3, vec![5, 2], true), coupled(3, vec![7, 2], true), determinant_alone(), moved_alone()]);
    cases
}

/// Half the sum of squares, so that gradients differ from element to element.
fn measure(g: &mut Graph, name: &str, tensors: &[TensorId]) -> Result<TensorId> {
    half_squared_norm(g, &format!("{name}.norm"), tensors)
}

fn scaled(samples: usize, layers: Vec<Layer>, noise: bool, again: bool) -> Case {
    let name = format!("{samples} samples of {} tensors, noise {noise}{}", layers.len(), said(again));
    Case::op("scaled_samples", &name, move |g| {
        let mut parts = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let (axes, multipliers) = match *layer {
                Layer::Dense(outputs, inputs) => (vec![('S', 1), ('O', outputs), ('I', inputs)], inputs),
                Layer::Filters(outputs, channels, kernel) => {
                    (vec![('S', 1), ('O', outputs), ('C', channels), ('K', kernel), ('K', kernel)], outputs)
                }
            };
            let mean = argument(g, &format!("mean{index}"), &axes)?;
            let z = argument(g, &format!("z{index}"), &[('S', samples), ('D', multipliers)])?;
            let log_variance = if noise { argument(g, &format!("log_variance{index}"), &axes)? } else { mean };
            parts.push((Scaled { mean, multipliers: z }, log_variance));
        }
        let one = move |g: &mut Graph, name: &str| {
            let y = match noise {
                true => scaled_samples(g, name, &parts)?,
                false => scaled_means(g, name, &parts.iter().map(|part| part.0).collect::<Vec<_>>())?,
            };
            measure(g, name, &y)
        };
        if again { twice(g, one) } else { one(g, "y") }
    })
}

/// Multipliers, and the mean of another tensor, that get no gradient.
fn constant_multipliers() -> Case {
    Case::op("scaled_samples", "constant parameters", |g| {
        let noise = |g: &mut Graph, name: &str, axes: &[(char, usize)]| normal(g, name, Shape::new(axes), 0.5);
        let axes = [('S', 1), ('O', 3), ('I', 4)];
        let parts = [
            Scaled { mean: argument(g, "mean0", &axes)?, multipliers: noise(g, "z0", &[('S', 2), ('D', 4)])? },
            Scaled { mean: noise(g, "mean1", &axes)?, multipliers: argument(g, "z1", &[('S', 2), ('D', 4)])? },
        ];
        let y = scaled_means(g, "y", &parts)?;
        measure(g, "y", &y)
    })
}

fn said(again: bool) -> &'static str {
    if again { ", twice" } else { "" }
}

fn arguments(g: &mut Graph, name: &str, sizes: &[usize]) -> Result<Vec<TensorId>> {
    let one = |(index, &size): (usize, &usize)| argument(g, &format!("{name}{index}"), &[('S', 1), ('D', size)]);
    sizes.iter().enumerate().map(one).collect()
}

fn capped(sizes: Vec<usize>, of_log: bool) -> Case {
    let name = format!("{sizes:?}, logarithms {of_log}");
    Case::op("capped_variances", &name, move |g| {
        let v = arguments(g, "v", &sizes)?;
        let pairs = capped_variances(g, "y", &v, 1.8)?;
        let mut read: Vec<TensorId> = pairs.iter().map(|pair| pair.1).collect();
        // All logarithms, or, where there are several, the first alone.
        read.extend(pairs.iter().map(|pair| pair.0).take(if of_log { usize::MAX } else { pairs.len() / 2 }));
        let terms: Result<Vec<TensorId>> =
            read.chunks(MOST_PARTS).enumerate().map(|(i, list)| measure(g, &format!("y{i}"), list)).collect();
        let terms = terms?;
        terms[1..].iter().try_fold(terms[0], |total, &term| add(g, "total", total, term, 1.0))
    })
}

/// Gradients that are added to, and a logarithm that alone is read.
fn capped_twice() -> Case {
    Case::op("capped_variances", "twice", |g| {
        let v = arguments(g, "v", &[5, 3])?;
        twice(g, move |g, name| {
            let pairs = capped_variances(g, name, &v, 1.2)?;
            measure(g, name, &[pairs[0].0, pairs[1].1, pairs[0].1])
        })
    })
}

fn drawn(size: usize, again: bool) -> Case {
    Case::op("local_reparameterization", &format!("{size}{}", said(again)), move |g| {
        let mean = argument(g, "mean", &[('S', 1), ('D', size)])?;
        let variance = g.parameter("variance", Shape::new(&[('S', 1), ('D', size)]), Init::Constant(1.0))?;
        let one = move |g: &mut Graph, name: &str| local_reparameterization(g, name, mean, variance);
        if again { twice(g, one) } else { one(g, "y") }
    })
}

/// A variance without a gradient, and, in half of the elements, none at all.
fn without_variance() -> Case {
    Case::op("local_reparameterization", "constant variance", |g| {
        let mean = argument(g, "mean", &[('S', 1), ('D', 9)])?;
        let variance = normal(g, "variance", Shape::new(&[('S', 1), ('D', 9)]), 1.0)?;
        local_reparameterization(g, "y", mean, variance)
    })
}

fn density(sizes: Vec<usize>, again: bool) -> Case {
    Case::op("log_density", &format!("of {sizes:?}{}", said(again)), move |g| {
        let (z, mean, v) = (arguments(g, "z", &sizes)?, arguments(g, "mean", &sizes)?, arguments(g, "v", &sizes)?);
        let parts: Vec<_> = z
            .iter()
            .zip(mean.iter().zip(&v))
            .map(|(&z, (&mean, &log_variance))| (z, Gaussian { mean, log_variance }))
            .collect();
        let one = move |g: &mut Graph, name: &str| log_density(g, name, &parts);
        if again { twice(g, one) } else { one(g, "y") }
    })
}

fn density_of_noise() -> Case {
    Case::op("log_density", "of noise", |g| {
        let shape = Shape::new(&[('S', 1), ('D', 6)]);
        let (z, constant) = (normal(g, "z", shape.clone(), 1.0)?, normal(g, "constant", shape, 1.0)?);
        let (mean, v) = (arguments(g, "mean", &[6])?[0], arguments(g, "v", &[6])?[0]);
        let parts = [(z, Gaussian { mean, log_variance: v }), (constant, Gaussian { mean: z, log_variance: constant })];
        log_density(g, "y", &parts)
    })
}

/// Vectors of S rows, and names of their masks.
fn vectors(g: &mut Graph, name: &str, samples: usize, sizes: &[usize]) -> Result<Vec<TensorId>> {
    let one = |(index, &size): (usize, &usize)| {
        argument(g, &format!("{name}{index}"), &[('S', 1), ('N', samples), ('I', size)])
    };
    sizes.iter().enumerate().map(one).collect()
}

fn masks(parts: usize) -> Vec<String> {
    (0..parts).map(|part| format!("mask{part}")).collect()
}

fn masked(samples: usize, sizes: Vec<usize>, again: bool) -> Case {
    Case::op("coupling_mask", &format!("{samples} samples of {sizes:?}{}", said(again)), move |g| {
        let (z, masks) = (vectors(g, "z", samples, &sizes)?, masks(sizes.len()));
        let one = move |g: &mut Graph, name: &str| {
            let y = coupling_mask(g, name, &z, &masks, samples)?;
            measure(g, name, &y)
        };
        if again { twice(g, one) } else { one(g, "y") }
    })
}

fn parts(g: &mut Graph, samples: usize, sizes: &[usize]) -> Result<Vec<Coupled>> {
    let z = vectors(g, "z", samples, sizes)?;
    let (mean, gate) = (vectors(g, "mean", samples, sizes)?, vectors(g, "gate", samples, sizes)?);
    Ok(z.into_iter().zip(mean).zip(gate).map(|((z, mean), gate)| Coupled { z, mean, gate }).collect())
}

fn coupled(samples: usize, sizes: Vec<usize>, again: bool) -> Case {
    Case::op("coupling", &format!("{samples} samples of {sizes:?}{}", said(again)), move |g| {
        let (parts, masks) = (parts(g, samples, &sizes)?, masks(sizes.len()));
        let one = move |g: &mut Graph, name: &str| {
            let (y, log_determinant) = coupling(g, name, &parts, &masks, samples)?;
            let norm = measure(g, name, &y)?;
            let both = multiply(g, &format!("{name}.both"), norm, log_determinant)?;
            add(g, &format!("{name}.sum"), both, log_determinant, 0.3)
        };
        if again { twice(g, one) } else { one(g, "y") }
    })
}

fn determinant_alone() -> Case {
    Case::op("coupling", "log-determinant alone", |g| {
        let parts = parts(g, 2, &[3, 6])?;
        let (y, log_determinant) = coupling(g, "y", &parts, &masks(2), 2)?;
        // Sums keep every argument on a path to the output.
        let sums: Result<Vec<TensorId>> = y.iter().map(|&y| sum(g, "sum", y)).collect();
        sums?.into_iter().try_fold(log_determinant, |total, sum| add(g, "total", total, sum, 1e-2))
    })
}

fn moved_alone() -> Case {
    Case::op("coupling", "moved vectors alone", |g| {
        let parts = parts(g, 2, &[3, 6])?;
        let (y, _) = coupling(g, "y", &parts, &masks(2), 2)?;
        measure(g, "y", &y)
    })
}
