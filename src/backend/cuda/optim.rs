//! Optimiser steps over flat ranges of parameters.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::Optimizer;
use bytemuck::{Pod, Zeroable};

/// `Optimizer` of kernels/dims.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Constants {
    code: u32,
    a: f32,
    b: f32,
    epsilon: f32,
}

impl From<Optimizer> for Constants {
    fn from(optimizer: Optimizer) -> Self {
        match optimizer {
            Optimizer::Adam { beta1, beta2, epsilon } => Self { code: 0, a: beta1, b: beta2, epsilon },
            Optimizer::RmsProp { decay, epsilon } => Self { code: 1, a: decay, b: 0.0, epsilon },
        }
    }
}

pub fn step(l: &mut Lowering, elements: u32, optimizer: Optimizer) {
    let arguments = Arguments::new().with(elements).with(Constants::from(optimizer)).with(l.read(0)).with(l.read(1));
    let (kernel, writes) = match optimizer {
        Optimizer::Adam { .. } => ("optimizer_step_adam", 3),
        Optimizer::RmsProp { .. } => ("optimizer_step_rmsprop", 2),
    };
    let arguments = (0..writes).fold(arguments, |arguments, index| arguments.with(l.write(index)));
    l.launch_elements(kernel, elements.div_ceil(4), arguments);
}

pub fn clip_by_value(l: &mut Lowering, elements: u32, bound: f32) {
    let arguments = Arguments::new().with(elements).with(bound).with(l.write(0));
    l.launch_elements("clip_by_value", elements, arguments);
}
