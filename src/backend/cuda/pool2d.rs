use super::lowering::Lowering;
use crate::call::*;

pub fn max_forward(l: &mut Lowering, d: &Pool2dDims) {
    unimplemented!()
}

pub fn max_grad(l: &mut Lowering, d: &Pool2dDims) {
    unimplemented!()
}

pub fn avg_forward(l: &mut Lowering, d: &Pool2dDims) {
    unimplemented!()
}

pub fn avg_grad(l: &mut Lowering, d: &Pool2dDims) {
    unimplemented!()
}
