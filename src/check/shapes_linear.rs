//! Shapes of linear maps that take every path of the kernels: ragged tiles, vectors and single elements, long inner axes that
//! are split, few rows, samples that share their input, and every activation that is fused.

use super::case::{Case, argument, twice};
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, TensorId};
use crate::ops::elementwise::unary;
use crate::ops::linear::linear;

/// Elements of each argument whose gradients are checked.
const CHECKED: usize = 6;

pub(super) fn cases() -> Vec<Case> {
    [maps(), activations()].into_iter().flatten().map(|case| case.at_most(CHECKED)).collect()
}

/// x [x samples, rows, inputs], w [samples, outputs, inputs]: x samples, [samples, rows, inputs, outputs], bias.
const MAPS: [(usize, [usize; 4], bool); 27] = [
    // few rows: one, two and three groups of rows, outputs and inputs that vectors divide and that they do not
    (1, [1, 1, 1, 1], true),
    (2, [2, 3, 1, 17], false),
    (5, [5, 1, 33, 3], true),
    (1, [16, 3, 17, 1], true),
    (1, [1, 4, 132, 65], true),
    (2, [2, 5, 512, 33], true),
    (1, [3, 8, 129, 100], false),
    (1, [1, 16, 1100, 9], true),
    (1, [1, 2, 2051, 5], true),
    (1, [1, 6, 1032, 33], true),
    (1, [1, 9, 1027, 70], true),
    (1, [1, 5, 2, 33900], true),
    // one tile and less
    (1, [1, 17, 33, 65], false),
    (2, [2, 33, 65, 17], true),
    (1, [5, 17, 16, 64], true),
    (1, [2, 20, 36, 36], true),
    // several tiles, ragged and whole
    (1, [1, 65, 129, 33], true),
    (1, [1, 129, 17, 129], true),
    (2, [2, 68, 64, 132], true),
    (1, [1, 128, 64, 64], false),
    (1, [1, 66, 34, 130], true),
    (1, [2, 129, 65, 65], true),
    // a long inner axis: of the forward map, of both gradients
    (1, [5, 33, 260, 36], true),
    (2, [2, 35, 387, 33], true),
    (1, [1, 300, 36, 40], true),
    (1, [2, 261, 33, 67], false),
    (1, [3, 18, 40, 260], true),
];

fn maps() -> Vec<Case> {
    let case = |(x_samples, sizes, biased): (usize, [usize; 4], bool)| {
        let [samples, rows, inputs, outputs] = sizes;
        let name =
            format!("S{x_samples} of {samples} N{rows} I{inputs} O{outputs}{}", if biased { "" } else { " no bias" });
        Case::op("linear", &name, move |g| {
            let (x, w) = factors(g, x_samples, sizes)?;
            let b = if biased { Some(argument(g, "b", &[('S', samples), ('O', outputs)])?) } else { None };
            twice(g, move |g, name| linear(g, name, x, w, b))
        })
    };
    MAPS.map(case).into()
}

fn factors(
    g: &mut Graph,
    x_samples: usize,
    [samples, rows, inputs, outputs]: [usize; 4],
) -> Result<(TensorId, TensorId)> {
    let x = argument(g, "x", &[('S', x_samples), ('N', rows), ('I', inputs)])?;
    Ok((x, argument(g, "w", &[('S', samples), ('O', outputs), ('I', inputs)])?))
}

/// Every function behind a map of few rows and of a tile, one behind a ragged tile and a split.
fn activations() -> Vec<Case> {
    let functions = [Unary::Relu, Unary::LeakyRelu(0.2), Unary::Tanh, Unary::Sigmoid, Unary::Exp];
    let shapes = [[2, 3, 7, 17], [1, 20, 20, 36], [2, 65, 33, 35], [1, 18, 260, 36]];
    let mut cases = Vec::new();
    for function in functions {
        for sizes in if function == Unary::Tanh { &shapes[..] } else { &shapes[..2] } {
            let sizes @ [samples, rows, inputs, outputs] = *sizes;
            let name = format!("{} S{samples} N{rows} I{inputs} O{outputs}", function.name());
            cases.push(Case::op("linear", &name, move |g| {
                let (x, w) = factors(g, samples, sizes)?;
                let b = argument(g, "b", &[('S', samples), ('O', outputs)])?;
                let y = linear(g, "y", x, w, Some(b))?;
                unary(g, "f", y, function)
            }));
        }
    }
    cases
}
