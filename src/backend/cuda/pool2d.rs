//! Max and average pooling, and their gradients: one thread for each element that is written.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::*;

pub fn max_forward(l: &mut Lowering, d: &Pool2dDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0)).with(l.write(1));
    l.launch_elements("max_pool2d", pooled(d), arguments);
}

pub fn max_grad(l: &mut Lowering, d: &Pool2dDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("max_pool2d_grad", elements(d), arguments);
}

pub fn avg_forward(l: &mut Lowering, d: &Pool2dDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    l.launch_elements("avg_pool2d", pooled(d), arguments);
}

pub fn avg_grad(l: &mut Lowering, d: &Pool2dDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    l.launch_elements("avg_pool2d_grad", elements(d), arguments);
}

fn elements(d: &Pool2dDims) -> u32 {
    d.images * d.height * d.width
}

fn pooled(d: &Pool2dDims) -> u32 {
    d.images * d.out_height * d.out_width
}
