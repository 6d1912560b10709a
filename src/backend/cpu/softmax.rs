use super::{Io, Real};
use crate::call::*;

pub fn forward<T: Real>(_: &Io<T>, _: &SoftmaxDims) {
    unimplemented!()
}

pub fn grad<T: Real>(_: &Io<T>, _: &SoftmaxDims) {
    unimplemented!()
}

pub fn log_mean_forward<T: Real>(_: &Io<T>, _: &SoftmaxDims) {
    unimplemented!()
}

pub fn log_mean_grad<T: Real>(_: &Io<T>, _: &SoftmaxDims) {
    unimplemented!()
}

pub fn xent_forward<T: Real>(_: &Io<T>, _: &SoftmaxDims) {
    unimplemented!()
}

pub fn xent_grad<T: Real>(_: &Io<T>, _: &SoftmaxDims) {
    unimplemented!()
}
