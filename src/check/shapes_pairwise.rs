//! Shapes of the divergences: every number of samples in registers and in tiles, parts that begin at every lane of a counter,
//! draws whose starts are and are not multiples of four apart, one block and several.

use super::case::{Case, argument, twice};
use crate::Result;
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::elementwise::add;
use crate::ops::pairwise::nearest_neighbour_kl;
use crate::ops::per_weight_kl::per_weight_kl;

/// Samples S and the weights of each part: of one divergence, then of the sums over weights.
const WHOLE: [(usize, &[usize]); 13] = [
    (2, &[1, 3]),
    (2, &[64, 17]),
    (3, &[33, 129]),
    (4, &[17, 65, 3]),
    (5, &[500, 20, 644]),
    (5, &[129]),
    (6, &[3, 33, 17]),
    (7, &[65, 1]),
    (8, &[36, 65]),
    (8, &[516]),
    (9, &[17, 3]),
    (12, &[520, 9]),
    (16, &[33, 65]),
];
const PER_WEIGHT: [(usize, &[usize]); 7] =
    [(2, &[1, 3]), (2, &[33, 129]), (3, &[65, 17]), (5, &[129, 520]), (8, &[36, 65]), (9, &[17, 3]), (16, &[33, 65])];

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (op, shapes) in [("nearest_neighbour_kl", WHOLE.as_slice()), ("per_weight_kl", PER_WEIGHT.as_slice())] {
        cases.extend(shapes.iter().map(|(samples, sizes)| case(op, *samples, sizes, false)));
        cases.extend([(3, [33, 129]), (9, [17, 3])].map(|(samples, sizes)| case(op, samples, &sizes, true)));
    }
    cases
}

/// The divergence of parts that lie in vectors of their own, but for the last: behind 3 other weights of a longer vector.
fn case(op: &'static str, samples: usize, sizes: &[usize], again: bool) -> Case {
    let sizes = sizes.to_vec();
    let name = format!("{samples} samples of {sizes:?}{}", if again { ", twice" } else { "" });
    let build = move |g: &mut Graph| {
        let parts = parts(g, samples, &sizes)?;
        let one = move |g: &mut Graph, name: &str| match op {
            "per_weight_kl" => {
                let kls = per_weight_kl(g, name, &parts, 0.8)?;
                kls[1..]
                    .iter()
                    .enumerate()
                    .try_fold(kls[0], |sum, (index, &kl)| add(g, &format!("{name}.sum {index}"), sum, kl, 1.0))
            }
            _ => nearest_neighbour_kl(g, name, &parts, 0.8),
        };
        if again { twice(g, one) } else { one(g, "kl") }
    };
    Case::op(op, &name, build).at_most(6)
}

fn parts(g: &mut Graph, samples: usize, sizes: &[usize]) -> Result<Vec<TensorId>> {
    let part = |(index, &weights): (usize, &usize)| {
        let name = format!("w{index}");
        if index + 1 < sizes.len() {
            return argument(g, &name, &[('S', samples), ('D', weights)]);
        }
        let whole = argument(g, &name, &[('S', samples), ('D', weights + 4)])?;
        g.part(whole, "part", 3, Shape::new(&[('S', samples), ('D', weights)]))
    };
    sizes.iter().enumerate().map(part).collect()
}
