//! Linear maps and their gradients as matrix products c [m, n] = sum over terms of a [m, k] b [k, n].

use super::launch::{Address, Arguments};
use super::lowering::{Function, Lowering, Math, Out};
use crate::call::*;

pub fn forward(l: &mut Lowering, d: &LinearDims, function: Unary) {
    if d.rows <= MOST_SKINNY_ROWS {
        return skinny_forward(l, d, function);
    }
    let p = Product { m: d.rows, n: d.outputs, k: d.inputs, terms: 1, blocks: d.samples };
    let finish = Finish { function: function.into(), bias: d.bias == 1 };
    p.launch(l, &FORWARD, finish, |l, split, partials| {
        let arguments = Arguments::new().with(*d).with(finish.function).with(split.steps);
        let arguments = arguments.with(l.read(0)).with(l.read(1)).with(l.read_if(finish.bias, 2));
        arguments.with(l.write(0)).with(partials)
    });
}

/// Few rows: w is read once.
fn skinny_forward(l: &mut Lowering, d: &LinearDims, function: Unary) {
    let (kernel, group) = match d.rows {
        0..=4 => ("linear_4_rows", 8),
        5..=8 => ("linear_8_rows", 4),
        _ => ("linear_16_rows", 4),
    };
    let blocks = d.outputs.div_ceil(group * SKINNY_WARPS).min(MOST_SKINNY_BLOCKS);
    let arguments = Arguments::new().with(*d).with(Function::from(function)).with(l.read(0)).with(l.read(1));
    let arguments = arguments.with(l.read_if(d.bias == 1, 2)).with(l.write(0));
    l.launch(kernel, [blocks, d.samples, 1], 32 * SKINNY_WARPS, arguments);
}

pub fn grad_input(l: &mut Lowering, d: &LinearDims) {
    let (blocks, terms) = if d.shared_input == 1 { (1, d.samples) } else { (d.samples, 1) };
    let p = Product { m: d.rows, n: d.inputs, k: d.outputs, terms, blocks };
    if d.rows <= MOST_SKINNY_ROWS {
        return skinny_grad_input(l, d, p);
    }
    p.launch(l, &GRAD_INPUT, Finish::plain(), |l, split, partials| gradient(l, d, split, partials));
}

/// Few rows: w is read once, in splits of whole stages of its rows.
fn skinny_grad_input(l: &mut Lowering, d: &LinearDims, p: Product) {
    let kernel = match d.rows {
        0..=4 => "linear_grad_input_4_rows",
        5..=8 => "linear_grad_input_8_rows",
        _ => "linear_grad_input_16_rows",
    };
    let (columns, rows) = (d.inputs.div_ceil(SKINNY_COLUMNS), p.terms * d.outputs);
    let wanted = (ENOUGH_SKINNY_BLOCKS / (columns * p.blocks)).min(rows / LEAST_SPLIT).clamp(1, MOST_SKINNY_SPLITS);
    let steps = rows.div_ceil(wanted).next_multiple_of(SKINNY_STAGE);
    let split = Split { steps, count: rows.div_ceil(steps) };
    let partials = p.partials(l, split);
    let arguments = gradient(l, d, split, partials);
    l.launch(kernel, [columns, split.count, p.blocks], SKINNY_GRAD_THREADS, arguments);
    p.sum_splits(l, split, Finish::plain(), partials);
}

pub fn grad_weight(l: &mut Lowering, d: &LinearDims) {
    let p = Product { m: d.outputs, n: d.inputs, k: d.rows, terms: 1, blocks: d.samples };
    p.launch(l, &GRAD_WEIGHT, Finish::plain(), |l, split, partials| gradient(l, d, split, partials));
}

fn gradient(l: &Lowering, d: &LinearDims, split: Split, partials: Address) -> Arguments {
    let arguments = Arguments::new().with(*d).with(split.steps).with(l.read(0)).with(l.read(1));
    arguments.with(l.write(0)).with(partials)
}

/// What becomes of a sum: a function of it and of the bias of its column (read region 2).
#[derive(Clone, Copy)]
struct Finish {
    function: Function,
    bias: bool,
}

impl Finish {
    fn plain() -> Self {
        Self { function: Unary::Identity.into(), bias: false }
    }
}

/// `blocks` products of m x n sums over `terms` inner axes of k.
#[derive(Clone, Copy)]
struct Product {
    m: u32,
    n: u32,
    k: u32,
    terms: u32,
    blocks: u32,
}

/// Cut of the inner axis: `count` splits of `steps` steps, the last one perhaps shorter.
#[derive(Clone, Copy)]
struct Split {
    steps: u32,
    count: u32,
}

/// Blocks that keep a GPU of 132 multiprocessors busy; products with fewer tiles are split.
const ENOUGH_BLOCKS: u32 = 264;
/// Least length of the inner axis in a split: below it the second sum costs more than it gains.
const LEAST_SPLIT: u32 = 128;
/// Most splits: the second sum reads each of them.
const MOST_SPLITS: u32 = 64;

impl Product {
    /// Split for `tiles` tiles in all and steps of `depth`.
    fn split(&self, tiles: u32, depth: u32) -> Split {
        let steps = self.terms * self.k.div_ceil(depth);
        let wanted = (ENOUGH_BLOCKS / tiles.max(1)).min(steps * depth / LEAST_SPLIT).clamp(1, MOST_SPLITS);
        let per_split = steps.div_ceil(wanted);
        Split { steps: per_split, count: steps.div_ceil(per_split) }
    }

