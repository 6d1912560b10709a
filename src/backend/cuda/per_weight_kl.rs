use super::lowering::Lowering;
use crate::call::*;

pub fn forward(l: &mut Lowering, d: &PairwiseDims) {
    unimplemented!()
}

pub fn grad(l: &mut Lowering, d: &PairwiseDims) {
    unimplemented!()
}
