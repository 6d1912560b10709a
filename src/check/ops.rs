//! Cases of the ops on vectors: small odd shapes, strided parts of vectors, shared inputs, gradients set and added to.

use super::case::{Built, Case, Constant, argument, twice};
use crate::Result;
use crate::call::{Dtype, Unary, scalar};
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::bias::bias;
use crate::ops::dropout::dropout;
use crate::ops::elementwise::{add, half_squared_norm, multiply, relu, scale, scale_by_step_scalar, sum, unary};
use crate::ops::linear::linear;
use crate::ops::pairwise::nearest_neighbour_kl;
use crate::ops::per_weight_kl::per_weight_kl;
use crate::ops::samples::{center_samples, concat_one_hot, mean_samples};
use crate::ops::softmax::{log_mean_softmax, softmax, softmax_xent};
use crate::ops::subset::subset;

/// All of them.
pub fn cases() -> Vec<Case> {
    [linears(), biases(), unaries(), products(), reductions(), samples(), subsets(), softmaxes(), divergences()]
        .into_iter()
        .flatten()
        .collect()
}

/// x [S or 1, N, I], w [S, O, I], b [S, O]
fn dense(g: &mut Graph, x_samples: usize, [samples, rows, inputs, outputs]: [usize; 4]) -> Result<[TensorId; 3]> {
    Ok([
        argument(g, "x", &[('S', x_samples), ('N', rows), ('I', inputs)])?,
        argument(g, "w", &[('S', samples), ('O', outputs), ('I', inputs)])?,
        argument(g, "b", &[('S', samples), ('O', outputs)])?,
    ])
}

fn linears() -> Vec<Case> {
    let plain = |name: &str, x_samples: usize, sizes: [usize; 4]| {
        Case::op("linear", name, move |g| {
            let [x, w, b] = dense(g, x_samples, sizes)?;
            linear(g, "y", x, w, Some(b))
        })
    };
    let activated = |f: Unary| {
        Case::op("linear", f.name(), move |g| {
            let [x, w, b] = dense(g, 3, [3, 3, 5, 7])?;
            let y = linear(g, "y", x, w, Some(b))?;
            unary(g, "f", y, f)
        })
    };
    let mut cases = vec![
        plain("one sample", 1, [1, 3, 5, 7]),
        plain("one row", 1, [1, 1, 5, 3]),
        plain("five samples", 5, [5, 2, 3, 4]),
        plain("shared input", 1, [3, 3, 5, 2]),
        plain("many rows", 1, [1, 35, 67, 41]).at_most(24),
        plain("wide", 2, [2, 5, 131, 73]).at_most(24),
        plain("wide, shared input", 1, [2, 17, 65, 35]).at_most(24),
        Case::op("linear", "no bias", |g| {
            let [x, w, _] = dense(g, 2, [2, 3, 4, 3])?;
            let b = argument(g, "b", &[('S', 2), ('O', 3)])?;
            let (y, b) = (linear(g, "y", x, w, None)?, half_squared_norm(g, "norm", &[b])?);
            let y = half_squared_norm(g, "y.norm", &[y])?;
            add(g, "both", y, b, 1.0)
        }),
        Case::op("linear", "parts of a vector", |g| {
            let x = argument(g, "x", &[('S', 1), ('N', 3), ('I', 5)])?;
            let v = argument(g, "v", &[('S', 3), ('D', 21)])?;
            let b = g.part(v, "b", 1, Shape::new(&[('S', 3), ('O', 4)]))?;
            let v = g.part(v, "rest", 0, Shape::new(&[('S', 3), ('D', 21)]))?;
            let w = g.part(v, "w", 1, Shape::new(&[('S', 3), ('O', 4), ('I', 5)]))?;
            linear(g, "y", x, w, Some(b))
        }),
        Case::op("linear", "used twice", |g| {
            let [x, w, b] = dense(g, 3, [3, 2, 5, 3])?;
            twice(g, move |g, name| linear(g, name, x, w, Some(b)))
        }),
        Case::op("linear", "shared input used twice", |g| {
            let [x, w, b] = dense(g, 1, [3, 2, 5, 3])?;
            twice(g, move |g, name| linear(g, name, x, w, Some(b)))
        }),
        Case::op("linear", "first sample alone", |g| {
            let [x, w, b] = dense(g, 1, [3, 2, 5, 3])?;
            first_sample(g, "first", x, w, b)
        }),
        Case::op("linear", "first sample, then all", |g| {
            let [x, w, b] = dense(g, 1, [3, 2, 5, 3])?;
            let first = first_sample(g, "first", x, w, b)?;
            let all = all_samples(g, "all", x, w, b)?;
            add(g, "both", first, all, -0.3)
        }),
        Case::op("linear", "all samples, then the first", |g| {
            let [x, w, b] = dense(g, 1, [3, 2, 5, 3])?;
            let all = all_samples(g, "all", x, w, b)?;
            let first = first_sample(g, "first", x, w, b)?;
            add(g, "both", all, first, -0.3)
        }),
    ];
    let functions = [Unary::Relu, Unary::LeakyRelu(0.1), Unary::Tanh, Unary::Sigmoid, Unary::Exp, Unary::Square];
    cases.extend(functions.map(activated));
    cases
}

