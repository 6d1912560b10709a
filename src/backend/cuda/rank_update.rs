//! Weight gradient of few rows, optimiser and input gradient in one pass over the weights.

use super::launch::Arguments;
use super::lowering::Lowering;
use super::optim::with_state;
use crate::call::{LinearDims, Moments, Optimizer};
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
    let updated = 1 + optimizer.moment_count();
    let element = if optimizer.moments() == Moments::Bf16 { 2 } else { 4 };
    let wide = l.write(0).data.is_multiple_of(16)
        && (1..updated).all(|index| l.write(index).data.is_multiple_of(4 * element))
        && l.call.writes[0].0.offset.is_multiple_of(4);
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
    let arguments = with_state(l, Arguments::new().with(rank_dims), optimizer);
    let grid = [parts.div_ceil(parts_per_block), columns.div_ceil(lanes), 1];
    l.launch(kernel, grid, THREADS, arguments.with(partials));
    if input_gradient {
        let arguments = Arguments::new().with(parts).with(elements).with(partials).with(l.write(updated));
        l.launch("linear_rank_update_sum", [elements.div_ceil(32), 1, 1], 256, arguments);
    }
}

/// The kernel for so many rows, and the neighbouring weights that one of its threads handles.
fn kernel(optimizer: Optimizer, rows: u32, wide: bool) -> (&'static str, u32) {
    let (most_rows, vector) = match rows {
        _ if !wide => (5, 1),
        1 => (0, 4),
        2 => (1, 4),
        3..=5 => (2, 4),
        6..=8 => (3, 4),
        _ => (4, 2),
    };
    let names = match (optimizer, optimizer.moments()) {
        (Optimizer::Adam { .. }, Moments::Fp32) => ADAM,
        (Optimizer::RmsProp { .. }, Moments::Fp32) => RMS_PROP,
        (Optimizer::Adam { .. }, Moments::Bf16) => ADAM_BF16,
        (Optimizer::RmsProp { .. }, Moments::Bf16) => RMS_PROP_BF16,
    };
    (names[most_rows], vector)
}

/// Kernels for up to 1, 2, 5, 8 and 16 rows, and for memory or widths that allow no wide accesses.
const ADAM: [&str; 6] = [
    "linear_rank_update_adam_1",
    "linear_rank_update_adam_2",
    "linear_rank_update_adam_5",
    "linear_rank_update_adam_8",
    "linear_rank_update_adam_16",
    "linear_rank_update_adam_scalar",
];
const RMS_PROP: [&str; 6] = [
    "linear_rank_update_rmsprop_1",
    "linear_rank_update_rmsprop_2",
    "linear_rank_update_rmsprop_5",
    "linear_rank_update_rmsprop_8",
    "linear_rank_update_rmsprop_16",
    "linear_rank_update_rmsprop_scalar",
];
const ADAM_BF16: [&str; 6] = [
    "linear_rank_update_adam_1_bf16",
    "linear_rank_update_adam_2_bf16",
    "linear_rank_update_adam_5_bf16",
    "linear_rank_update_adam_8_bf16",
    "linear_rank_update_adam_16_bf16",
    "linear_rank_update_adam_scalar_bf16",
];
const RMS_PROP_BF16: [&str; 6] = [
    "linear_rank_update_rmsprop_1_bf16",
    "linear_rank_update_rmsprop_2_bf16",
    "linear_rank_update_rmsprop_5_bf16",
    "linear_rank_update_rmsprop_8_bf16",
    "linear_rank_update_rmsprop_16_bf16",
    "linear_rank_update_rmsprop_scalar_bf16",
];
