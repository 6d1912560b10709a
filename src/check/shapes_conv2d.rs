//! Shapes of convolutions that take every path of the kernels: tiles of many images and bands of one, ragged ends, several
//! blocks of outputs and of channels, filters without a fast path, and every activation that is fused.

use super::case::{Case, argument, twice};
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, TensorId};
use crate::ops::conv2d::{Padding, conv2d};
use crate::ops::elementwise::{relu, unary};
use crate::ops::pool2d::max_pool2d;

/// Elements of each argument whose gradients are checked.
const CHECKED: usize = 6;

pub(super) fn cases() -> Vec<Case> {
    [convolutions(), fused_pools()].into_iter().flatten().collect()
}

/// x [x samples, batch, channels, height, width], w [samples, outputs, channels, kernel, kernel].
#[derive(Clone, Copy)]
struct Sizes {
    samples: [usize; 2],
    batch: usize,
    channels: usize,
    image: [usize; 2],
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: Padding,
}

/// Sizes with stride 1 and no padding; `samples` of x and of w.
fn sizes(samples: [usize; 2], [batch, channels, outputs]: [usize; 3], image: [usize; 2], kernel: usize) -> Sizes {
    Sizes { samples, batch, channels, image, outputs, kernel, stride: 1, padding: Padding::Valid }
}

impl Sizes {
    fn same(self, stride: usize) -> Self {
        Self { stride, padding: Padding::Same, ..self }
    }

    fn name(&self) -> String {
        let Self { samples, batch, channels, image, outputs, kernel, stride, .. } = self;
        format!("{samples:?} x {batch} of {channels} x {image:?} to {outputs}, kernel {kernel}, stride {stride}")
    }

    /// The convolution, with a bias if wanted.
    fn conv2d(&self, g: &mut Graph, name: &str, bias: bool) -> Result<TensorId> {
        let [height, width] = self.image;
        let image = [('S', self.samples[0]), ('N', self.batch), ('C', self.channels), ('H', height), ('W', width)];
        let filters =
            [('S', self.samples[1]), ('O', self.outputs), ('C', self.channels), ('K', self.kernel), ('K', self.kernel)];
        let (x, w) = (argument(g, "x", &image)?, argument(g, "w", &filters)?);
        let b = if bias { Some(argument(g, "b", &[('S', self.samples[1]), ('O', self.outputs)])?) } else { None };
        conv2d(g, name, (x, w, b), self.stride, self.padding)
    }
}

fn convolutions() -> Vec<Case> {
    // The first are wide or deep enough for several warps, stages, chunks and bands of a block, so that every barrier counts.
    let shapes = [
        (sizes([1, 1], [1, 9, 5], [5, 72], 5), Unary::Tanh),
        (sizes([1, 1], [1, 35, 33], [3, 40], 3), Unary::Tanh),
        (sizes([1, 1], [1, 2, 33], [27, 27], 3).same(1), Unary::Sigmoid),
        (sizes([1, 1], [1, 2, 5], [27, 27], 3).same(1), Unary::Sigmoid),
        (sizes([1, 1], [1, 1, 1], [3, 3], 3), Unary::Relu),
        (sizes([1, 16], [2, 1, 33], [5, 5], 3), Unary::Tanh),
        (sizes([5, 5], [3, 3, 17], [5, 5], 3).same(1), Unary::LeakyRelu(0.2)),
        (sizes([1, 2], [1, 1, 1], [5, 129], 3), Unary::Sigmoid),
        (sizes([2, 2], [65, 2, 9], [4, 4], 3), Unary::Exp),
        (sizes([1, 1], [1, 129, 65], [3, 3], 3).same(1), Unary::Tanh),
        (sizes([1, 1], [1, 1601, 3], [3, 10], 3), Unary::Tanh),
        (sizes([1, 1], [1, 17, 129], [6, 6], 1), Unary::Square),
        (sizes([1, 2], [2, 3, 5], [9, 9], 7).same(1), Unary::Affine(0.5, 0.1)),
        (sizes([2, 2], [3, 17, 20], [9, 9], 5).same(2), Unary::Tanh),
        (sizes([1, 5], [2, 3, 7], [10, 10], 3).same(3), Unary::Relu),
        (sizes([1, 1], [2, 5, 33], [65, 3], 3), Unary::Identity),
        (sizes([1, 1], [1, 17, 40], [12, 12], 4).same(1), Unary::Tanh),
        (sizes([1, 1], [1, 9, 35], [8, 8], 7), Unary::Identity),
        (sizes([1, 1], [1, 1, 3], [3, 600], 3), Unary::Sigmoid),
    ];
    let mut cases = Vec::new();
    for (index, (sizes, function)) in shapes.into_iter().enumerate() {
        let case = Case::op("conv2d", &sizes.name(), move |g| {
            let y = sizes.conv2d(g, "y", index % 3 != 1)?;
            unary(g, "f", y, function)
        });
        cases.push(case.at_most(CHECKED));
    }
    let repeated = Case::op("conv2d", "50 outputs, used twice", |g| {
        let x = argument(g, "x", &[('S', 2), ('N', 1), ('C', 9), ('H', 6), ('W', 6)])?;
        let w = argument(g, "w", &[('S', 2), ('O', 50), ('C', 9), ('K', 5), ('K', 5)])?;
        twice(g, move |g, name| conv2d(g, name, (x, w, None), 1, Padding::Same))
    });
    cases.push(repeated.at_most(CHECKED));
    cases
}

fn fused_pools() -> Vec<Case> {
    let shapes = [
        sizes([1, 1], [1, 9, 5], [6, 72], 5),
        sizes([1, 1], [1, 35, 33], [4, 42], 3),
        sizes([1, 1], [1, 2, 33], [26, 26], 3),
        sizes([1, 1], [1, 2, 5], [26, 26], 3),
        sizes([1, 1], [1, 1, 1], [4, 4], 3),
        sizes([1, 16], [2, 1, 20], [8, 8], 5),
        sizes([1, 5], [3, 3, 17], [9, 9], 3).same(1),
        sizes([2, 2], [65, 2, 9], [5, 5], 3),
        sizes([2, 2], [1, 33, 65], [6, 8], 3),
        sizes([1, 1], [2, 17, 129], [6, 6], 1),
        sizes([1, 2], [2, 3, 5], [9, 9], 7).same(1),
        sizes([2, 2], [3, 5, 20], [11, 11], 3).same(2),
        sizes([1, 1], [1, 3, 33], [23, 23], 5),
        sizes([1, 1], [1, 1, 3], [4, 400], 3),
    ];
    let case = |sizes: Sizes| {
        let case = Case::op("conv2d_pool", &sizes.name(), move |g| {
            let y = sizes.conv2d(g, "y", true)?;
            let y = relu(g, "relu", y)?;
            max_pool2d(g, "pool", y, 2, 2)
        });
        case.at_most(CHECKED)
    };
    shapes.map(case).into()
}
