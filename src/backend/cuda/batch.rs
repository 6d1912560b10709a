//! Data and step state: gathering a batch, advancing the step, summing metrics.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::{GatherDims, Schedule};

/// One block per row of all batches.
pub fn gather(l: &mut Lowering, d: &GatherDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.read(2));
    let arguments = arguments.with(l.write(0)).with(l.write(1)).with(l.write(2));
    l.launch("gather_batch", [d.members * d.batch, 1, 1], 128, arguments);
}

pub fn advance_step(l: &mut Lowering, schedule: &Schedule) {
    let arguments = Arguments::new().with(*schedule).with(l.write(0)).with(l.write(1));
    l.launch("advance_step", [1, 1, 1], 32, arguments);
}

pub fn accumulate_metrics(l: &mut Lowering, rows: u32) {
    let figures = (0..6).fold(Arguments::new().with(rows), |arguments, index| arguments.with(l.read(index)));
    l.launch("accumulate_metrics", [1, 1, 1], 32, figures.with(l.write(0)));
}
