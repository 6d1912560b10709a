//! Small linear maps and scaled tensors that the planner joins to groups: of one size and of many, one to more than a call takes, on every path of
//! the kernels, with gradients that are set and added to.

use super::case::{Case, argument};
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::elementwise::{add, half_squared_norm, scale, unary};
use crate::ops::linear::linear;
use crate::ops::noise::normal;

/// Elements of each argument of the larger cases whose gradients are checked.
const CHECKED: usize = 3;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        // rows up to 4, 8 and 16; inputs and outputs that vectors divide and that they do not, and more than one stage of either
        group("4 rows", &[[3, 33, 17], [1, 1, 1], [4, 132, 65], [2, 2051, 9]], Form { function: LEAKY_RELU, ..PLAIN }),
        group("8 rows", &[[5, 33, 3], [8, 129, 100], [6, 1032, 33], [2, 7, 5]], Form { bias: false, ..PLAIN }),
        group("16 rows", &[[16, 65, 129], [9, 1027, 70], [12, 20, 270]], Form { function: Unary::Relu, ..PLAIN }),
        group("4 rows, many outputs", &[[3, 36, 300], [4, 64, 40]], PLAIN),
        group("8 rows, many outputs", &[[7, 33, 300], [8, 64, 64]], Form { function: LEAKY_RELU, ..PLAIN }),
        group("16 rows, many outputs", &[[13, 40, 520], [16, 17, 64]], Form { function: Unary::Exp, ..PLAIN }),
        group("no gradient of x", &[[5, 9, 64], [5, 17, 33]], Form { of_noise: true, function: LEAKY_RELU, ..PLAIN }),
    ];
    for count in [16, 17] {
        let sizes: Vec<[usize; 3]> = (0..count).map(|map| [1 + map % 5, 1 + map * 5 % 37, 1 + map * 7 % 33]).collect();
        cases.push(group(&format!("{count} maps"), &sizes, Form { rounds: 1, function: Unary::Sigmoid, ..PLAIN }));
    }
    cases = cases.into_iter().map(|case| case.at_most(CHECKED)).collect();
    // Every element, so that every defect of a gradient shows.
    cases.push(group("each element", &[[2, 3, 4], [1, 2, 3], [3, 1, 2]], Form { function: Unary::Tanh, ..PLAIN }));
    cases.push(group("each element, no function", &[[2, 3, 4], [3, 2, 1]], PLAIN));
    cases.push(generators());
    cases.extend([scaled("a few", 3), scaled("more than a call takes", 17)]);
    cases
}

const LEAKY_RELU: Unary = Unary::LeakyRelu(0.2);

/// What the maps of a case have in common.
#[derive(Clone, Copy)]
struct Form {
    function: Unary,
    bias: bool,
    /// True when x is noise, which gets no gradient.
    of_noise: bool,
    /// How often each map is said over the same arguments: the first gradient is set, others are added.
    rounds: usize,
}

const PLAIN: Form = Form { function: Unary::Identity, bias: true, of_noise: false, rounds: 2 };

/// The norms of independent maps of [rows, inputs, outputs], summed.
fn group(name: &str, sizes: &[[usize; 3]], form: Form) -> Case {
    let sizes = sizes.to_vec();
    let build = move |g: &mut Graph| {
        let mut arguments = Vec::new();
        for (map, &[rows, inputs, outputs]) in sizes.iter().enumerate() {
            let (name, axes) = (format!("x{map}"), [('S', 1), ('N', rows), ('I', inputs)]);
            let x = if form.of_noise { normal(g, &name, Shape::new(&axes), 1.0)? } else { argument(g, &name, &axes)? };
            arguments.push((x, factors(g, map, inputs, outputs, form)?));
        }
        let mut outputs = Vec::new();
        for round in 0..form.rounds {
            for (map, &(x, factors)) in arguments.iter().enumerate() {
                outputs.push(layer(g, &format!("y{map}.{round}"), x, factors, form)?);
            }
        }
        total_norm(g, &outputs)
    };
    Case::op("linear_group", name, build)
}

/// w and b of map number `map`.
type Factors = (TensorId, Option<TensorId>);

fn factors(g: &mut Graph, map: usize, inputs: usize, outputs: usize, form: Form) -> Result<Factors> {
    let w = argument(g, &format!("w{map}"), &[('S', 1), ('O', outputs), ('I', inputs)])?;
    let b = if form.bias { Some(argument(g, &format!("b{map}"), &[('S', 1), ('O', outputs)])?) } else { None };
    Ok((w, b))
}

/// f(x w + b)
fn layer(g: &mut Graph, name: &str, x: TensorId, (w, b): Factors, form: Form) -> Result<TensorId> {
    let y = linear(g, name, x, w, b)?;
    if form.function == Unary::Identity { Ok(y) } else { unary(g, &format!("{name}.f"), y, form.function) }
}

/// sum_k (1 + k / 4) |y_k|^2 / 2
fn total_norm(g: &mut Graph, outputs: &[TensorId]) -> Result<TensorId> {
    let mut total: Option<TensorId> = None;
    for (index, &y) in outputs.iter().enumerate() {
        let norm = half_squared_norm(g, &format!("norm{index}"), &[y])?;
        total = Some(match total {
            Some(total) => add(g, &format!("sum{index}"), total, norm, 1.0 + index as f32 / 4.0)?,
            None => norm,
        });
    }
    total.ok_or_else(|| crate::Error::run("a group of no maps has no norm"))
}

/// Three generators of two layers over one noise: each layer is a group behind the other, in both directions.
fn generators() -> Case {
    Case::op("linear_group", "generators", |g| {
        let z = argument(g, "x", &[('S', 1), ('N', 3), ('I', 4)])?;
        let mut outputs = Vec::new();
        for (generator, last) in [2, 5, 3].into_iter().enumerate() {
            let hidden = Form { function: LEAKY_RELU, ..PLAIN };
            let first = factors(g, 2 * generator, 4, 5, hidden)?;
            let h = layer(g, &format!("first{generator}"), z, first, hidden)?;
            let second = factors(g, 2 * generator + 1, 5, last, PLAIN)?;
            outputs.push(layer(g, &format!("last{generator}"), h, second, PLAIN)?);
        }
        total_norm(g, &outputs)
    })
}

/// Tensors and parts of vectors that are scaled, twice each.
fn scaled(name: &str, count: usize) -> Case {
    Case::op("scale_group", name, move |g| {
        let mut outputs = Vec::new();
        for index in 0..count {
            let weights = [3, 1, 17][index % 3];
            let mut x = argument(g, &format!("x{index}"), &[('S', 2), ('D', weights + index % 2)])?;
            if index % 2 == 1 {
                x = g.part(x, &format!("part{index}"), 1, Shape::new(&[('S', 2), ('D', weights)]))?;
            }
            for round in 0..2 {
                outputs.push(scale(g, &format!("y{index}.{round}"), x, 0.5 + index as f32 - 3.0 * round as f32)?);
            }
        }
        total_norm(g, &outputs)
    })
}
