//! Variances from their logarithms, with an upper bound.

use super::launch::{Address, Arguments};
use super::lowering::Lowering;
use crate::call::MOST_PARTS;
use bytemuck::{Pod, Zeroable};

/// Threads of a block, four elements each; as in kernels/capped_variances.cu.
const THREADS: u32 = 128;
const PER_BLOCK: u32 = 4 * THREADS;

/// `CappedPart` of kernels/capped_variances.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Part {
    v: Address,
    capped: Address,
    variance: Address,
    elements: u32,
    first_block: u32,
}

pub fn forward(l: &mut Lowering, bound: f32) {
    let mut table = [Part::zeroed(); MOST_PARTS];
    let (parts, mut blocks) = (l.call.reads.len(), 0);
    for (index, part) in table.iter_mut().enumerate().take(parts) {
        let elements = l.call.reads[index].elements() as u32;
        let (capped, variance) = (l.write(2 * index).data, l.write(2 * index + 1).data);
        *part = Part { v: l.read(index).data, capped, variance, elements, first_block: blocks };
        blocks += elements.div_ceil(PER_BLOCK);
    }
    let arguments = Arguments::new().with(parts as u32).with(bound).with(table);
    l.launch("capped_variances", [blocks, 1, 1], THREADS, arguments);
}

/// `CappedGradPart` of kernels/capped_variances.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradPart {
    v: Address,
    variance: Address,
    dvariance: Address,
    dcapped: Address,
    dv: Address,
    elements: u32,
    add: u32,
    first_block: u32,
    unused: u32,
}

pub fn grad(l: &mut Lowering, bound: f32, of_log: bool) {
    let mut table = [GradPart::zeroed(); MOST_PARTS];
    let (parts, reads, mut blocks) = (l.call.writes.len(), 3 + usize::from(of_log), 0);
    for (index, part) in table.iter_mut().enumerate().take(parts) {
        let read = |read: usize| l.read(reads * index + read).data;
        let dv = l.write(index);
        let elements = l.call.writes[index].0.elements() as u32;
        *part = GradPart {
            v: read(0),
            variance: read(1),
            dvariance: read(2),
            dcapped: if of_log { read(3) } else { 0 },
            dv: dv.data,
            elements,
            add: dv.add,
            first_block: blocks,
            unused: 0,
        };
        blocks += elements.div_ceil(PER_BLOCK);
    }
    let arguments = Arguments::new().with(parts as u32).with(bound).with(table);
    l.launch("capped_variances_grad", [blocks, 1, 1], THREADS, arguments);
}
