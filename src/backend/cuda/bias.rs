use super::lowering::Lowering;
use crate::call::*;

pub fn forward(l: &mut Lowering, d: &BiasDims) {
    unimplemented!()
}

pub fn grad(l: &mut Lowering, d: &BiasDims) {
    unimplemented!()
}
