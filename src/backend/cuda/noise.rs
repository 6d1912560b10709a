use super::lowering::Lowering;
use crate::call::*;

pub fn normal(l: &mut Lowering, d: &NoiseDims) {
    unimplemented!()
}

pub fn uniform(l: &mut Lowering, d: &NoiseDims) {
    unimplemented!()
}
