use super::{Io, Real};
use crate::call::*;

pub fn avg_forward<T: Real>(_: &Io<T>, _: &Pool2dDims) {
    unimplemented!()
}

pub fn avg_grad<T: Real>(_: &Io<T>, _: &Pool2dDims) {
    unimplemented!()
}

pub fn max_forward<T: Real>(_: &Io<T>, _: &Pool2dDims) {
    unimplemented!()
}

pub fn max_grad<T: Real>(_: &Io<T>, _: &Pool2dDims) {
    unimplemented!()
}
