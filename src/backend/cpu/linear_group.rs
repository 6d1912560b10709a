//! Groups of small linear maps: one map after another, each as a single call would compute it.

use super::{Io, Real, Strided, StridedMut, bias, elementwise, linear};
use crate::call::*;

/// For each map x, w, b if any -> y
pub fn forward<T: Real>(io: &Io<T>, group: &LinearGroup) {
    for map in 0..group.maps as usize {
        let x = map * group.forward_reads();
        let bias = group.bias.then(|| one_block(io.read(x + 2)));
        let sizes = sizes(io, x, io.written_blocks(map));
        linear::forward_map(sizes, group.function, io.read(x), one_block(io.read(x + 1)), bias, io.write(map));
    }
}

/// For each map x, dy, y, w -> dw, db, dx, dz
pub fn grad<T: Real>(io: &Io<T>, group: &LinearGroup, input_gradient: bool) {
    for map in 0..group.maps as usize {
        grad_of_map(io, group.function, group.grad_places(input_gradient, map));
    }
}

fn grad_of_map<T: Real>(io: &Io<T>, function: Unary, at: GradPlaces) {
    let (x, dy) = (io.read(at.x), io.read(at.dy));
    let dy_blocks = io.strided::<T>(at.dy);
    let d = sizes(io, at.x, (dy_blocks.count, dy_blocks.len));
    let dz = match (at.y, at.dz) {
        (Some(y), Some(dz)) => {
            let dz = io.write(dz);
            elementwise::apply_grad(function, false, io.read(y), dy, dz);
            &*dz
        }
        _ => dy,
    };
    if let Some(db) = at.db {
        let dims = BiasDims { samples: 1, rows: d.rows as u32, channels: d.outputs as u32, inner: 1 };
        bias::grad_slices(&dims, dz, one_block_mut(io.write(db)), io.adds(db));
    }
    linear::grad_weight_slices(d, x, dz, one_block_mut(io.write(at.dw)), io.adds(at.dw));
    if let (Some(w), Some(dx)) = (at.w, at.dx) {
        linear::grad_input_slices(d, dz, one_block(io.read(w)), io.write(dx), io.adds(dx));
    }
}

/// Sizes of the map whose x is read region `x` and whose y (or dy) has `rows` blocks of `outputs`.
fn sizes<T: Real>(io: &Io<T>, x: usize, (rows, outputs): (usize, usize)) -> linear::Sizes {
    linear::Sizes { samples: 1, rows, inputs: io.strided::<T>(x).len, outputs, shared_input: false }
}

fn one_block<T: Real>(slice: &[T]) -> Strided<'_, T> {
    Strided::from_slice(slice, 1, slice.len(), slice.len())
}

fn one_block_mut<T: Real>(slice: &mut [T]) -> StridedMut<'_, T> {
    let len = slice.len();
    StridedMut::from_slice(slice, 1, len, len)
}
