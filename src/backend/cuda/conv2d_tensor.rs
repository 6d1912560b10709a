//! Convolutions and the gradients of their inputs on the tensor cores.

use super::conv2d::{Correlation, balanced};
use super::launch::{Address, Arguments};
use super::lowering::{Function, In, Lowering, Math};
use crate::call::*;
use bytemuck::{Pod, Zeroable};

/// `TensorCut` of kernels/conv2d_mma.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct TensorCut {
    pub vectors: u32,
    pub pixel_vectors: u32,
    pub chunks: u32,
    pub steps: u32,
    pub taps: u32,
    pub tiles: u32,
    pub expanded: u32,
}

/// Bytes of a vector; vectors of one step of the filters for a pair of tiles of 8 outputs; steps in flight.
pub const VECTOR_BYTES: u32 = 16;
const STEP_VECTORS: u32 = 32;
const STAGED_STEPS: u32 = 12;
/// Shared memory of a block, so that two fit on a multiprocessor.
pub const BLOCK_BYTES: u32 = 112 << 10;
/// Most warps of a block, rows of one tile.
pub const WARPS: u32 = 8;
const TILE_ROWS: u32 = 16;
/// Multiprocessors that a cut should keep busy, and what a block costs beside its rows (staging, latency), in rows.
const MULTIPROCESSORS: u32 = 132;
const BLOCK_COST: u32 = 64;

/// A correlation cut into blocks.
#[derive(Clone, Copy, Debug)]
struct Plan {
    d: Correlation,
    cut: TensorCut,
    warps: u32,
    /// Blocks along the outputs.
    output_blocks: u32,
    bytes: u32,
}

/// Channels of a vector.
pub fn vector_channels(math: Math) -> u32 {
    if math == Math::Bf16 { 8 } else { 4 }
}

/// Offset between pixels of `vectors` vectors that keeps 8 neighbours in different banks.
pub fn odd(vectors: u32) -> u32 {
    vectors | 1
}

impl Plan {
    /// The cheapest cut; `None` when not even a row of pixels fits. `scale` pixels of a place along each axis.
    fn new(d: Correlation, math: Math, scale: u32) -> Option<Self> {
        if math == Math::Fp32 {
            return None;
        }
        let bands = (1..=d.out_height).map(|rows| (1, rows));
        let whole = (2..=d.batch).map(|images| (images, d.out_height));
        let plans = bands.chain(whole).map_while(|(images, rows)| Self::with_tile(d, math, scale, images, rows));
        plans.min_by_key(|plan| (plan.cost(), u32::MAX - plan.warps))
    }

    /// `None` when such a tile is more than a block can hold.
    fn with_tile(mut d: Correlation, math: Math, scale: u32, images: u32, rows: u32) -> Option<Self> {
        let eights = d.outputs.div_ceil(8);
        let tiles = balanced(eights, 8);
        let slots = images.checked_mul(rows * d.out_width * scale * scale)?;
        let warps = slots.div_ceil(TILE_ROWS * row_tiles(tiles));
        if warps > WARPS {
            return None;
        }
        d.tile(images, rows, scale);
        let expanded = d.flipped == 0 && d.channels < vector_channels(math) && d.kernel > 1;
        if expanded {
            d.region_width -= d.kernel - 1;
        }
        let channels = if expanded { d.channels * d.kernel } else { d.channels };
        let taps = if expanded { d.kernel } else { d.kernel * d.kernel };
        let all = channels.div_ceil(vector_channels(math));
        let filters = STAGED_STEPS * tiles.div_ceil(2) * STEP_VECTORS * VECTOR_BYTES;
        let pixels = d.images * d.region_height * d.region_width;
        let fits =
            |vectors: u32| filters + pixels * odd(vectors) * VECTOR_BYTES + 4 * (taps * vectors + 1) <= BLOCK_BYTES;
        let most = (1..=all).rev().find(|vectors| fits(*vectors))?;
        let vectors = balanced(all, most);
        let steps = (taps * vectors).div_ceil(2);
        let chunks = all.div_ceil(vectors);
        let cut = TensorCut {
            vectors,
            pixel_vectors: odd(vectors),
            chunks,
            steps,
            taps,
            tiles,
            expanded: u32::from(expanded),
        };
        let bytes = filters + pixels * odd(vectors) * VECTOR_BYTES + 8 * steps;
        Some(Self { d, cut, warps, output_blocks: eights.div_ceil(tiles), bytes })
    }

