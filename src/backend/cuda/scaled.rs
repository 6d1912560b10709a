//! Gaussian weights whose means are scaled by multipliers of their inputs or outputs.

use super::launch::{Address, Arguments};
use super::lowering::{In, Lowering};
use crate::call::{MOST_PARTS, ScaledGroup, ScaledPart};
use bytemuck::{Pod, Zeroable};

/// Threads of a block that handle four elements each; as in kernels/scaled.cu.
const THREADS: u32 = 128;
/// Threads of a block that sums for 32 multipliers, or for one.
const SUMMED_THREADS: u32 = 256;

/// `ScaledPart` of kernels/scaled.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Part {
    mean: Address,
    z: Address,
    log_variance: Address,
    y: Address,
    elements: u32,
    channels: u32,
    inner: u32,
    stream: u32,
    first_block: u32,
    unused: u32,
}

pub fn samples(l: &mut Lowering, group: &ScaledGroup) {
    let mut table = [Part::zeroed(); MOST_PARTS];
    let (of_part, mut blocks) = (2 + usize::from(group.noise), 0);
    for (index, d) in group.parts().iter().enumerate() {
        let read = |read: usize| l.read(of_part * index + read).data;
        table[index] = Part {
            mean: read(0),
            z: read(1),
            log_variance: if group.noise { read(2) } else { 0 },
            y: l.write(index).data,
            elements: d.elements(),
            channels: d.channels,
            inner: d.inner,
            stream: d.stream,
            first_block: blocks,
            unused: 0,
        };
        blocks += d.elements().div_ceil(4 * THREADS);
    }
    let words: In = l.read_if(group.noise, of_part * group.parts as usize);
    let arguments = Arguments::new().with(group.parts).with(group.samples).with(words).with(table);
    l.launch("scaled_samples", [blocks, 1, 1], THREADS, arguments);
}

/// `ScaledGradPart` of kernels/scaled.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradPart {
    mean: Address,
    z: Address,
    dy: Address,
    out: Address,
    elements: u32,
    channels: u32,
    inner: u32,
    add: u32,
    first_block: u32,
    unused: u32,
}

pub fn samples_grad(l: &mut Lowering, group: &ScaledGroup) {
    let (blocks, table) = grad_parts(l, group, 0, |d| d.elements().div_ceil(4 * THREADS));
    let arguments = Arguments::new().with(group.parts).with(group.samples).with(table);
    l.launch("scaled_samples_grad_mean", [blocks, 1, 1], THREADS, arguments);
    let blocks_of = |d: &ScaledPart| if d.inner == 1 { d.channels.div_ceil(32) } else { d.channels };
    let (blocks, table) = grad_parts(l, group, 1, blocks_of);
    let arguments = Arguments::new().with(group.parts).with(table);
    l.launch("scaled_samples_grad_multiplier", [blocks, group.samples, 1], SUMMED_THREADS, arguments);
}

/// The parts with written region `write` of each, and the blocks that they take.
fn grad_parts(
    l: &Lowering,
    group: &ScaledGroup,
    write: usize,
    blocks_of: impl Fn(&ScaledPart) -> u32,
) -> (u32, [GradPart; MOST_PARTS]) {
    let mut table = [GradPart::zeroed(); MOST_PARTS];
    let mut blocks = 0;
    for (index, d) in group.parts().iter().enumerate() {
        let read = |read: usize| l.read(3 * index + read).data;
        let out = l.write(2 * index + write);
        table[index] = GradPart {
            mean: read(0),
            z: read(1),
            dy: read(2),
            out: out.data,
            elements: d.elements(),
            channels: d.channels,
            inner: d.inner,
            add: out.add,
            first_block: blocks,
            unused: 0,
        };
        blocks += blocks_of(d);
    }
    (blocks, table)
}
