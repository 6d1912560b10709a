//! Optimiser steps over flat ranges of parameters.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::{Moments, Optimizer};
use crate::random::moment_stream;
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
            Optimizer::Adam { beta1, beta2, epsilon, .. } => Self { code: 0, a: beta1, b: beta2, epsilon },
            Optimizer::RmsProp { decay, epsilon, .. } => Self { code: 1, a: decay, b: 0.0, epsilon },
        }
    }
}

/// `Rounding` of kernels/moments.cuh: where the random numbers of a call's moments begin.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Rounding {
    /// Place of the first weight in its buffer.
    first: u64,
    stream: u32,
    unused: u32,
}

/// Arguments behind the dims, up to the moments: constants, how bf16 moments are rounded, all that the call reads, w and moments.
pub fn with_state(l: &Lowering, arguments: Arguments, optimizer: Optimizer) -> Arguments {
    let arguments = arguments.with(Constants::from(optimizer));
    let weights = &l.call.writes[0].0;
    let rounding = Rounding { first: weights.offset as u64, stream: moment_stream(weights), unused: 0 };
    let arguments = if optimizer.moments() == Moments::Bf16 { arguments.with(rounding) } else { arguments };
    let reads = 0..l.call.reads.len();
    let arguments = reads.fold(arguments, |arguments, index| arguments.with(l.read(index)));
    (0..=optimizer.moment_count()).fold(arguments, |arguments, index| arguments.with(l.write(index)))
}

pub fn step(l: &mut Lowering, elements: u32, optimizer: Optimizer) {
    let kernel = match (optimizer, optimizer.moments()) {
        (Optimizer::Adam { .. }, Moments::Fp32) => "optimizer_step_adam",
        (Optimizer::RmsProp { .. }, Moments::Fp32) => "optimizer_step_rmsprop",
        (Optimizer::Adam { .. }, Moments::Bf16) => "optimizer_step_adam_bf16",
        (Optimizer::RmsProp { .. }, Moments::Bf16) => "optimizer_step_rmsprop_bf16",
    };
    let arguments = with_state(l, Arguments::new().with(elements), optimizer);
    l.launch_elements(kernel, elements.div_ceil(4), arguments);
}

pub fn clip_by_value(l: &mut Lowering, elements: u32, bound: f32) {
    let arguments = Arguments::new().with(elements).with(bound).with(l.write(0));
    l.launch_elements("clip_by_value", elements, arguments);
}