    /// Launches a product, and the sum of its splits.
    fn launch(
        &self,
        l: &mut Lowering,
        kernels: &Kernels,
        finish: Finish,
        arguments: impl Fn(&Lowering, Split, Address) -> Arguments,
    ) {
        let tile = self.tile(l.math);
        let (kernel, shared) = kernels.of(tile);
        let tiles = self.m.div_ceil(tile.lines) * self.n.div_ceil(TILE);
        let split = self.split(tiles.saturating_mul(self.blocks), tile.depth());
        let partials = self.partials(l, split);
        let arguments = arguments(l, split, partials);
        l.launch_shared(kernel, [tiles, split.count, self.blocks], [THREADS, 1, 1], shared, arguments);
        self.sum_splits(l, split, finish, partials);
    }

    /// Tensor cores where a tile of theirs is filled by a quarter at least and multiplied along a whole step; 128 lines where
    /// they are no more work than 64.
    fn tile(&self, math: Math) -> Tile {
        let fills =
            self.m >= 16 && self.n >= 16 && self.m.min(TILE) * self.n.min(TILE) >= TILE * TILE / 4 && self.k >= 16;
        if math == Math::Fp32 || !fills {
            return Tile { math: Math::Fp32, lines: TILE };
        }
        let wide = self.m > TILE && self.m.next_multiple_of(2 * TILE) == self.m.next_multiple_of(TILE);
        Tile { math, lines: if wide { 2 * TILE } else { TILE } }
    }

    /// Scratch for the sums of several splits.
    fn partials(&self, l: &mut Lowering, split: Split) -> Address {
        if split.count == 1 {
            return 0;
        }
        l.scratch::<f32>(split.count as usize * self.blocks as usize * self.m as usize * self.n as usize)
    }

    /// Adds the sums of several splits.
    fn sum_splits(&self, l: &mut Lowering, split: Split, finish: Finish, partials: Address) {
        if split.count == 1 {
            return;
        }
        let c: Out = l.write(0);
        let arguments = Arguments::new().with(self.m).with(self.n).with(split.count).with(u32::from(finish.bias));
        let arguments = arguments.with(finish.function).with(l.read_if(finish.bias, 2)).with(c).with(partials);
        let blocks = (self.m * self.n).div_ceil(SUM_THREADS).clamp(1, MOST_SUM_BLOCKS);
        l.launch("linear_sum_splits", [blocks, 1, self.blocks], SUM_THREADS, arguments);
    }
}

/// Tile of c that a block computes: `lines` x [`TILE`].
#[derive(Clone, Copy)]
struct Tile {
    math: Math,
    lines: u32,
}

impl Tile {
    /// Inner length of a step.
    fn depth(self) -> u32 {
        if self.math == Math::Fp32 { 16 } else { 32 }
    }
}

/// The kernels of one call, and which of its operands lie with the inner axis contiguous.
struct Kernels {
    fp32: &'static str,
    tf32: [&'static str; 2],
    bf16: [&'static str; 2],
    inner: [bool; 2],
}

const FORWARD: Kernels = Kernels {
    fp32: "linear",
    tf32: ["linear_tf32_64", "linear_tf32_128"],
    bf16: ["linear_bf16_64", "linear_bf16_128"],
    inner: [true, true],
};
const GRAD_INPUT: Kernels = Kernels {
    fp32: "linear_grad_input",
    tf32: ["linear_grad_input_tf32_64", "linear_grad_input_tf32_128"],
    bf16: ["linear_grad_input_bf16_64", "linear_grad_input_bf16_128"],
    inner: [true, false],
};
const GRAD_WEIGHT: Kernels = Kernels {
    fp32: "linear_grad_weight",
    tf32: ["linear_grad_weight_tf32_64", "linear_grad_weight_tf32_128"],
    bf16: ["linear_grad_weight_bf16_64", "linear_grad_weight_bf16_128"],
    inner: [false, false],
};

impl Kernels {
    /// Kernel for a tile, and its dynamic shared bytes.
    fn of(&self, tile: Tile) -> (&'static str, u32) {
        let wide = usize::from(tile.lines > TILE);
        let stage = staged(tile.math, self.inner[0], tile.lines) + staged(tile.math, self.inner[1], TILE);
        match tile.math {
            Math::Fp32 => (self.fp32, 0),
            Math::Tf32 => (self.tf32[wide], STAGES * stage),
            Math::Bf16 => (self.bf16[wide], STAGES * stage),
        }
    }
}

/// Bytes of one operand's tile in a stage: `Tile` of kernels/linear_tensor.cu.
fn staged(math: Math, inner: bool, lines: u32) -> u32 {
    let depth = Tile { math, lines }.depth();
    let padding = if (math == Math::Tf32) == inner { 4 } else { 8 };
    4 * if inner { lines * (depth + padding) } else { depth * (lines + padding) }
}

/// Columns of a tile, stages and threads of kernels/linear_tensor.cu; kernels/linear.cu has the same tile and threads.
const TILE: u32 = 64;
const STAGES: u32 = 3;
const THREADS: u32 = 128;
const SUM_THREADS: u32 = 256;
const MOST_SUM_BLOCKS: u32 = 2112;

/// Rows, warps of a block and most blocks of a sample of kernels/linear_skinny.cu and skinny.cuh.
const MOST_SKINNY_ROWS: u32 = 16;
const SKINNY_WARPS: u32 = 8;
const MOST_SKINNY_BLOCKS: u32 = 1056;
/// Columns of w, rows that are staged at a time and threads of a block of the input's gradient.
const SKINNY_COLUMNS: u32 = 128;
const SKINNY_STAGE: u32 = 64;
const SKINNY_GRAD_THREADS: u32 = 128;
/// Four blocks for each of 132 multiprocessors: each has 16 KiB of w on the way.
const ENOUGH_SKINNY_BLOCKS: u32 = 528;
/// Most splits: the second sum reads them one after another.
const MOST_SKINNY_SPLITS: u32 = 264;
