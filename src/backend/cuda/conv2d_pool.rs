//! Convolution, bias, 2x2 max pool and ReLU in one pass, and their gradients.

use super::conv2d::{Correlation, WeightGradient, launch_exact};
use super::launch::Arguments;
use super::lowering::Lowering;
use super::{conv2d_tensor, conv2d_tensor_weight};
use crate::call::*;

pub fn forward(l: &mut Lowering, d: &Conv2dDims) {
    if conv2d_tensor::pool_forward(l, d) {
        return;
    }
    let (x, w, b) = (l.read(0), l.read(1), l.read_if(d.bias != 0, 2));
    let (y, argmax) = (l.write(0), l.write(1));
    launch_exact(l, "conv2d_pool", Correlation::windows(d), 2, |c| {
        Arguments::new().with(c).with(x).with(w).with(b).with(y).with(argmax)
    });
}

pub fn grad_input(l: &mut Lowering, d: &Conv2dDims) {
    let (dy, argmax, w, dx) = (l.read(0), l.read(1), l.read(2), l.write(0));
    let correlation = Correlation::backward(d, d.out_height / 2, d.out_width / 2);
    if conv2d_tensor::grad_input(l, correlation, argmax, w) {
        return;
    }
    launch_exact(l, "conv2d_pool_grad_input", correlation, 1, |c| {
        Arguments::new().with(c).with(dy).with(argmax).with(w).with(dx)
    });
}

/// Elements of dw that one block adds up.
const ELEMENTS: u32 = 1024;

pub fn grad_weight(l: &mut Lowering, d: &Conv2dDims) {
    let (x, dy, argmax) = (l.read(0), l.read(1), l.read(2));
    let (dw, db) = (l.write(0), l.write(1));
    if conv2d_tensor_weight::grad_weight(l, d, [d.out_height / 2, d.out_width / 2], argmax, db) {
        return;
    }
    let cut = WeightGradient::new(d, d.out_height / 2, d.out_width / 2);
    let target = cut.target(l, dw);
    cut.launch(l, "conv2d_pool_grad_weight", Arguments::new().with(cut).with(x).with(dy).with(argmax).with(target));
    let elements = d.samples * cut.filters();
    let weight_blocks = if cut.chunks() > 1 { elements.div_ceil(ELEMENTS) } else { 0 };
    let arguments =
        Arguments::new().with(Correlation::windows(d)).with(cut.chunks()).with(elements).with(weight_blocks);
    let arguments = arguments.with(target.data).with(dy).with(argmax).with(dw).with(db);
    l.launch("conv2d_pool_sum_chunks", [weight_blocks + d.samples * d.outputs, 1, 1], 256, arguments);
}
