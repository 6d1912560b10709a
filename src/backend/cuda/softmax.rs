use super::lowering::Lowering;
use crate::call::*;

pub fn forward(l: &mut Lowering, d: &SoftmaxDims) {
    unimplemented!()
}

pub fn grad(l: &mut Lowering, d: &SoftmaxDims) {
    unimplemented!()
}

pub fn log_mean_forward(l: &mut Lowering, d: &SoftmaxDims) {
    unimplemented!()
}

pub fn log_mean_grad(l: &mut Lowering, d: &SoftmaxDims) {
    unimplemented!()
}

pub fn xent_forward(l: &mut Lowering, d: &SoftmaxDims) {
    unimplemented!()
}

pub fn xent_grad(l: &mut Lowering, d: &SoftmaxDims) {
    unimplemented!()
}
