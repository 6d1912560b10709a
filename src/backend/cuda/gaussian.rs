//! Independent Gaussian weights: samples, their gradient, the divergence from the prior.

use super::elementwise::{SUM_THREADS, cut, sum_partials};
use super::launch::{Address, Arguments};
use super::lowering::Lowering;
use crate::call::{GaussianGroup, MOST_PARTS};
use bytemuck::{Pod, Zeroable};

/// Threads of a block, and elements that it handles (four a thread); as in kernels/gaussian.cu.
const THREADS: u32 = 128;
const PER_BLOCK: u32 = 4 * THREADS;

/// `SampledPart` of kernels/gaussian.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SampledPart {
    mean: Address,
    log_variance: Address,
    y: Address,
    elements: u32,
    stream: u32,
    first_block: u32,
    unused: u32,
}

pub fn samples(l: &mut Lowering, group: &GaussianGroup) {
    let mut table = [SampledPart::zeroed(); MOST_PARTS];
    let mut blocks = 0;
    for (index, part) in table.iter_mut().enumerate().take(group.parts as usize) {
        let (mean, log_variance, y) = (l.read(2 * index).data, l.read(2 * index + 1).data, l.write(index).data);
        let elements = l.call.reads[2 * index].elements() as u32;
        let stream = group.streams[index];
        *part = SampledPart { mean, log_variance, y, elements, stream, first_block: blocks, unused: 0 };
        blocks += elements.div_ceil(PER_BLOCK);
    }
    let words = l.read(2 * group.parts as usize);
    let arguments = Arguments::new().with(group.parts).with(group.samples).with(u32::from(group.aligned));
    let arguments = arguments.with(words).with(table);
    l.launch("gaussian_samples", [blocks, 1, 1], THREADS, arguments);
}

/// `GradPart` of kernels/gaussian.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradPart {
    mean: Address,
    log_variance: Address,
    dy: Address,
    dmean: Address,
    dlog_variance: Address,
    elements: u32,
    stream: u32,
    add_mean: u32,
    add_log_variance: u32,
    first_block: u32,
    unused: u32,
}

pub fn samples_grad(l: &mut Lowering, group: &GaussianGroup) {
    let (blocks, table) = grad_parts(l, |index, part| GradPart {
        log_variance: l.read(2 * index).data,
        dy: l.read(2 * index + 1).data,
        stream: group.streams[index],
        ..part
    });
    let words = l.read(2 * group.parts as usize);
    let arguments = Arguments::new().with(group.parts).with(group.samples).with(u32::from(group.aligned));
    let arguments = arguments.with(words).with(table);
    l.launch("gaussian_samples_grad", [blocks, 1, 1], THREADS, arguments);
}

pub fn kl_grad(l: &mut Lowering, prior_scale: f32) {
    let (blocks, table) = grad_parts(l, |index, part| GradPart {
        mean: l.read(2 * index).data,
        log_variance: l.read(2 * index + 1).data,
        ..part
    });
    let parts = l.call.writes.len() / 2;
    let precision = f64::from(prior_scale).powi(-2) as f32;
    let arguments = Arguments::new().with(parts as u32).with(precision).with(l.read(2 * parts)).with(table);
    l.launch("gaussian_kl_grad", [blocks, 1, 1], THREADS, arguments);
}

/// The gradients that a call writes, two for each part, with what `with_reads` adds to them, and the blocks that they take.
fn grad_parts(l: &Lowering, with_reads: impl Fn(usize, GradPart) -> GradPart) -> (u32, [GradPart; MOST_PARTS]) {
    let mut table = [GradPart::zeroed(); MOST_PARTS];
    let mut blocks = 0;
    for (index, part) in table.iter_mut().enumerate().take(l.call.writes.len() / 2) {
        let (dmean, dlog_variance) = (l.write(2 * index), l.write(2 * index + 1));
        let elements = l.call.writes[2 * index].0.elements() as u32;
        let written = GradPart {
            dmean: dmean.data,
            dlog_variance: dlog_variance.data,
            elements,
            add_mean: dmean.add,
            add_log_variance: dlog_variance.add,
            first_block: blocks,
            ..GradPart::zeroed()
        };
        *part = with_reads(index, written);
        blocks += elements.div_ceil(PER_BLOCK);
    }
    (blocks, table)
}

/// `DivergentPart` of kernels/gaussian.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DivergentPart {
    mean: Address,
    log_variance: Address,
    elements: u32,
    unused: u32,
}

/// Partial sums of each part, as many as the longest has, then their sum.
pub fn kl(l: &mut Lowering, prior_scale: f32) {
    let parts = l.call.reads.len() / 2;
    let mut table = [DivergentPart::zeroed(); MOST_PARTS];
    for (index, part) in table.iter_mut().enumerate().take(parts) {
        let elements = l.call.reads[2 * index].elements() as u32;
        let (mean, log_variance) = (l.read(2 * index).data, l.read(2 * index + 1).data);
        *part = DivergentPart { mean, log_variance, elements, unused: 0 };
    }
    let (per_block, count) = cut(table.iter().map(|part| part.elements).max().unwrap_or(0));
    let partials = l.scratch::<f64>(count as usize * parts);
    let prior_scale = f64::from(prior_scale);
    let (precision, logarithm) = (prior_scale.powi(-2), prior_scale.ln());
    let arguments = Arguments::new().with(per_block).with(precision).with(logarithm).with(table).with(partials);
    l.launch("gaussian_kl_partials", [count, parts as u32, 1], SUM_THREADS, arguments);
    sum_partials(l, count * parts as u32, partials);
}
