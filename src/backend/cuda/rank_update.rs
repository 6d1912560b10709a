//! Weight gradient of few rows, optimiser and input gradient in one pass over the weights.

use super::launch::Arguments;
use super::lowering::Lowering;
use super::optim::Constants;
use crate::call::{LinearDims, Optimizer};
use bytemuck::{Pod, Zeroable};

/// Threads of a block; as in kernels/rank_update.cu.
const THREADS: u32 = 128;
/// Parts of the rows of w: several blocks for each of 132 multiprocessors, few enough that the partial sums of the input
/// gradient are small beside the weights.
const MOST_PARTS: u32 = 1056;
/// Rows that a thread walks at least.
const LEAST_ROWS: u32 = 8;

/// `RankDims` of kernels/rank_update.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct RankDims {
    rows: u32,
    inputs: u32,
    outputs: u32,
    lanes: u32,
    rows_per_part: u32,
    input_gradient: u32,
}

pub fn rank_update(l: &mut Lowering, dims: &LinearDims, optimizer: Optimizer, input_gradient: bool) {
    let updated = 1 + optimizer.moments();
    let wide = (0..updated).all(|index| l.write(index).data.is_multiple_of(16));
    let (kernel, vector) = kernel(optimizer, dims.rows, wide && dims.inputs.is_multiple_of(4));
    let columns = dims.inputs.div_ceil(vector);
    let lanes = columns.next_power_of_two().min(THREADS);
    let parts_per_block = THREADS / lanes;
    let rows_per_part = dims.outputs.div_ceil(MOST_PARTS).max(LEAST_ROWS);
    let parts = dims.outputs.div_ceil(rows_per_part);
    let elements = dims.rows * dims.inputs;
    let partials = if input_gradient { l.scratch::<f32>((parts * elements) as usize) } else { 0 };
    let rank_dims = RankDims {
        rows: dims.rows,
        inputs: dims.inputs,
        outputs: dims.outputs,
        lanes,
        rows_per_part,
        input_gradient: input_gradient.into(),
    };
    let arguments = Arguments::new().with(rank_dims).with(Constants::from(optimizer));
    let arguments = (0..3).fold(arguments, |arguments, index| arguments.with(l.read(index)));
    let arguments = (0..updated).fold(arguments, |arguments, index| arguments.with(l.write(index)));
    let grid = [parts.div_ceil(parts_per_block), columns.div_ceil(lanes), 1];
    l.launch(kernel, grid, THREADS, arguments.with(partials));
    if input_gradient {
        let arguments = Arguments::new().with(parts).with(elements).with(partials).with(l.write(updated));
        l.launch("linear_rank_update_sum", [elements.div_ceil(32), 1, 1], 256, arguments);
    }
}

/// The kernel for so many rows, and the neighbouring weights that one of its threads handles.
fn kernel(optimizer: Optimizer, rows: u32, wide: bool) -> (&'static str, u32) {
    let adam = optimizer.moments() == 2;
    let choose = |of_adam, of_rms_prop| if adam { of_adam } else { of_rms_prop };
    match rows {
        _ if !wide => (choose("linear_rank_update_adam_scalar", "linear_rank_update_rmsprop_scalar"), 1),
        1 => (choose("linear_rank_update_adam_1", "linear_rank_update_rmsprop_1"), 4),
        2 => (choose("linear_rank_update_adam_2", "linear_rank_update_rmsprop_2"), 4),
        3..=5 => (choose("linear_rank_update_adam_5", "linear_rank_update_rmsprop_5"), 4),
        6..=8 => (choose("linear_rank_update_adam_8", "linear_rank_update_rmsprop_8"), 4),
        _ => (choose("linear_rank_update_adam_16", "linear_rank_update_rmsprop_16"), 2),
    }
}
