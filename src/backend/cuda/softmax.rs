//! Softmax over classes, mixtures of softmaxes over weight samples, cross-entropy: one warp per row.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::SoftmaxDims;

/// Warps, and so rows, of a block; as in kernels/softmax.cu.
const ROW_WARPS: u32 = 4;
/// Warps of the one block that sums a loss; as in kernels/softmax.cu.
const XENT_WARPS: u32 = 16;

pub fn forward(l: &mut Lowering, d: &SoftmaxDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    launch_rows(l, "softmax", d.samples * d.rows, arguments);
}

pub fn grad(l: &mut Lowering, d: &SoftmaxDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    launch_rows(l, "softmax_grad", d.samples * d.rows, arguments);
}

pub fn log_mean_forward(l: &mut Lowering, d: &SoftmaxDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    launch_rows(l, "log_mean_softmax", d.rows, arguments);
}

pub fn log_mean_grad(l: &mut Lowering, d: &SoftmaxDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_shared("log_mean_softmax_grad", [d.rows, 1, 1], [32, 1, 1], d.classes * 4, arguments);
}

pub fn xent_forward(l: &mut Lowering, d: &SoftmaxDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.read(2));
    let arguments = arguments.with(l.write(0)).with(l.write(1));
    l.launch("softmax_xent", [1, 1, 1], XENT_WARPS * 32, arguments);
}

pub fn xent_grad(l: &mut Lowering, d: &SoftmaxDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.read(2));
    let arguments = arguments.with(l.read(3)).with(l.write(0));
    launch_rows(l, "softmax_xent_grad", d.rows, arguments);
}

fn launch_rows(l: &mut Lowering, kernel: &'static str, rows: u32, arguments: Arguments) {
    l.launch(kernel, [rows.div_ceil(ROW_WARPS), 1, 1], ROW_WARPS * 32, arguments);
}
