use super::lowering::Lowering;
use crate::call::*;

pub fn concat_one_hot(l: &mut Lowering, d: &OneHotDims) {
    unimplemented!()
}

pub fn concat_one_hot_grad(l: &mut Lowering, d: &OneHotDims) {
    unimplemented!()
}

pub fn center(l: &mut Lowering, d: &SampleDims) {
    unimplemented!()
}

pub fn mean(l: &mut Lowering, d: &SampleDims) {
    unimplemented!()
}

pub fn mean_grad(l: &mut Lowering, d: &SampleDims) {
    unimplemented!()
}
