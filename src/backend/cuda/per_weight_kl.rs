//! The nearest-neighbour estimator of each weight alone.

use super::launch::Arguments;
use super::lowering::Lowering;
use super::pairwise::quads;
use crate::call::PairwiseDims;

/// Threads, and so fours of weights, of a block; as in kernels/per_weight_kl.cu.
const THREADS: u32 = 128;

pub fn forward(l: &mut Lowering, d: &PairwiseDims) {
    let blocks = quads(d).div_ceil(THREADS);
    let partials = l.scratch::<f64>(blocks as usize);
    let kernel = if d.samples <= 8 { "per_weight_kl_8" } else { "per_weight_kl_16" };
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(partials);
    l.launch(kernel, [blocks, 1, 1], THREADS, arguments);
    let samples = f64::from(d.samples);
    let constant = f64::from(d.weights) * (samples / (samples - 1.0)).ln();
    let arguments = Arguments::new().with(blocks).with(d.samples).with(constant).with(partials).with(l.write(0));
    l.launch("per_weight_kl", [1, 1, 1], 256, arguments);
}

pub fn grad(l: &mut Lowering, d: &PairwiseDims) {
    let kernel = if d.samples <= 8 { "per_weight_kl_grad_8" } else { "per_weight_kl_grad_16" };
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.read(2)).with(l.write(0));
    l.launch(kernel, [quads(d).div_ceil(THREADS), 1, 1], THREADS, arguments);
}
