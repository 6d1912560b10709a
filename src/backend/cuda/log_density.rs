//! Log densities of vectors under independent Gaussians.

use super::elementwise::{SUM_THREADS, cut, sum_partials};
use super::launch::{Address, Arguments};
use super::lowering::Lowering;
use crate::call::MOST_PARTS;
use bytemuck::{Pod, Zeroable};

/// Threads of a block, an element each; as in kernels/log_density.cu.
const THREADS: u32 = 128;

/// `DensePart` of kernels/log_density.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Part {
    z: Address,
    mean: Address,
    log_variance: Address,
    elements: u32,
    unused: u32,
}

/// Partial sums of each part, as many as the longest has, then their sum.
pub fn forward(l: &mut Lowering) {
    let parts = l.call.reads.len() / 3;
    let mut table = [Part::zeroed(); MOST_PARTS];
    for (index, part) in table.iter_mut().enumerate().take(parts) {
        let [z, mean, log_variance] = [0, 1, 2].map(|read| l.read(3 * index + read).data);
        *part = Part { z, mean, log_variance, elements: l.call.reads[3 * index].elements() as u32, unused: 0 };
    }
    let (per_block, count) = cut(table.iter().map(|part| part.elements).max().unwrap_or(0));
    let partials = l.scratch::<f64>(count as usize * parts);
    let arguments = Arguments::new().with(per_block).with(table).with(partials);
    l.launch("log_density_partials", [count, parts as u32, 1], SUM_THREADS, arguments);
    sum_partials(l, count * parts as u32, partials);
}

/// `DenseGradPart` of kernels/log_density.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradPart {
    known: [Address; 3],
    gradients: [Address; 3],
    elements: u32,
    adds: [u32; 3],
    first_block: u32,
    unused: u32,
}

pub fn grad(l: &mut Lowering) {
    let mut table = [GradPart::zeroed(); MOST_PARTS];
    let (parts, mut blocks) = (l.call.writes.len() / 3, 0);
    for (index, part) in table.iter_mut().enumerate().take(parts) {
        let written = [0, 1, 2].map(|write| l.write(3 * index + write));
        let elements = l.call.writes[3 * index].0.elements() as u32;
        *part = GradPart {
            known: [0, 1, 2].map(|read| l.read(3 * index + read).data),
            gradients: written.map(|out| out.data),
            elements,
            adds: written.map(|out| out.add),
            first_block: blocks,
            unused: 0,
        };
        blocks += elements.div_ceil(THREADS);
    }
    let arguments = Arguments::new().with(parts as u32).with(l.read(3 * parts)).with(table);
    l.launch("log_density_grad", [blocks, 1, 1], THREADS, arguments);
}
