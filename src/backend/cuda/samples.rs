//! The sample axis: conditioning a generator's input on slices, means over samples.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::{OneHotDims, SampleDims};

pub fn concat_one_hot(l: &mut Lowering, d: &OneHotDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    l.launch_elements("concat_one_hot", d.samples * d.conditions * (d.noise + d.conditions), arguments);
}

pub fn concat_one_hot_grad(l: &mut Lowering, d: &OneHotDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    l.launch("concat_one_hot_grad", [d.noise.div_ceil(32), d.samples, 1], 256, arguments);
}

pub fn center(l: &mut Lowering, d: &SampleDims) {
    over_columns(l, "center_samples", d, d.inner);
}

pub fn mean(l: &mut Lowering, d: &SampleDims) {
    over_columns(l, "mean_samples", d, d.inner);
}

pub fn mean_grad(l: &mut Lowering, d: &SampleDims) {
    over_columns(l, "mean_samples_grad", d, d.samples * d.inner);
}

fn over_columns(l: &mut Lowering, kernel: &'static str, d: &SampleDims, threads: u32) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    l.launch_elements(kernel, threads, arguments);
}