    fn blocks(&self) -> u32 {
        self.d.tiles() * self.output_blocks * self.d.grid_samples()
    }

    /// Rows that the busiest multiprocessor works on.
    fn cost(&self) -> u32 {
        let rows = self.warps * TILE_ROWS * row_tiles(self.cut.tiles) + BLOCK_COST * self.cut.chunks;
        self.blocks().div_ceil(MULTIPROCESSORS).saturating_mul(rows)
    }

    /// Appends the launch that packs the filters, and says where they are.
    fn pack(&self, l: &mut Lowering, w: In) -> Address {
        let count = self.output_blocks * self.cut.chunks * self.cut.steps * self.cut.tiles.div_ceil(2) * STEP_VECTORS;
        let packed = l.scratch::<[u32; 4]>(self.d.samples as usize * count as usize);
        let kernel = if l.math == Math::Bf16 { "conv2d_pack_bf16" } else { "conv2d_pack_tf32" };
        let arguments = Arguments::new().with(self.d).with(self.cut).with(count).with(w).with(packed);
        l.launch(kernel, [count.div_ceil(256), self.d.samples, 1], 256, arguments);
        packed
    }

    /// Appends the main launch: one of four kernels by format and by outputs of a block.
    fn launch(&self, l: &mut Lowering, kernels: [&'static str; 4], arguments: Arguments) {
        let kernel = kernels[usize::from(l.math == Math::Bf16) * 2 + usize::from(self.cut.tiles > 4)];
        let grid = [self.d.tiles(), self.output_blocks, self.d.grid_samples()];
        l.launch_shared(kernel, grid, [self.warps * 32, 1, 1], self.bytes, arguments);
    }
}

/// Tiles of 16 rows of a warp: with up to 32 outputs twice as many as with up to 64.
fn row_tiles(tiles: u32) -> u32 {
    if tiles > 4 { 2 } else { 4 }
}

const FORWARD: [&str; 4] = ["conv2d_tf32_32", "conv2d_tf32_64", "conv2d_bf16_32", "conv2d_bf16_64"];
const POOL: [&str; 4] = ["conv2d_pool_tf32_32", "conv2d_pool_tf32_64", "conv2d_pool_bf16_32", "conv2d_pool_bf16_64"];
const GRAD_INPUT: [&str; 4] = [
    "conv2d_grad_input_tf32_32",
    "conv2d_grad_input_tf32_64",
    "conv2d_grad_input_bf16_32",
    "conv2d_grad_input_bf16_64",
];

/// False when the tensor cores do not serve this convolution: nothing has been appended.
pub fn forward(l: &mut Lowering, d: &Conv2dDims, function: Unary) -> bool {
    let Some(plan) = Plan::new(Correlation::forward(d), l.math, 1) else { return false };
    let packed = plan.pack(l, l.read(1));
    let arguments = Arguments::new().with(plan.d).with(plan.cut).with(Function::from(function)).with(l.read(0));
    plan.launch(l, FORWARD, arguments.with(l.read_if(d.bias != 0, 2)).with(l.write(0)).with(packed));
    true
}

/// As [`forward`].
pub fn pool_forward(l: &mut Lowering, d: &Conv2dDims) -> bool {
    let Some(plan) = Plan::new(Correlation::windows(d), l.math, 2) else { return false };
    let packed = plan.pack(l, l.read(1));
    let arguments = Arguments::new().with(plan.d).with(plan.cut).with(l.read(0)).with(l.read_if(d.bias != 0, 2));
    plan.launch(l, POOL, arguments.with(l.write(0)).with(l.write(1)).with(packed));
    true
}

/// As [`forward`]; `argmax` is nothing unless dy is that of a fused pool.
pub fn grad_input(l: &mut Lowering, d: Correlation, argmax: In, w: In) -> bool {
    let Some(plan) = Plan::new(d, l.math, 1) else { return false };
    let packed = plan.pack(l, w);
    let arguments = Arguments::new().with(plan.d).with(plan.cut).with(l.read(0)).with(argmax);
    plan.launch(l, GRAD_INPUT, arguments.with(l.write(0)).with(packed));
    true
}
