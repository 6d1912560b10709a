//! A bias per output channel, and its gradient.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::BiasDims;

pub fn forward(l: &mut Lowering, d: &BiasDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("bias", d.samples * d.rows * d.channels * d.inner, arguments);
}

pub fn grad(l: &mut Lowering, d: &BiasDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    if d.inner == 1 {
        l.launch("bias_grad_rows", [d.channels.div_ceil(32), d.samples, 1], 256, arguments);
    } else {
        l.launch("bias_grad_planes", [d.channels, d.samples, 1], 256, arguments);
    }
}
