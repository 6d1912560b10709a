//! Element by element: functions of one tensor and of two, constants, sums.

use super::launch::{Address, Arguments};
use super::lowering::{ELEMENT_THREADS, Function, In, Lowering, Out};
use crate::call::{MOST_PARTS, ScaleGroup, Unary};
use bytemuck::{Pod, Zeroable};

pub fn unary_forward(l: &mut Lowering, elements: u32, function: Unary) {
    let arguments = Arguments::new().with(elements).with(Function::from(function)).with(l.read(0)).with(l.write(0));
    l.launch_elements("unary", elements, arguments);
}

pub fn unary_grad(l: &mut Lowering, elements: u32, function: Unary) {
    let arguments =
        Arguments::new().with(elements).with(Function::from(function)).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("unary_grad", elements, arguments);
}

pub fn add_forward(l: &mut Lowering, elements: u32, beta: f32) {
    let arguments = Arguments::new().with(elements).with(beta).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("add", elements, arguments);
}

pub fn multiply(l: &mut Lowering, elements: u32) {
    let arguments = Arguments::new().with(elements).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("multiply", elements, arguments);
}

pub fn scale(l: &mut Lowering, elements: u32, factor: f32) {
    let arguments = Arguments::new().with(elements).with(factor).with(l.read(0)).with(l.write(0));
    l.launch_elements("scale", elements, arguments);
}

/// `ScaledPart` of kernels/elementwise.cu.
#[repr(C)]
#[derive(Clone, Copy, Zeroable, Pod)]
struct ScaledPart {
    x: In,
    y: Out,
    factor: f32,
    elements: u32,
    first_block: u32,
    unused: u32,
}

pub fn scale_group(l: &mut Lowering, group: &ScaleGroup) {
    let (blocks, table) = scaled_parts(l, &group.factors);
    l.launch("scale_group", [blocks, 1, 1], ELEMENT_THREADS, Arguments::new().with(group.parts).with(table));
}

/// The scalar is the last region read.
pub fn scale_by_scalar(l: &mut Lowering, factor: f32) {
    let (blocks, table) = scaled_parts(l, &[factor; MOST_PARTS]);
    let count = l.call.writes.len();
    let arguments = Arguments::new().with(count as u32).with(l.read(count)).with(table);
    l.launch("scale_by_scalar", [blocks, 1, 1], ELEMENT_THREADS, arguments);
}

/// Elements that a block of scaled parts handles; as in kernels/elementwise.cu.
const SCALED_PER_BLOCK: u32 = 1024;

/// The written regions of a call as scaled parts, and the blocks that they take.
fn scaled_parts(l: &Lowering, factors: &[f32; MOST_PARTS]) -> (u32, [ScaledPart; MOST_PARTS]) {
    let mut table = [ScaledPart::zeroed(); MOST_PARTS];
    let mut blocks = 0;
    for (index, part) in table.iter_mut().enumerate().take(l.call.writes.len()) {
        let elements = l.call.writes[index].0.elements() as u32;
        let (x, y, factor) = (l.read(index), l.write(index), factors[index]);
        *part = ScaledPart { x, y, factor, elements, first_block: blocks, unused: 0 };
        blocks += elements.div_ceil(SCALED_PER_BLOCK);
    }
    (blocks, table)
}

pub fn fill(l: &mut Lowering, elements: u32, value: f32) {
    let arguments = Arguments::new().with(elements).with(value).with(l.write(0));
    l.launch_elements("fill", elements, arguments);
}

/// Partial sums into scratch, then their sum.
pub fn sum(l: &mut Lowering, elements: u32) {
    let (per_block, count) = cut(elements);
    let partials = l.scratch::<f64>(count as usize);
    let arguments = Arguments::new().with(elements).with(per_block).with(l.read(0)).with(partials);
    l.launch("sum_partials", [count, 1, 1], SUM_THREADS, arguments);
    sum_partials(l, count, partials);
}

pub fn sum_grad(l: &mut Lowering, elements: u32) {
    let arguments = Arguments::new().with(elements).with(l.read(0)).with(l.write(0));
    l.launch_elements("sum_grad", elements, arguments);
}

/// `SummedPart` of kernels/elementwise.cu.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SummedPart {
    x: In,
    elements: u32,
    unused: u32,
}

/// Partial sums of each part, as many as the longest has, then their sum.
pub fn half_squared_norm(l: &mut Lowering) {
    let mut parts = [SummedPart::zeroed(); MOST_PARTS];
    for (index, region) in l.call.reads.iter().enumerate() {
        parts[index] = SummedPart { x: l.read(index), elements: region.elements() as u32, unused: 0 };
    }
    let (per_block, count) = cut(parts.iter().map(|part| part.elements).max().unwrap_or(0));
    let lists = l.call.reads.len() as u32;
    let partials = l.scratch::<f64>((count * lists) as usize);
    let arguments = Arguments::new().with(per_block).with(parts).with(partials);
    l.launch("half_squared_norm_partials", [count, lists, 1], SUM_THREADS, arguments);
    sum_partials(l, count * lists, partials);
}

/// Threads of a summing block; elements that it sums at least.
pub(super) const SUM_THREADS: u32 = 256;
const LEAST_PER_BLOCK: u32 = 4096;
/// Most partial sums: a function of the length alone keeps the order of a sum the same on every GPU.
const MOST_PARTIALS: u32 = 1024;

/// Elements of a summing block, and blocks.
pub(super) fn cut(elements: u32) -> (u32, u32) {
    let per_block = elements.div_ceil(MOST_PARTIALS).max(LEAST_PER_BLOCK);
    (per_block, elements.div_ceil(per_block).max(1))
}

/// The sum of `count` partial sums into the region that the call writes.
pub(super) fn sum_partials(l: &mut Lowering, count: u32, partials: Address) {
    let arguments = Arguments::new().with(count).with(partials).with(l.write(0));
    l.launch("sum", [1, 1, 1], SUM_THREADS, arguments);
}
