use super::lowering::Lowering;
use crate::call::*;

pub fn forward(l: &mut Lowering, d: &Conv2dDims, function: Unary) {
    unimplemented!()
}

pub fn grad_input(l: &mut Lowering, d: &Conv2dDims) {
    unimplemented!()
}

pub fn grad_weight(l: &mut Lowering, d: &Conv2dDims) {
    unimplemented!()
}
