use super::{Io, Real};
use crate::call::*;

pub fn normal<T: Real>(_: &Io<T>, _: &NoiseDims) {
    unimplemented!()
}

pub fn uniform<T: Real>(_: &Io<T>, _: &NoiseDims) {
    unimplemented!()
}
