use super::{Io, Real};
use crate::call::*;

pub fn forward<T: Real>(_: &Io<T>, _: &Conv2dDims, _: Unary) {
    unimplemented!()
}

pub fn grad_input<T: Real>(_: &Io<T>, _: &Conv2dDims) {
    unimplemented!()
}

pub fn grad_weight<T: Real>(_: &Io<T>, _: &Conv2dDims) {
    unimplemented!()
}
