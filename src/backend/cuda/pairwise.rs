//! Nearest-neighbour divergence between generated weights and prior draws.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::{NearestDims, PairwiseDims};

/// Threads of a block, columns of a tile; as in kernels/pairwise.cu.
const THREADS: u32 = 128;
const TILE: u32 = 8;
/// Most partial sums of a distance: from there on, a thread walks more weights.
const MOST_PARTIALS: u32 = 512;

/// Kernels that hold all distances between S samples, S = 2 to 8, in registers.
const WHOLE: [&str; 7] = [
    "pairwise_distances_2",
    "pairwise_distances_3",
    "pairwise_distances_4",
    "pairwise_distances_5",
    "pairwise_distances_6",
    "pairwise_distances_7",
    "pairwise_distances_8",
];

pub fn distances(l: &mut Lowering, d: &PairwiseDims) {
    let per_thread = quads(d).div_ceil(THREADS * MOST_PARTIALS);
    let blocks = quads(d).div_ceil(THREADS * per_thread);
    let samples = d.samples as usize;
    let sums = samples * (samples - 1) / 2 + samples * samples;
    let partials = l.scratch::<f64>(blocks as usize * sums);
    let arguments = Arguments::new().with(*d).with(per_thread).with(l.read(0)).with(l.read(1)).with(partials);
    match samples.checked_sub(2).and_then(|place| WHOLE.get(place)) {
        Some(kernel) => {
            l.launch(kernel, [blocks, 1, 1], THREADS, arguments.with(l.write(0)));
            if blocks == 1 {
                return;
            }
        }
        None => {
            let tiles = d.samples.div_ceil(TILE);
            l.launch("pairwise_distances_tiled", [blocks, tiles * tiles, 2], THREADS, arguments);
        }
    }
    let warps = THREADS / 32;
    let arguments = Arguments::new().with(*d).with(blocks).with(partials).with(l.write(0));
    l.launch("pairwise_distances", [(2 * d.samples * d.samples).div_ceil(warps), 1, 1], THREADS, arguments);
}

pub fn nearest_neighbour_kl(l: &mut Lowering, d: &NearestDims) {
    let shared = 2 * d.samples * d.samples * size_of::<f64>() as u32;
    let arguments = Arguments::new().with(*d).with(l.read(0));
    let arguments = arguments.with(l.write(0)).with(l.write(1)).with(l.write(2));
    l.launch_shared("nearest_neighbour_kl", [1, 1, 1], [THREADS, 1, 1], shared, arguments);
}

pub fn distances_grad(l: &mut Lowering, d: &PairwiseDims) {
    let arguments = (0..5).fold(Arguments::new().with(*d), |arguments, index| arguments.with(l.read(index)));
    let arguments = arguments.with(l.write(0));
    let blocks = quads(d).div_ceil(THREADS);
    if d.samples <= TILE {
        l.launch("pairwise_distances_grad_8", [blocks, 1, 1], THREADS, arguments);
    } else {
        l.launch("pairwise_distances_grad", [blocks, d.samples, 1], THREADS, arguments);
    }
}

/// Fours of weights, from the counter of draw 0 on that holds the part's first; as in kernels/quads.cuh.
pub fn quads(d: &PairwiseDims) -> u32 {
    let elements = u64::from(d.first % 4) + u64::from(d.weights);
    elements.div_ceil(4) as u32
}
