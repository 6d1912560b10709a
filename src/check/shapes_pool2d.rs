//! Shapes of pools: single places, long and narrow images, overlap, gaps and remainders, and the mean's value itself.

use super::case::{Case, argument, twice};
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, TensorId};
use crate::ops::elementwise::unary;
use crate::ops::pool2d::{avg_pool2d, avg_pool2d_ceil, max_pool2d};

/// Elements of the argument whose gradients are checked.
const CHECKED: usize = 6;

type Pool = fn(&mut Graph, &str, TensorId, usize, usize) -> Result<TensorId>;

pub(super) fn cases() -> Vec<Case> {
    let shapes = [
        ([1, 1, 1], [1, 1], 1, 1),
        ([1, 3, 17], [2, 2], 2, 2),
        ([2, 5, 3], [17, 33], 3, 1),
        ([5, 1, 3], [65, 3], 3, 2),
        ([1, 2, 1], [3, 129], 2, 3),
        ([16, 1, 2], [9, 9], 4, 4),
        ([1, 1, 3], [7, 7], 7, 1),
        ([1, 65, 33], [5, 6], 2, 2),
    ];
    let mut cases = Vec::new();
    for (op, pool) in [("max_pool2d", max_pool2d as Pool), ("avg_pool2d", avg_pool2d as Pool)] {
        for (outer, image, kernel, stride) in shapes {
            let name = format!("{outer:?} of {image:?}, kernel {kernel}, stride {stride}");
            cases.push(case(op, &name, pool, (outer, image), (kernel, stride), false));
        }
        cases.push(case(op, "long, used twice", pool, ([2, 3, 5], [9, 17]), (3, 2), true));
    }
    let cut_off = Case::op("avg_pool2d", "of [7, 33], kernel 4, cut off", |g| {
        let x = argument(g, "x", &[('S', 2), ('N', 3), ('C', 5), ('H', 7), ('W', 33)])?;
        avg_pool2d_ceil(g, "y", x, 4)
    });
    cases.push(cut_off.at_most(CHECKED));
    cases
}

fn case(
    op: &str,
    name: &str,
    pool: Pool,
    ([samples, batch, channels], [height, width]): ([usize; 3], [usize; 2]),
    (kernel, stride): (usize, usize),
    two: bool,
) -> Case {
    let case = Case::op(op, name, move |g| {
        let axes = [('S', samples), ('N', batch), ('C', channels), ('H', height), ('W', width)];
        let x = argument(g, "x", &axes)?;
        if two {
            return twice(g, move |g, name| pool(g, name, x, kernel, stride));
        }
        let y = pool(g, "y", x, kernel, stride)?;
        unary(g, "f", y, Unary::Tanh)
    });
    case.at_most(CHECKED)
}
