//! Random numbers of the step's streams.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::NoiseDims;

/// Elements of one counter.
const LANES: u32 = 4;

pub fn normal(l: &mut Lowering, d: &NoiseDims) {
    fill(l, "normal", d);
}

pub fn uniform(l: &mut Lowering, d: &NoiseDims) {
    fill(l, "uniform", d);
}

/// One thread per counter.
fn fill(l: &mut Lowering, kernel: &'static str, d: &NoiseDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    l.launch_elements(kernel, d.elements.div_ceil(LANES), arguments);
}
