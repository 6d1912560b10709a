use super::lowering::Lowering;
use crate::call::*;

pub fn forward(l: &mut Lowering, d: &LinearDims, function: Unary) {
    unimplemented!()
}

pub fn grad_input(l: &mut Lowering, d: &LinearDims) {
    unimplemented!()
}

pub fn grad_weight(l: &mut Lowering, d: &LinearDims) {
    unimplemented!()
}
