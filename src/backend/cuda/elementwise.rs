//! Element by element: functions of one tensor and of two, constants, sums.

use super::launch::Arguments;
use super::lowering::{ELEMENT_THREADS, Function, In, Lowering, Out};
use crate::call::{ScaleGroup, Unary};
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
    let mut table = [ScaledPart::zeroed(); ScaleGroup::MOST_PARTS];
    let mut blocks = 0;
    for (part, entry) in table.iter_mut().enumerate().take(group.parts as usize) {
        let elements = l.call.reads[part].elements() as u32;
        let (x, y, factor) = (l.read(part), l.write(part), group.factors[part]);
        *entry = ScaledPart { x, y, factor, elements, first_block: blocks, unused: 0 };
        blocks += elements.div_ceil(SCALED_PER_BLOCK);
    }
    let arguments = Arguments::new().with(group.parts).with(table);
    l.launch("scale_group", [blocks, 1, 1], ELEMENT_THREADS, arguments);
}

/// Elements that a block of a group of scaled parts handles; as in kernels/elementwise.cu.
const SCALED_PER_BLOCK: u32 = 1024;

pub fn scale_by_scalar(l: &mut Lowering, elements: u32, factor: f32) {
    let arguments = Arguments::new().with(elements).with(factor).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("scale_by_scalar", elements, arguments);
}

pub fn fill(l: &mut Lowering, elements: u32, value: f32) {
    let arguments = Arguments::new().with(elements).with(value).with(l.write(0));
    l.launch_elements("fill", elements, arguments);
}

pub fn sum(l: &mut Lowering, elements: u32) {
    reduce(l, "sum_partials", elements);
}

pub fn sum_grad(l: &mut Lowering, elements: u32) {
    let arguments = Arguments::new().with(elements).with(l.read(0)).with(l.write(0));
    l.launch_elements("sum_grad", elements, arguments);
}

pub fn half_squared_norm(l: &mut Lowering, elements: u32) {
    reduce(l, "half_squared_norm_partials", elements);
}

/// Threads of a summing block; elements that it sums at least.
const SUM_THREADS: u32 = 256;
const LEAST_PER_BLOCK: u32 = 4096;
/// Most partial sums: a function of the length alone keeps the order of a sum the same on every GPU.
const MOST_PARTIALS: u32 = 1024;

/// Partial sums into scratch, then their sum.
fn reduce(l: &mut Lowering, partials_kernel: &'static str, elements: u32) {
    let per_block = elements.div_ceil(MOST_PARTIALS).max(LEAST_PER_BLOCK);
    let count = elements.div_ceil(per_block).max(1);
    let partials = l.scratch::<f64>(count as usize);
    let arguments = Arguments::new().with(elements).with(per_block).with(l.read(0)).with(partials);
    l.launch(partials_kernel, [count, 1, 1], SUM_THREADS, arguments);
    let arguments = Arguments::new().with(count).with(partials).with(l.write(0));
    l.launch("sum", [1, 1, 1], SUM_THREADS, arguments);
}