fn first_sample(g: &mut Graph, name: &str, x: TensorId, w: TensorId, b: TensorId) -> Result<TensorId> {
    let (w, b) = (g.first_samples(w, 1)?, g.first_samples(b, 1)?);
    all_samples(g, name, x, w, b)
}

fn all_samples(g: &mut Graph, name: &str, x: TensorId, w: TensorId, b: TensorId) -> Result<TensorId> {
    let y = linear(g, name, x, w, Some(b))?;
    half_squared_norm(g, &format!("{name}.norm"), &[y])
}

fn biases() -> Vec<Case> {
    vec![
        Case::op("bias", "dense", |g| {
            let (x, b) = (argument(g, "x", &[('S', 3), ('N', 2), ('I', 5)])?, argument(g, "b", &[('S', 3), ('O', 5)])?);
            bias(g, "y", x, b)
        }),
        Case::op("bias", "images, part of a vector, used twice", |g| {
            let x = argument(g, "x", &[('S', 2), ('N', 3), ('C', 3), ('H', 3), ('W', 5)])?;
            let v = argument(g, "v", &[('S', 2), ('D', 7)])?;
            let b = g.part(v, "b", 3, Shape::new(&[('S', 2), ('O', 3)]))?;
            twice(g, move |g, name| bias(g, name, x, b))
        }),
    ]
}

fn unaries() -> Vec<Case> {
    let functions = [
        Unary::Identity,
        Unary::Relu,
        Unary::LeakyRelu(0.1),
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::Exp,
        Unary::Log,
        Unary::Affine(-1.7, 0.3),
        Unary::Square,
        Unary::Softplus,
    ];
    let mut cases = Vec::new();
    for f in functions {
        // Log alone needs positive arguments.
        let init = if f == Unary::Log { Init::Constant(1.0) } else { Init::Uniform(2.0) };
        cases.push(Case::op(f.name(), "once", move |g| {
            let x = g.parameter("x", Shape::new(&[('S', 3), ('D', 37)]), init)?;
            unary(g, "y", x, f)
        }));
        cases.push(Case::op(f.name(), "twice", move |g| {
            let x = g.parameter("x", Shape::new(&[('S', 3), ('D', 7)]), init)?;
            twice(g, move |g, name| unary(g, name, x, f))
        }));
    }
    for (elements, keep) in [(1, 1.0), (37, 0.5), (130, 0.8)] {
        cases.push(Case::op("dropout", &format!("{elements}, keep {keep}"), move |g| {
            let x = g.parameter("x", Shape::new(&[('D', elements)]), Init::Uniform(2.0))?;
            twice(g, move |g, name| dropout(g, name, x, keep))
        }));
    }
    cases
}

/// v [S = 3, D = 11] and a part [S, D = 4] of it that is no contiguous range.
fn part(g: &mut Graph) -> Result<TensorId> {
    let v = argument(g, "x", &[('S', 3), ('D', 11)])?;
    g.part(v, "part", 5, Shape::new(&[('S', 3), ('D', 4)]))
}

fn vector(g: &mut Graph, name: &str) -> Result<TensorId> {
    argument(g, name, &[('S', 3), ('D', 7)])
}

