//! Max and average pooling over windows of K x K without padding.

use super::{axes, mismatch};
use crate::Result;
use crate::call::{Dtype, Kind, Pool2dDims, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// x [S, N, C, H, W] -> y [S, N, C, H', W'] with H' = (H - K) / stride + 1: the greatest element of each window.
///
/// # Errors
/// When the window does not fit into the image or a size is zero.
pub fn max_pool2d(g: &mut Graph, name: &str, x: TensorId, kernel: usize, stride: usize) -> Result<TensorId> {
    let (dims, shape) = infer(g, "max_pool2d", name, x, kernel, stride)?;
    let outputs = [("", shape.clone(), Dtype::Real), (".argmax", shape, Dtype::U32)];
    Ok(g.node(Op::MaxPool2d(dims), name, &[x], &outputs)?[0])
}

/// x [S, N, C, H, W] -> y [S, N, C, H', W']: the mean of each window.
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(g: &mut Graph, name: &str, x: TensorId, kernel: usize, stride: usize) -> Result<TensorId> {
    let (dims, shape) = infer(g, "avg_pool2d", name, x, kernel, stride)?;
    Ok(g.node(Op::AvgPool2d(dims), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

/// x [S, N, C, H, W] -> y [S, N, C, ceil(H / K), ceil(W / K)]: the mean of each window, windows K apart; those at the lower and
/// right border hold what is left of the image (as in TensorFlow's SAME).
///
/// # Errors
/// When K is zero.
pub fn avg_pool2d_ceil(g: &mut Graph, name: &str, x: TensorId, kernel: usize) -> Result<TensorId> {
    let [samples, batch, channels, height, width] = axes(g, "avg_pool2d", name, "x", x, "SNCHW")?;
    if kernel == 0 {
        return Err(mismatch(g, "avg_pool2d", name, "x", x, "and a window of at least 1x1"));
    }
    let dims = Pool2dDims {
        images: (samples * batch * channels) as u32,
        height: height as u32,
        width: width as u32,
        kernel: kernel as u32,
        stride: kernel as u32,
        out_height: height.div_ceil(kernel) as u32,
        out_width: width.div_ceil(kernel) as u32,
    };
    let (height, width) = (dims.out_height as usize, dims.out_width as usize);
    let shape = Shape::new(&[('S', samples), ('N', batch), ('C', channels), ('H', height), ('W', width)]);
    Ok(g.node(Op::AvgPool2d(dims), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

/// x [S, N, C, H, W] -> y [S, N, I = C]: the mean of each image's channel (square images).
///
/// # Errors
/// When the images are not square.
pub fn global_avg_pool2d(g: &mut Graph, name: &str, x: TensorId) -> Result<TensorId> {
    let [samples, batch, channels, height, width] = axes(g, "global_avg_pool2d", name, "x", x, "SNCHW")?;
    if height != width {
        return Err(mismatch(g, "global_avg_pool2d", name, "x", x, "with H = W"));
    }
    let y = avg_pool2d(g, name, x, height, height)?;
    g.reshape(y, Shape::new(&[('S', samples), ('N', batch), ('I', channels)]))
}

fn infer(g: &Graph, op: &str, name: &str, x: TensorId, kernel: usize, stride: usize) -> Result<(Pool2dDims, Shape)> {
    let [samples, batch, channels, height, width] = axes(g, op, name, "x", x, "SNCHW")?;
    if kernel == 0 || stride == 0 || kernel > height.min(width) {
        return Err(mismatch(g, op, name, "x", x, &format!("with H and W of at least the window {kernel}x{kernel}")));
    }
    let (out_height, out_width) = ((height - kernel) / stride + 1, (width - kernel) / stride + 1);
    let dims = Pool2dDims {
        images: (samples * batch * channels) as u32,
        height: height as u32,
        width: width as u32,
        kernel: kernel as u32,
        stride: stride as u32,
        out_height: out_height as u32,
        out_width: out_width as u32,
    };
    let shape = Shape::new(&[('S', samples), ('N', batch), ('C', channels), ('H', out_height), ('W', out_width)]);
    Ok((dims, shape))
}

pub(super) fn max_forward(e: &mut Emit, node: &Node, d: &Pool2dDims) {
    let (x, y, argmax) = (e.value(node.inputs[0]), e.value(node.outputs[0]), e.value(node.outputs[1]));
    e.call(Kind::MaxPool2dForward(*d), &[x], &[(y, Write::Set), (argmax, Write::Set)]);
}

/// The gradient goes to the first greatest element of each window.
pub(super) fn max_backward(e: &mut Emit, node: &Node, d: &Pool2dDims) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let argmax = e.value(node.outputs[1]);
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::MaxPool2dGrad(*d), &[dy, argmax], &[dx]);
    }
}

pub(super) fn avg_forward(e: &mut Emit, node: &Node, d: &Pool2dDims) {
    let (x, y) = (e.value(node.inputs[0]), e.value(node.outputs[0]));
    e.call(Kind::AvgPool2dForward(*d), &[x], &[(y, Write::Set)]);
}

/// Each element of a window gets dy over their number.
pub(super) fn avg_backward(e: &mut Emit, node: &Node, d: &Pool2dDims) {
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    if e.wants(node.inputs[0]) {
        let dx = e.gradient_target(node.inputs[0]);
        e.call(Kind::AvgPool2dGrad(*d), &[dy], &[dx]);
    }
}
