//! Masked RealNVP steps.

use super::elementwise::{SUM_THREADS, cut, sum_partials};
use super::launch::{Address, Arguments};
use super::lowering::Lowering;
use crate::call::{GaussianGroup, MOST_PARTS};
use bytemuck::{Pod, Zeroable};

/// Threads of a block, four elements of one sample each; as in kernels/coupling.cu.
const THREADS: u32 = 128;

/// Elements of one sample of a vector of `elements`, and fours over all samples.
fn sizes(group: &GaussianGroup, elements: usize) -> (u32, u32) {
    let len = elements as u32 / group.samples;
    (len, group.samples * len.div_ceil(4))
}

/// `MaskedPart` of kernels/coupling.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MaskedPart {
    z: Address,
    y: Address,
    len: u32,
    fours: u32,
    stream: u32,
    add: u32,
    first_block: u32,
    unused: u32,
}

pub fn mask(l: &mut Lowering, group: &GaussianGroup) {
    let mut table = [MaskedPart::zeroed(); MOST_PARTS];
    let mut blocks = 0;
    for (index, part) in table.iter_mut().enumerate().take(group.parts as usize) {
        let (z, y) = (l.read(index).data, l.write(index));
        let ((len, fours), stream) = (sizes(group, l.call.reads[index].elements()), group.streams[index]);
        *part = MaskedPart { z, y: y.data, len, fours, stream, add: y.add, first_block: blocks, unused: 0 };
        blocks += fours.div_ceil(THREADS);
    }
    let arguments = Arguments::new().with(group.parts).with(l.read(group.parts as usize)).with(table);
    l.launch("coupling_mask", [blocks, 1, 1], THREADS, arguments);
}

/// `CoupledPart` of kernels/coupling.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CoupledPart {
    z: Address,
    mean: Address,
    gate: Address,
    y: Address,
    len: u32,
    fours: u32,
    stream: u32,
    first_block: u32,
}

pub fn forward(l: &mut Lowering, group: &GaussianGroup) {
    let mut table = [CoupledPart::zeroed(); MOST_PARTS];
    let mut blocks = 0;
    for (index, part) in table.iter_mut().enumerate().take(group.parts as usize) {
        let [z, mean, gate] = [0, 1, 2].map(|read| l.read(3 * index + read).data);
        let ((len, fours), stream) = (sizes(group, l.call.reads[3 * index].elements()), group.streams[index]);
        *part = CoupledPart { z, mean, gate, y: l.write(index).data, len, fours, stream, first_block: blocks };
        blocks += fours.div_ceil(THREADS);
    }
    let arguments = Arguments::new().with(group.parts).with(l.read(3 * group.parts as usize)).with(table);
    l.launch("coupling", [blocks, 1, 1], THREADS, arguments);
}

/// `GatePart` of kernels/coupling.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GatePart {
    gate: Address,
    len: u32,
    elements: u32,
    stream: u32,
    unused: u32,
}

/// Partial sums of each part, as many as the longest has, then their sum.
pub fn log_determinant(l: &mut Lowering, group: &GaussianGroup) {
    let mut table = [GatePart::zeroed(); MOST_PARTS];
    for (index, part) in table.iter_mut().enumerate().take(group.parts as usize) {
        let elements = l.call.reads[index].elements();
        let ((len, _), stream) = (sizes(group, elements), group.streams[index]);
        *part = GatePart { gate: l.read(index).data, len, elements: elements as u32, stream, unused: 0 };
    }
    let (per_block, count) = cut(table.iter().map(|part| part.elements).max().unwrap_or(0));
    let partials = l.scratch::<f64>((count * group.parts) as usize);
    let words = l.read(group.parts as usize);
    let arguments = Arguments::new().with(per_block).with(words).with(table).with(partials);
    l.launch("coupling_log_determinant_partials", [count, group.parts, 1], SUM_THREADS, arguments);
    sum_partials(l, count * group.parts, partials);
}

/// `CoupledGradPart` of kernels/coupling.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradPart {
    known: [Address; 4],
    gradients: [Address; 3],
    len: u32,
    fours: u32,
    stream: u32,
    adds: [u32; 3],
    first_block: u32,
    unused: u32,
}

pub fn grad(l: &mut Lowering, group: &GaussianGroup) {
    let mut table = [GradPart::zeroed(); MOST_PARTS];
    let (parts, mut blocks) = (group.parts as usize, 0);
    for (index, part) in table.iter_mut().enumerate().take(parts) {
        let written = [0, 1, 2].map(|write| l.write(3 * index + write));
        let (len, fours) = sizes(group, l.call.reads[4 * index].elements());
        *part = GradPart {
            known: [0, 1, 2, 3].map(|read| l.read(4 * index + read).data),
            gradients: written.map(|out| out.data),
            len,
            fours,
            stream: group.streams[index],
            adds: written.map(|out| out.add),
            first_block: blocks,
            unused: 0,
        };
        blocks += fours.div_ceil(THREADS);
    }
    let (words, dlog_determinant) = (l.read(4 * parts), l.read(4 * parts + 1));
    let arguments = Arguments::new().with(group.parts).with(words).with(dlog_determinant).with(table);
    l.launch("coupling_grad", [blocks, 1, 1], THREADS, arguments);
}
