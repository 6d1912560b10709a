//! Gradients of filters on the tensor cores.

use super::conv2d::{Correlation, balanced};
use super::conv2d_tensor::{BLOCK_BYTES, TensorCut, VECTOR_BYTES, WARPS, odd};
use super::launch::Arguments;
use super::lowering::{In, Lowering, Math, Out};
use crate::call::*;
use bytemuck::{Pod, Zeroable};

/// `TensorWeight` of kernels/conv2d_mma_weight.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct TensorWeight {
    geometry: Correlation,
    cut: TensorCut,
    chunk_images: u32,
    dy_height: u32,
    dy_width: u32,
    groups: u32,
    block_groups: u32,
    group_blocks: u32,
    column_warps: u32,
    block_outputs: u32,
    gradient_vectors: u32,
    steps: u32,
}

/// Channels of a column tile; pixels of a tile at most; blocks that fill any GPU.
const GROUP: u32 = 8;
const MOST_PIXELS: u32 = 512;
const BLOCKS: u32 = 264;

const KERNELS: [&str; 4] = [
    "conv2d_grad_weight_tf32_32",
    "conv2d_grad_weight_tf32_64",
    "conv2d_grad_weight_bf16_32",
    "conv2d_grad_weight_bf16_64",
];

impl TensorWeight {
    /// `None` when the tensor cores do not serve this convolution.
    fn new(d: &Conv2dDims, math: Math, dy_height: u32, dy_width: u32) -> Option<Self> {
        let geometry = Correlation::forward(d);
        let expanded = d.channels < GROUP && d.kernel > 1;
        let channels = if expanded { d.channels * d.kernel } else { d.channels };
        let taps = if expanded { d.kernel } else { d.kernel * d.kernel };
        let column_tiles = if d.outputs <= 32 { 8 } else { 4 };
        if math == Math::Fp32 || taps > WARPS * column_tiles {
            return None;
        }
        let groups = channels.div_ceil(GROUP);
        let block_groups = balanced(groups, WARPS * column_tiles / taps);
        let (vectors, pixel_vectors) = match math {
            Math::Bf16 => (block_groups, odd(block_groups)),
            _ => (2 * block_groups, 2 * odd(block_groups)),
        };
        let cut = TensorCut { vectors, pixel_vectors, taps, expanded: u32::from(expanded), ..TensorCut::zeroed() };
        let block_outputs = balanced(d.outputs, 64).next_multiple_of(16).min(d.outputs);
        let column_warps = (block_groups * taps).div_ceil(column_tiles);
        let group_blocks = groups.div_ceil(block_groups);
        let mut plan = Self {
            geometry,
            cut,
            chunk_images: 1,
            dy_height,
            dy_width,
            groups,
            block_groups,
            group_blocks,
            column_warps,
            block_outputs,
            gradient_vectors: 0,
            steps: 0,
        };
        let chunks = (BLOCKS / (plan.blocks() * d.samples)).clamp(1, d.batch);
        plan.chunk_images = d.batch.div_ceil(chunks);
        plan.choose_tile(math).then_some(plan)
    }

    /// As many images at once as fit, or a band of one; false when not even a row does.
    fn choose_tile(&mut self, math: Math) -> bool {
        let mut rows = self.geometry.out_height;
        while self.with_tile(math, 1, rows).is_none() {
            if rows == 1 {
                return false;
            }
            rows = rows.div_ceil(2);
        }
        let images = if rows == self.geometry.out_height { self.chunk_images } else { 1 };
        let most = (1..=images).take_while(|images| self.with_tile(math, *images, rows).is_some()).last().unwrap_or(1);
        let Some(plan) = self.with_tile(math, balanced(images, most), rows) else { return false };
        *self = plan;
        true
    }

    fn with_tile(&self, math: Math, images: u32, rows: u32) -> Option<Self> {
        let mut plan = *self;
        let g = &mut plan.geometry;
        g.tile(images, rows, 1);
        if self.cut.expanded != 0 {
            g.region_width -= g.kernel - 1;
        }
        let pixels = images.checked_mul(rows * g.out_width)?;
        plan.steps = pixels.div_ceil(if math == Math::Bf16 { 16 } else { 8 });
        plan.gradient_vectors = odd(2 * plan.steps);
        let one_row = images == 1 && rows == 1;
        ((pixels <= MOST_PIXELS || one_row) && plan.bytes(math) <= BLOCK_BYTES).then_some(plan)
    }

    /// Shared memory: offsets of the pixels, rows of dy, region of x.
    fn bytes(&self, math: Math) -> u32 {
        let g = &self.geometry;
        let pixels = self.steps * if math == Math::Bf16 { 16 } else { 8 };
        let region = g.images * g.region_height * g.region_width * self.cut.pixel_vectors;
        VECTOR_BYTES * (pixels.div_ceil(4) + self.block_outputs * self.gradient_vectors + region)
    }

    fn blocks(&self) -> u32 {
        self.group_blocks * self.geometry.outputs.div_ceil(self.block_outputs)
    }

    fn chunks(&self) -> u32 {
        self.geometry.batch.div_ceil(self.chunk_images)
    }

    /// Warps that share the steps of a tile.
    fn splits(&self) -> u32 {
        (WARPS / self.column_warps).max(1)
    }
}

/// Reads x, dy and, of a fused pool, argmax; writes dw and db. False when nothing was appended.
pub fn grad_weight(l: &mut Lowering, d: &Conv2dDims, [height, width]: [u32; 2], argmax: In, db: Out) -> bool {
    let Some(plan) = TensorWeight::new(d, l.math, height, width) else { return false };
    let parts = plan.chunks() * plan.splits();
    let elements = d.samples * d.outputs * plan.cut.taps * plan.groups * GROUP;
    let partials = l.scratch::<f32>(parts as usize * elements as usize);
    let kernel = KERNELS[usize::from(l.math == Math::Bf16) * 2 + usize::from(d.outputs > 32)];
    let arguments = Arguments::new().with(plan).with(l.read(0)).with(l.read(1)).with(argmax).with(partials);
    let threads = 32 * plan.column_warps * plan.splits();
    l.launch_shared(kernel, [plan.blocks(), plan.chunks(), d.samples], [threads, 1, 1], plan.bytes(l.math), arguments);
    let weight_blocks = elements.div_ceil(256);
    let bias_blocks = if db.data == 0 { 0 } else { d.samples * d.outputs };
    let arguments = Arguments::new().with(plan).with(parts).with(elements).with(weight_blocks).with(partials);
    let arguments = arguments.with(l.read(1)).with(argmax).with(l.write(0)).with(db);
    l.launch("conv2d_sum_partials", [weight_blocks + bias_blocks, 1, 1], 256, arguments);
    true
}
