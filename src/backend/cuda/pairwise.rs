use super::lowering::Lowering;
use crate::call::*;

pub fn distances(l: &mut Lowering, d: &PairwiseDims) {
    unimplemented!()
}

pub fn nearest_neighbour_kl(l: &mut Lowering, d: &NearestDims) {
    unimplemented!()
}

pub fn distances_grad(l: &mut Lowering, d: &PairwiseDims) {
    unimplemented!()
}
