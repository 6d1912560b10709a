//! Nearest-neighbour divergence between generated weights and prior draws.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::{NearestDims, PairwiseDims};

/// Threads of a block and counters that each of them draws; as in kernels/pairwise.cu.
const THREADS: u32 = 256;
const QUADS_PER_THREAD: u32 = 8;

pub fn distances(l: &mut Lowering, d: &PairwiseDims) {
    let chunks = quads(d).div_ceil(THREADS * QUADS_PER_THREAD);
    let partials = l.scratch::<f64>((chunks * d.samples * 2 * d.samples) as usize);
    let kernel = if d.samples <= 8 { "pairwise_distances_8" } else { "pairwise_distances_16" };
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(partials);
    l.launch(kernel, [chunks, d.samples, 1], THREADS, arguments);
    let arguments = Arguments::new().with(*d).with(chunks).with(partials).with(l.write(0));
    l.launch_elements("pairwise_distances", 2 * d.samples * d.samples, arguments);
}

pub fn nearest_neighbour_kl(l: &mut Lowering, d: &NearestDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0));
    let arguments = arguments.with(l.write(0)).with(l.write(1)).with(l.write(2));
    l.launch("nearest_neighbour_kl", [1, 1, 1], 32, arguments);
}

pub fn distances_grad(l: &mut Lowering, d: &PairwiseDims) {
    let reads = (0..5).fold(Arguments::new().with(*d), |arguments, index| arguments.with(l.read(index)));
    let blocks = quads(d).div_ceil(THREADS);
    l.launch("pairwise_distances_grad", [blocks, d.samples, 1], THREADS, reads.with(l.write(0)));
}

/// Most counters that hold a draw's elements: they may begin at any lane.
fn quads(d: &PairwiseDims) -> u32 {
    d.weights.div_ceil(4) + 1
}
