use super::lowering::Lowering;
use crate::call::*;

pub fn step(l: &mut Lowering, elements: u32, optimizer: Optimizer) {
    unimplemented!()
}

pub fn clip_by_value(l: &mut Lowering, elements: u32, bound: f32) {
    unimplemented!()
}
