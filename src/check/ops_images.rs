//! Cases of the ops on images: convolutions and pools.

use super::case::{Case, argument, twice};
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, Shape, TensorId};
use crate::ops::conv2d::{Padding, conv2d};
use crate::ops::elementwise::{relu, unary};
use crate::ops::pool2d::{avg_pool2d, avg_pool2d_ceil, global_avg_pool2d, max_pool2d};

/// All of them.
pub fn cases() -> Vec<Case> {
    [convolutions(), fused_pools(), pools()].into_iter().flatten().collect()
}

/// Sizes of a convolution.
#[derive(Clone, Copy)]
struct Sizes {
    x_samples: usize,
    samples: usize,
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    outputs: usize,
    kernel: usize,
}

const SMALL: Sizes =
    Sizes { x_samples: 3, samples: 3, batch: 2, channels: 2, height: 5, width: 5, outputs: 3, kernel: 3 };

impl Sizes {
    fn x(&self, g: &mut Graph) -> Result<TensorId> {
        let axes =
            [('S', self.x_samples), ('N', self.batch), ('C', self.channels), ('H', self.height), ('W', self.width)];
        argument(g, "x", &axes)
    }

    fn w_shape(&self) -> Shape {
        Shape::new(&[
            ('S', self.samples),
            ('O', self.outputs),
            ('C', self.channels),
            ('K', self.kernel),
            ('K', self.kernel),
        ])
    }

    fn b_shape(&self) -> Shape {
        Shape::new(&[('S', self.samples), ('O', self.outputs)])
    }

    /// x, w, b
    fn arguments(&self, g: &mut Graph) -> Result<(TensorId, TensorId, TensorId)> {
        let init = crate::graph::Init::Uniform(1.0);
        Ok((self.x(g)?, g.parameter("w", self.w_shape(), init)?, g.parameter("b", self.b_shape(), init)?))
    }

    /// x, and w and b as parts of one vector
    fn parts(&self, g: &mut Graph) -> Result<(TensorId, TensorId, TensorId)> {
        let (filters, biases) = (self.w_shape().elements() / self.samples, self.outputs);
        let v = argument(g, "v", &[('S', self.samples), ('D', filters + biases + 3)])?;
        let w = g.part(v, "w", 1, self.w_shape())?;
        let b = g.part(v, "b", filters + 2, self.b_shape())?;
        Ok((self.x(g)?, w, b))
    }
}

fn convolutions() -> Vec<Case> {
    let plain = |name: &str, sizes: Sizes, stride: usize, padding: Padding| {
        Case::op("conv2d", name, move |g| {
            let (x, w, b) = sizes.arguments(g)?;
            conv2d(g, "y", (x, w, Some(b)), stride, padding)
        })
    };
    let activated = |f: Unary| {
        Case::op("conv2d", f.name(), move |g| {
            let (x, w, b) = SMALL.arguments(g)?;
            let y = conv2d(g, "y", (x, w, Some(b)), 1, Padding::Valid)?;
            unary(g, "f", y, f)
        })
    };
    let shared = Sizes { x_samples: 1, ..SMALL };
    let single = Sizes { x_samples: 1, samples: 1, ..SMALL };
    let digits = Sizes { batch: 3, channels: 1, height: 28, width: 28, outputs: 20, kernel: 5, ..single };
    let deep = Sizes { channels: 19, height: 9, width: 9, outputs: 21, x_samples: 2, samples: 2, ..SMALL };
    let mut cases = vec![
        plain("one sample", single, 1, Padding::Valid),
        plain("per sample", SMALL, 1, Padding::Valid),
        plain("shared input", shared, 1, Padding::Valid),
        plain("not square", Sizes { height: 4, width: 7, ..SMALL }, 1, Padding::Valid),
        plain("stride 2", SMALL, 2, Padding::Valid),
        plain("same padding", SMALL, 1, Padding::Same),
        plain("same padding, even kernel", Sizes { kernel: 2, ..SMALL }, 1, Padding::Same),
        plain("same padding, stride 2", shared, 2, Padding::Same),
        plain("same padding, stride 2, even side", Sizes { height: 6, width: 6, ..SMALL }, 2, Padding::Same),
        plain("same padding, stride 3", Sizes { height: 7, width: 7, ..single }, 3, Padding::Same),
        plain("kernel 1", Sizes { kernel: 1, ..SMALL }, 1, Padding::Valid),
        plain("kernel of the image's size", Sizes { kernel: 5, ..SMALL }, 1, Padding::Valid),
        plain("digits", Sizes { samples: 2, ..digits }, 1, Padding::Valid).at_most(16),
        plain("digits, one sample", digits, 1, Padding::Valid).at_most(16),
        plain("deep, same padding", deep, 1, Padding::Same).at_most(16),
        Case::op("conv2d", "no bias", |g| {
            let (x, w, _) = SMALL.parts(g)?;
            conv2d(g, "y", (x, w, None), 1, Padding::Valid)
        }),
        Case::op("conv2d", "parts of a vector", move |g| {
            let (x, w, b) = shared.parts(g)?;
            conv2d(g, "y", (x, w, Some(b)), 1, Padding::Same)
        }),
        Case::op("conv2d", "used twice", |g| {
            let (x, w, b) = SMALL.arguments(g)?;
            twice(g, move |g, name| conv2d(g, name, (x, w, Some(b)), 1, Padding::Valid))
        }),
        Case::op("conv2d", "shared input used twice", move |g| {
            let (x, w, b) = shared.arguments(g)?;
            twice(g, move |g, name| conv2d(g, name, (x, w, Some(b)), 1, Padding::Same))
        }),
    ];
    cases.extend([Unary::Relu, Unary::LeakyRelu(0.1), Unary::Tanh].map(activated));
    cases
}

