//! Cases at odd sizes, for what kernels do at the ragged ends of blocks, warps and vectors. Few elements of each argument are
//! compared with differences: the small cases of `ops` compare all.

use super::case::{Built, Case, argument, twice};
use super::ops::labels;
use crate::Result;
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::bias::bias;
use crate::ops::dropout::dropout;
use crate::ops::elementwise::{add, multiply, sum, unary};
use crate::ops::pairwise::nearest_neighbour_kl;
use crate::ops::per_weight_kl::per_weight_kl;
use crate::ops::samples::{center_samples, concat_one_hot, mean_samples};
use crate::ops::softmax::{log_mean_softmax, softmax, softmax_xent};
use crate::ops::subset::subset;

/// An op with one argument.
type Function = fn(&mut Graph, &str, TensorId) -> Result<TensorId>;

/// Elements of an argument that are compared.
const COMPARED: usize = 4;

/// All of them.
pub fn cases() -> Vec<Case> {
    let families = [element_wise(), biases(), samples(), softmaxes(), divergences()];
    families.into_iter().flatten().map(|case| case.at_most(COMPARED)).collect()
}

fn element_wise() -> Vec<Case> {
    let case = |elements: usize| {
        Case::op("multiply", &format!("{elements} elements"), move |g| {
            let axes = [('D', elements)];
            let (a, b) = (argument(g, "a", &axes)?, argument(g, "b", &axes)?);
            let product = multiply(g, "product", a, b)?;
            let y = unary(g, "tanh", product, crate::call::Unary::Tanh)?;
            let total = sum(g, "total", y)?;
            let squares = multiply(g, "square", total, total)?;
            add(g, "both", squares, total, 0.7)
        })
    };
    let dropped = |elements: usize| {
        Case::op("dropout", &format!("{elements} elements"), move |g| {
            let x = argument(g, "x", &[('D', elements)])?;
            twice(g, move |g, name| dropout(g, name, x, 0.5))
        })
    };
    [1, 33, 129, 5003].into_iter().map(case).chain([129, 5004, 8195].map(dropped)).collect()
}

fn biases() -> Vec<Case> {
    let case = |axes: &'static [(char, usize)]| {
        let sizes: Vec<String> = axes.iter().map(|(letter, size)| format!("{letter}{size}")).collect();
        Case::op("bias", &sizes.join(" "), move |g| {
            let x = argument(g, "x", axes)?;
            let b = argument(g, "b", &[('S', axes[0].1), ('O', axes[2].1)])?;
            twice(g, move |g, name| bias(g, name, x, b))
        })
    };
    vec![
        case(&[('S', 1), ('N', 1), ('I', 1)]),
        case(&[('S', 2), ('N', 17), ('I', 33)]),
        case(&[('S', 5), ('N', 65), ('I', 3)]),
        case(&[('S', 1), ('N', 129), ('I', 129)]),
        case(&[('S', 16), ('N', 3), ('I', 65)]),
        case(&[('S', 2), ('N', 3), ('C', 17), ('H', 5), ('W', 7)]),
        case(&[('S', 1), ('N', 33), ('C', 3), ('H', 3), ('W', 3)]),
        case(&[('S', 5), ('N', 1), ('C', 1), ('H', 1), ('W', 17)]),
    ]
}

fn samples() -> Vec<Case> {
    let mut cases = Vec::new();
    for (count, inner) in [(1, 17), (2, 129), (5, 33), (16, 300)] {
        for (op, f) in [("center_samples", center_samples as Function), ("mean_samples", mean_samples)] {
            cases.push(Case::op(op, &format!("{count}x{inner}"), move |g| {
                let x = argument(g, "x", &[('S', count), ('D', inner)])?;
                twice(g, move |g, name| f(g, name, x))
            }));
        }
    }
    for (count, noise, conditions) in [(1, 1, 1), (2, 33, 17), (5, 3, 129), (16, 65, 3)] {
        cases.push(Case::op("concat_one_hot", &format!("{count}x{noise}, {conditions} slices"), move |g| {
            let z = argument(g, "z", &[('S', count), ('I', noise)])?;
            twice(g, move |g, name| concat_one_hot(g, name, z, conditions))
        }));
    }
    cases
}

const SOFTMAX_SIZES: [[usize; 3]; 6] = [[1, 1, 2], [2, 17, 10], [5, 33, 33], [16, 3, 65], [1, 129, 10], [5, 5, 129]];

fn softmaxes() -> Vec<Case> {
    let logits = |g: &mut Graph, [samples, rows, classes]: [usize; 3]| {
        g.parameter("x", Shape::new(&[('S', samples), ('N', rows), ('I', classes)]), Init::Uniform(3.0))
    };
    let mut cases = Vec::new();
    for sizes in SOFTMAX_SIZES {
        let name = format!("{}x{}x{}", sizes[0], sizes[1], sizes[2]);
        for (op, f) in [("softmax", softmax as Function), ("log_mean_softmax", log_mean_softmax)] {
            cases.push(Case::op(op, &name, move |g| {
                let x = logits(g, sizes)?;
                twice(g, move |g, name| f(g, name, x))
            }));
        }
        cases.push(Case::with_constants("softmax_xent", &name, move |g| {
            let x = logits(g, sizes)?;
            let ([labels, weights], constants) = labels(g, sizes[1], sizes[2])?;
            let loss = move |g: &mut Graph, name: &str| softmax_xent(g, name, x, labels, weights).map(|loss| loss.0);
            Ok(Built { output: twice(g, loss)?, constants })
        }));
    }
    cases
}

/// Weights in two parts, whose prior draws begin at any lane of a counter.
fn divergences() -> Vec<Case> {
    let case = |op: &'static str, samples: usize, sizes: [usize; 2]| {
        Case::op(op, &format!("{samples} of {}+{}", sizes[0], sizes[1]), move |g| {
            let parts = [
                argument(g, "v", &[('S', samples), ('D', sizes[0])])?,
                argument(g, "w", &[('S', samples), ('D', sizes[1])])?,
            ];
            if op == "nearest_neighbour_kl" {
                return nearest_neighbour_kl(g, "kl", &parts, 0.8);
            }
            let kls = per_weight_kl(g, "kl", &parts, 0.8)?;
            add(g, "kl.sum", kls[0], kls[1], 1.0)
        })
    };
    let mut cases = Vec::new();
    for op in ["nearest_neighbour_kl", "per_weight_kl"] {
        cases.extend([
            case(op, 2, [1, 129]),
            case(op, 5, [33, 130]),
            case(op, 8, [17, 65]),
            case(op, 9, [3, 131]),
            case(op, 16, [33, 257]),
        ]);
    }
    cases.push(case("nearest_neighbour_kl", 3, [8500, 1]));
    cases.push(
        Case::op("subset", "300 of 1033", |g| {
            let (v, w) = (argument(g, "v", &[('S', 5), ('D', 1000)])?, argument(g, "w", &[('S', 5), ('D', 33)])?);
            twice(g, move |g, name| subset(g, name, &[v, w], 300))
        })
        .at_most(200),
    );
    cases
}
