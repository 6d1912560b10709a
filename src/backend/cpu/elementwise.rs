use super::{Io, Real};
use crate::call::*;

pub fn add_forward<T: Real>(_: &Io<T>, _: f32) {
    unimplemented!()
}

pub fn fill<T: Real>(_: &Io<T>, _: f32) {
    unimplemented!()
}

pub fn half_squared_norm<T: Real>(_: &Io<T>) {
    unimplemented!()
}

pub fn multiply<T: Real>(_: &Io<T>) {
    unimplemented!()
}

pub fn scale<T: Real>(_: &Io<T>, _: f32) {
    unimplemented!()
}

pub fn scale_by_scalar<T: Real>(_: &Io<T>, _: f32) {
    unimplemented!()
}

pub fn sum<T: Real>(_: &Io<T>) {
    unimplemented!()
}

pub fn sum_grad<T: Real>(_: &Io<T>) {
    unimplemented!()
}

pub fn unary_forward<T: Real>(_: &Io<T>, _: Unary) {
    unimplemented!()
}

pub fn unary_grad<T: Real>(_: &Io<T>, _: Unary) {
    unimplemented!()
}
