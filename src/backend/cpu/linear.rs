use super::{Io, Real};
use crate::call::*;

pub fn forward<T: Real>(_: &Io<T>, _: &LinearDims, _: Unary) {
    unimplemented!()
}

pub fn grad_input<T: Real>(_: &Io<T>, _: &LinearDims) {
    unimplemented!()
}

pub fn grad_weight<T: Real>(_: &Io<T>, _: &LinearDims) {
    unimplemented!()
}

pub fn rank_update<T: Real>(_: &Io<T>, _: &LinearDims, _: Optimizer, _: bool) {
    unimplemented!()
}
