use super::{Io, Real};
use crate::call::*;

pub fn center<T: Real>(_: &Io<T>, _: &SampleDims) {
    unimplemented!()
}

pub fn concat_one_hot<T: Real>(_: &Io<T>, _: &OneHotDims) {
    unimplemented!()
}

pub fn concat_one_hot_grad<T: Real>(_: &Io<T>, _: &OneHotDims) {
    unimplemented!()
}

pub fn mean<T: Real>(_: &Io<T>, _: &SampleDims) {
    unimplemented!()
}

pub fn mean_grad<T: Real>(_: &Io<T>, _: &SampleDims) {
    unimplemented!()
}