fn conv_relu_pool(g: &mut Graph, name: &str, (x, w, b): (TensorId, TensorId, TensorId)) -> Result<TensorId> {
    let h = conv2d(g, name, (x, w, Some(b)), 1, Padding::Valid)?;
    let h = relu(g, &format!("{name}.relu"), h)?;
    max_pool2d(g, &format!("{name}.pool"), h, 2, 2)
}

/// conv2d_pool exists in fused plans only.
fn fused_pools() -> Vec<Case> {
    let plain = |name: &str, sizes: Sizes| {
        Case::op("conv2d_pool", name, move |g| {
            let arguments = sizes.arguments(g)?;
            conv_relu_pool(g, "y", arguments)
        })
    };
    let shared = Sizes { x_samples: 1, height: 6, width: 6, ..SMALL };
    let digits = Sizes { batch: 3, channels: 1, height: 28, width: 28, outputs: 20, kernel: 5, samples: 2, ..shared };
    vec![
        plain("per sample", Sizes { height: 6, width: 6, ..SMALL }),
        plain("odd side", Sizes { samples: 1, ..shared }),
        plain("row and column left over", Sizes { height: 7, width: 9, ..shared }),
        plain("shared input", shared),
        plain("digits", digits).at_most(16),
        plain(
            "deep",
            Sizes { x_samples: 2, samples: 2, channels: 20, height: 12, width: 12, outputs: 50, kernel: 5, ..SMALL },
        )
        .at_most(16),
        Case::op("conv2d_pool", "parts of a vector", move |g| {
            let parts = shared.parts(g)?;
            conv_relu_pool(g, "y", parts)
        }),
        Case::op("conv2d_pool", "used twice", move |g| {
            let arguments = shared.arguments(g)?;
            twice(g, move |g, name| conv_relu_pool(g, name, arguments))
        }),
        Case::op("conv2d_pool", "used twice, per sample", |g| {
            let arguments = Sizes { height: 6, width: 6, ..SMALL }.arguments(g)?;
            twice(g, move |g, name| conv_relu_pool(g, name, arguments))
        }),
    ]
}

fn images(g: &mut Graph, height: usize, width: usize) -> Result<TensorId> {
    argument(g, "x", &[('S', 2), ('N', 2), ('C', 3), ('H', height), ('W', width)])
}

fn pools() -> Vec<Case> {
    type Pool = fn(&mut Graph, &str, TensorId, usize, usize) -> Result<TensorId>;
    let case = |op: &str, name: &str, pool: Pool, [height, width, kernel, stride]: [usize; 4]| {
        Case::op(op, name, move |g| {
            let x = images(g, height, width)?;
            pool(g, "y", x, kernel, stride)
        })
    };
    let mut cases = Vec::new();
    for (op, pool) in [("max_pool2d", max_pool2d as Pool), ("avg_pool2d", avg_pool2d as Pool)] {
        cases.push(case(op, "halves", pool, [6, 4, 2, 2]));
        cases.push(case(op, "row and column left over", pool, [5, 7, 2, 2]));
        cases.push(case(op, "windows overlap", pool, [7, 5, 3, 2]));
        cases.push(case(op, "windows apart", pool, [7, 5, 2, 3]));
        cases.push(Case::op(op, "used twice", move |g| {
            let x = images(g, 5, 5)?;
            twice(g, move |g, name| pool(g, name, x, 3, 1))
        }));
    }
    cases.push(Case::op("avg_pool2d", "windows cut off", |g| {
        let x = images(g, 5, 3)?;
        avg_pool2d_ceil(g, "y", x, 2)
    }));
    cases.push(Case::op("global_avg_pool2d", "square", |g| {
        let x = images(g, 3, 3)?;
        global_avg_pool2d(g, "y", x)
    }));
    cases
}
