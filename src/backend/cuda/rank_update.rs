use super::lowering::Lowering;
use crate::call::*;

pub fn rank_update(l: &mut Lowering, dims: &LinearDims, optimizer: Optimizer, input_gradient: bool) {
    unimplemented!()
}
