//! Normalisation and shortcuts: small cases with every element compared, and shapes for every path of the kernels.

use super::case::{Case, argument, twice};
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, TensorId};
use crate::ops::elementwise::{relu, unary};
use crate::ops::norm::{NormKind, norm};
use crate::ops::shortcut::shortcut;

/// Elements of an argument whose gradients are checked at the larger shapes.
const CHECKED: usize = 6;

const KINDS: [(&str, NormKind); 2] = [("instance", NormKind::Instance), ("batch", NormKind::Batch)];

pub(super) fn cases() -> Vec<Case> {
    [norms(), norms_at_odd_sizes(), shortcuts()].into_iter().flatten().collect()
}

fn images(g: &mut Graph, name: &str, sizes: [usize; 5]) -> Result<TensorId> {
    let axes: Vec<(char, usize)> = "SNCHW".chars().zip(sizes).collect();
    argument(g, name, &axes)
}

/// x [S, N, C, H, W] and gamma, beta [sets, C]
fn arguments(g: &mut Graph, sizes: [usize; 5], sets: usize) -> Result<(TensorId, TensorId, TensorId)> {
    let x = images(g, "x", sizes)?;
    let affine = [('S', sets), ('C', sizes[2])];
    Ok((x, argument(g, "gamma", &affine)?, argument(g, "beta", &affine)?))
}

fn norms() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, kind) in KINDS {
        for (shared, sets) in [("of each sample", 2), ("shared", 1)] {
            cases.push(Case::op("norm", &format!("{name}, {shared}"), move |g| {
                let arguments = arguments(g, [2, 3, 2, 3, 2], sets)?;
                norm(g, "y", arguments, kind)
            }));
            cases.push(Case::op("norm", &format!("{name}, {shared}, relu"), move |g| {
                let arguments = arguments(g, [2, 2, 3, 2, 3], sets)?;
                let y = norm(g, "y", arguments, kind)?;
                relu(g, "relu", y)
            }));
        }
        cases.push(Case::op("norm", &format!("{name}, used twice"), move |g| {
            let arguments = arguments(g, [2, 2, 2, 3, 2], 1)?;
            twice(g, move |g, name| {
                let y = norm(g, name, arguments, kind)?;
                relu(g, &format!("{name}.relu"), y)
            })
        }));
    }
    cases
}

fn norms_at_odd_sizes() -> Vec<Case> {
    let shapes = [
        ([1, 1, 1, 1, 2], 1),
        ([1, 33, 3, 1, 1], 1),
        ([2, 3, 17, 3, 3], 2),
        ([5, 2, 3, 6, 6], 1),
        ([1, 17, 16, 12, 12], 1),
        ([3, 65, 5, 3, 3], 3),
        ([16, 2, 3, 5, 7], 1),
        ([1, 2, 1, 33, 65], 1),
    ];
    let mut cases = Vec::new();
    for (name, kind) in KINDS {
        for (sizes, sets) in shapes {
            // A plane of one element normalises to beta, whatever it is.
            if kind == NormKind::Instance && sizes[3] * sizes[4] == 1 {
                continue;
            }
            let case = Case::op("norm", &format!("{name} of {sizes:?}, {sets} sets"), move |g| {
                let arguments = arguments(g, sizes, sets)?;
                let y = norm(g, "y", arguments, kind)?;
                let y = relu(g, "relu", y)?;
                unary(g, "f", y, Unary::Tanh)
            });
            cases.push(case.at_most(CHECKED));
        }
    }
    cases
}

fn shortcuts() -> Vec<Case> {
    let case = |name: &str, [samples, batch, channels, height, width]: [usize; 5], narrow: usize| {
        Case::op("shortcut", name, move |g| {
            let h = images(g, "h", [samples, batch, channels, height, width])?;
            let x = images(g, "x", [samples, batch, narrow, height, width])?;
            shortcut(g, "y", h, x)
        })
    };
    vec![
        case("doubled", [2, 2, 4, 2, 1], 2),
        case("odd difference", [1, 2, 5, 1, 2], 2),
        case("as wide", [2, 1, 2, 2, 2], 2),
        case("large", [5, 17, 32, 3, 3], 16).at_most(CHECKED),
        Case::op("shortcut", "used twice", |g| {
            let (h, x) = (images(g, "h", [1, 2, 4, 2, 2])?, images(g, "x", [1, 2, 2, 2, 2])?);
            twice(g, move |g, name| shortcut(g, name, h, x))
        }),
    ]
}
