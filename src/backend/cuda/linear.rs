//! Linear maps and their gradients as matrix products c [m, n] = sum over terms of a [m, k] b [k, n].

use super::launch::{Address, Arguments};
use super::lowering::{Function, Lowering, Out};
use crate::call::*;

pub fn forward(l: &mut Lowering, d: &LinearDims, function: Unary) {
    let p = Product { m: d.rows, n: d.outputs, k: d.inputs, terms: 1, blocks: d.samples };
    let finish = Finish { function: function.into(), bias: d.bias == 1 };
    p.launch(l, "linear", finish, |l, split, partials| {
        let arguments = Arguments::new().with(*d).with(finish.function).with(split.steps);
        let arguments = arguments.with(l.read(0)).with(l.read(1)).with(l.read_if(finish.bias, 2));
        arguments.with(l.write(0)).with(partials)
    });
}

pub fn grad_input(l: &mut Lowering, d: &LinearDims) {
    let (blocks, terms) = if d.shared_input == 1 { (1, d.samples) } else { (d.samples, 1) };
    let p = Product { m: d.rows, n: d.inputs, k: d.outputs, terms, blocks };
    p.launch(l, "linear_grad_input", Finish::plain(), |l, split, partials| gradient(l, d, split, partials));
}

pub fn grad_weight(l: &mut Lowering, d: &LinearDims) {
    let p = Product { m: d.outputs, n: d.inputs, k: d.rows, terms: 1, blocks: d.samples };
    p.launch(l, "linear_grad_weight", Finish::plain(), |l, split, partials| gradient(l, d, split, partials));
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

    /// Launches a product with tiles of `TILE` x `TILE`, and the sum of its splits.
    fn launch(
        &self,
        l: &mut Lowering,
        kernel: &'static str,
        finish: Finish,
        arguments: impl Fn(&Lowering, Split, Address) -> Arguments,
    ) {
        let tiles = self.m.div_ceil(TILE) * self.n.div_ceil(TILE);
        let split = self.split(tiles.saturating_mul(self.blocks), DEPTH);
        let partials = self.partials(l, split);
        let arguments = arguments(l, split, partials);
        l.launch(kernel, [tiles, split.count, self.blocks], THREADS, arguments);
        if split.count > 1 {
            self.sum_splits(l, split, finish, partials);
        }
    }

    /// Scratch for the sums of several splits.
    fn partials(&self, l: &mut Lowering, split: Split) -> Address {
        if split.count == 1 {
            return 0;
        }
        l.scratch::<f32>(split.count as usize * self.blocks as usize * self.m as usize * self.n as usize)
    }

    fn sum_splits(&self, l: &mut Lowering, split: Split, finish: Finish, partials: Address) {
        let c: Out = l.write(0);
        let arguments = Arguments::new().with(self.m).with(self.n).with(split.count).with(u32::from(finish.bias));
        let arguments = arguments.with(finish.function).with(l.read_if(finish.bias, 2)).with(c).with(partials);
        let blocks = (self.m * self.n).div_ceil(SUM_THREADS).clamp(1, MOST_SUM_BLOCKS);
        l.launch("linear_sum_splits", [blocks, 1, self.blocks], SUM_THREADS, arguments);
    }
}

/// Tiles, steps and threads of kernels/linear.cu.
const TILE: u32 = 64;
const DEPTH: u32 = 16;
const THREADS: u32 = 128;
const SUM_THREADS: u32 = 256;
const MOST_SUM_BLOCKS: u32 = 2112;
