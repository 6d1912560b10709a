use super::lowering::Lowering;
use crate::call::*;

pub fn gather(l: &mut Lowering, d: &GatherDims) {
    unimplemented!()
}

pub fn advance_step(l: &mut Lowering, schedule: &Schedule) {
    unimplemented!()
}

pub fn accumulate_metrics(l: &mut Lowering, rows: u32) {
    unimplemented!()
}