fn products() -> Vec<Case> {
    let scaled = |part_of: bool| {
        Case::with_constants("scale_by_scalar", if part_of { "part of a vector" } else { "twice" }, move |g| {
            let x = if part_of { part(g)? } else { vector(g, "x")? };
            let output = if part_of {
                scale_by_step_scalar(g, "y", x, scalar::ANNEAL, -2.5)?
            } else {
                twice(g, move |g, name| scale_by_step_scalar(g, name, x, scalar::ANNEAL, -2.5))?
            };
            Ok(Built { output, constants: vec![anneal(g)] })
        })
    };
    vec![
        Case::op("add", "two arguments", |g| {
            let (a, b) = (vector(g, "a")?, vector(g, "b")?);
            add(g, "y", a, b, -0.7)
        }),
        Case::op("add", "one argument twice", |g| {
            let a = vector(g, "a")?;
            add(g, "y", a, a, -0.7)
        }),
        Case::op("multiply", "two arguments", |g| {
            let (a, b) = (vector(g, "a")?, vector(g, "b")?);
            multiply(g, "y", a, b)
        }),
        Case::op("multiply", "square and product", |g| {
            let (a, b) = (vector(g, "a")?, vector(g, "b")?);
            let squared = multiply(g, "squared", a, a)?;
            multiply(g, "y", squared, b)
        }),
        Case::op("scale", "part of a vector", |g| {
            let x = part(g)?;
            scale(g, "y", x, -1.3)
        }),
        Case::op("scale", "twice", |g| {
            let x = vector(g, "x")?;
            twice(g, move |g, name| scale(g, name, x, -1.3))
        }),
        scaled(true),
        scaled(false),
    ]
}

/// An anneal factor that is neither 0 nor 1.
pub fn anneal(g: &Graph) -> Constant {
    let scalars = g.store.scalars();
    let values = (0..scalars.len).map(|index| if index == scalar::ANNEAL { 0.7 } else { 0.01 });
    Constant::Real(scalars, values.collect())
}

fn reductions() -> Vec<Case> {
    vec![
        Case::op("sum", "used with a product", |g| {
            let x = vector(g, "x")?;
            let total = sum(g, "total", x)?;
            let norm = half_squared_norm(g, "norm", &[x])?;
            multiply(g, "y", total, norm)
        }),
        Case::op("sum", "once", |g| {
            let x = vector(g, "x")?;
            sum(g, "y", x)
        }),
        Case::op("half_squared_norm", "part of a vector", |g| {
            let x = part(g)?;
            half_squared_norm(g, "y", &[x])
        }),
        Case::op("half_squared_norm", "of three tensors", |g| {
            let (x, y, z) = (part(g)?, vector(g, "y")?, argument(g, "z", &[('n', 5)])?);
            half_squared_norm(g, "norm", &[x, y, z])
        }),
        Case::op("half_squared_norm", "twice", |g| {
            let x = vector(g, "x")?;
            twice(g, move |g, name| half_squared_norm(g, name, &[x]))
        }),
    ]
}

