//! Groups of small linear maps: one launch for all of them.

use super::launch::{Address, Arguments};
use super::lowering::{Function, Lowering};
use crate::call::LinearGroup;
use bytemuck::{Pod, Zeroable};

/// `ForwardMap` of kernels/linear_group.cu.
#[repr(C)]
#[derive(Clone, Copy, Zeroable, Pod)]
struct ForwardMap {
    x: Address,
    w: Address,
    bias: Address,
    y: Address,
    rows: u32,
    inputs: u32,
    outputs: u32,
    first_block: u32,
}

/// `GradMap` of kernels/linear_group.cu.
#[repr(C)]
#[derive(Clone, Copy, Zeroable, Pod)]
struct GradMap {
    x: Address,
    dy: Address,
    y: Address,
    w: Address,
    dw: Address,
    db: Address,
    dx: Address,
    rows: u32,
    inputs: u32,
    outputs: u32,
    add_dw: u32,
    add_db: u32,
    add_dx: u32,
    first_block: u32,
    weight_tiles: u32,
}

pub fn forward(l: &mut Lowering, group: &LinearGroup) {
    let mut table = [ForwardMap::zeroed(); LinearGroup::MOST_MAPS];
    let rows = most_rows(l, group, group.forward_reads());
    let (kernel, outputs_of_warp) = match rows {
        0..=4 => ("linear_group_4_rows", 8),
        5..=8 => ("linear_group_8_rows", 4),
        _ => ("linear_group_16_rows", 4),
    };
    let mut blocks = 0;
    for (map, entry) in table.iter_mut().enumerate().take(group.maps as usize) {
        let x = map * group.forward_reads();
        let (rows, inputs) = sizes(l, x);
        let y = l.write(map);
        assert_eq!(y.add, 0, "groups of maps overwrite");
        *entry = ForwardMap {
            x: l.read(x).data,
            w: l.read(x + 1).data,
            bias: l.read_if(group.bias, x + 2).data,
            y: y.data,
            rows,
            inputs,
            outputs: y.len,
            first_block: blocks,
        };
        blocks += y.len.div_ceil(WARPS * outputs_of_warp);
    }
    let arguments = Arguments::new().with(group.maps).with(Function::from(group.function)).with(table);
    l.launch(kernel, [blocks, 1, 1], 32 * WARPS, arguments);
}

pub fn grad(l: &mut Lowering, group: &LinearGroup, input_gradient: bool) {
    let mut table = [GradMap::zeroed(); LinearGroup::MOST_MAPS];
    let mut blocks = 0;
    let mut most_rows = 0;
    for (map, entry) in table.iter_mut().enumerate().take(group.maps as usize) {
        let at = group.grad_places(input_gradient, map);
        let (rows, inputs) = sizes(l, at.x);
        let (_, outputs) = sizes(l, at.dy);
        let read = |place: Option<usize>| place.map_or(0, |place| l.read(place).data);
        let write = |place: Option<usize>| place.map(|place| l.write(place)).map_or((0, 0), |out| (out.data, out.add));
        let [(dw, add_dw), (db, add_db), (dx, add_dx)] = [Some(at.dw), at.db, at.dx].map(write);
        let [x, dy, y, w] = [Some(at.x), Some(at.dy), at.y, at.w].map(read);
        let first_block = blocks;
        let weight_tiles = outputs.div_ceil(TILE) * inputs.div_ceil(TILE);
        *entry = GradMap {
            x,
            dy,
            y,
            w,
            dw,
            db,
            dx,
            rows,
            inputs,
            outputs,
            add_dw,
            add_db,
            add_dx,
            first_block,
            weight_tiles,
        };
        blocks += weight_tiles + if input_gradient { inputs.div_ceil(INPUT_COLUMNS) } else { 0 };
        most_rows = most_rows.max(rows);
    }
    let kernel = match most_rows {
        0..=4 => "linear_group_grad_4_rows",
        5..=8 => "linear_group_grad_8_rows",
        _ => "linear_group_grad_16_rows",
    };
    let arguments = Arguments::new().with(group.maps).with(Function::from(group.function)).with(table);
    l.launch(kernel, [blocks, 1, 1], GRAD_THREADS, arguments);
}

/// Number and length of the blocks of a read region.
fn sizes(l: &Lowering, read: usize) -> (u32, u32) {
    let region = &l.call.reads[read];
    (region.count as u32, region.len as u32)
}

/// Rows of the map that has most of them; x is the first of `reads` regions of each.
fn most_rows(l: &Lowering, group: &LinearGroup, reads: usize) -> u32 {
    (0..group.maps as usize).map(|map| sizes(l, map * reads).0).max().unwrap_or(0)
}

/// Warps of a block of kernels/skinny.cuh; the tile of dw and the columns of dx that a block computes, and its threads.
const WARPS: u32 = 8;
const TILE: u32 = 64;
const INPUT_COLUMNS: u32 = 16;
const GRAD_THREADS: u32 = 128;