fn samples() -> Vec<Case> {
    let case = |op: &str, shape: &'static [(char, usize)], f: fn(&mut Graph, &str, TensorId) -> Result<TensorId>| {
        let once = Case::op(op, "once", move |g| {
            let x = argument(g, "x", shape)?;
            f(g, "y", x)
        });
        let again = Case::op(op, "twice", move |g| {
            let x = argument(g, "x", shape)?;
            twice(g, move |g, name| f(g, name, x))
        });
        [once, again]
    };
    [
        case("concat_one_hot", &[('S', 3), ('I', 2)], |g, name, x| concat_one_hot(g, name, x, 5)),
        case("center_samples", &[('S', 5), ('D', 7)], center_samples),
        case("mean_samples", &[('S', 3), ('D', 7)], mean_samples),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Labels and row weights of `rows` rows: all classes in turn, weights from 0 to 1.
pub fn labels(g: &mut Graph, rows: usize, classes: usize) -> Result<([TensorId; 2], Vec<Constant>)> {
    let (words, weights) = (g.store.buffer("labels", Dtype::U32, rows)?, g.store.buffer("rows", Dtype::Real, rows)?);
    let shape = Shape::new(&[('N', rows)]);
    let tensors = [
        g.persistent("labels", shape.clone(), Dtype::U32, words),
        g.persistent("row weights", shape, Dtype::Real, weights),
    ];
    let label = |row: usize| ((row * 2 + 1) % classes) as u32;
    let weight = |row: usize| if row == 1 { 0.0 } else { 1.0 / (1 + row) as f64 };
    let constants = vec![
        Constant::Words(words, (0..rows).map(label).collect()),
        Constant::Real(weights, (0..rows).map(weight).collect()),
    ];
    Ok((tensors, constants))
}

/// Some and all of the elements of a tensor and of a part of a vector, whose gradient is then set or added to.
fn subsets() -> Vec<Case> {
    let case = |samples: usize, chosen: usize| {
        Case::op("subset", &format!("{samples} samples, {chosen} of 12"), move |g| {
            let a = argument(g, "a", &[('S', samples), ('D', 5)])?;
            let v = argument(g, "v", &[('S', samples), ('D', 11)])?;
            let b = g.part(v, "b", 2, Shape::new(&[('S', samples), ('D', 7)]))?;
            twice(g, move |g, name| subset(g, name, &[a, b], chosen))
        })
    };
    vec![case(1, 5), case(3, 8), case(2, 12)]
}

fn softmaxes() -> Vec<Case> {
    let logits = |g: &mut Graph, samples: usize| {
        g.parameter("x", Shape::new(&[('S', samples), ('N', 4), ('I', 5)]), Init::Uniform(3.0))
    };
    let map = |op: &str, samples: usize, again: bool, f: fn(&mut Graph, &str, TensorId) -> Result<TensorId>| {
        Case::op(op, &format!("{samples} samples{}", if again { ", twice" } else { "" }), move |g| {
            let x = logits(g, samples)?;
            if again { twice(g, move |g, name| f(g, name, x)) } else { f(g, "y", x) }
        })
    };
    let xent = |samples: usize, again: bool| {
        let name = format!("{samples} samples{}", if again { ", twice" } else { "" });
        Case::with_constants("softmax_xent", &name, move |g| {
            let x = logits(g, samples)?;
            let ([labels, weights], constants) = labels(g, 4, 5)?;
            let loss = move |g: &mut Graph, name: &str| softmax_xent(g, name, x, labels, weights).map(|loss| loss.0);
            let output = if again { twice(g, loss)? } else { loss(g, "loss")? };
            Ok(Built { output, constants })
        })
    };
    vec![
        map("softmax", 1, false, softmax),
        map("softmax", 3, true, softmax),
        map("log_mean_softmax", 1, false, log_mean_softmax),
        map("log_mean_softmax", 5, false, log_mean_softmax),
        map("log_mean_softmax", 3, true, log_mean_softmax),
        xent(1, false),
        xent(5, false),
        xent(3, true),
    ]
}

fn divergences() -> Vec<Case> {
    let kl = |op: &'static str, samples: usize, again: bool| {
        Case::op(op, &format!("{samples} samples{}", if again { ", twice" } else { "" }), move |g| {
            let v = argument(g, "v", &[('S', samples), ('D', 9)])?;
            let parts = [
                argument(g, "w", &[('S', samples), ('O', 3)])?,
                g.part(v, "part", 2, Shape::new(&[('S', samples), ('O', 5)]))?,
            ];
            let one = move |g: &mut Graph, name: &str| match op {
                "per_weight_kl" => {
                    let kls = per_weight_kl(g, name, &parts, 0.8)?;
                    add(g, &format!("{name}.sum"), kls[0], kls[1], 1.0)
                }
                _ => nearest_neighbour_kl(g, name, &parts, 0.8),
            };
            if again { twice(g, one) } else { one(g, "kl") }
        })
    };
    let ops = ["nearest_neighbour_kl", "per_weight_kl"];
    let mut cases: Vec<Case> =
        ops.iter().flat_map(|op| [kl(op, 2, false), kl(op, 5, false), kl(op, 3, true)]).collect();
    cases.push(Case::op("relu", "after a product, then a KL", |g| {
        let (a, b) = (vector(g, "x")?, vector(g, "b")?);
        let product = multiply(g, "product", a, b)?;
        let y = relu(g, "y", product)?;
        let y = add(g, "shifted", y, a, 0.5)?;
        nearest_neighbour_kl(g, "kl", &[y], 1.0)
    }));
    cases
}
