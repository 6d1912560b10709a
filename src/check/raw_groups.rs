//! Groups of linear maps at addresses that vectors do not reach, each gradient set or added to on its own.

use super::raw_call::{Piece, RawCall};
use crate::call::*;

/// Rows, inputs and outputs of each map.
const GROUPS: [&[[usize; 3]]; 3] =
    [&[[3, 36, 300], [4, 64, 40], [1, 5, 3]], &[[5, 64, 64], [8, 132, 270]], &[[16, 40, 65], [9, 64, 300], [2, 3, 1]]];

pub(super) fn linear_groups() -> Vec<RawCall> {
    let functions = [Unary::LeakyRelu(0.2), Unary::Identity, Unary::Tanh];
    let mut calls = Vec::new();
    for (sizes, function) in GROUPS.into_iter().zip(functions) {
        let products = sizes.iter().map(|sizes| sizes.iter().product::<usize>()).sum::<usize>() as u32;
        let group = LinearGroup { maps: sizes.len() as u32, products, function, bias: true };
        calls.push(forward(group, sizes));
        calls.push(gradients(group, sizes, true));
        calls.push(gradients(LinearGroup { bias: false, ..group }, sizes, false));
    }
    let unaligned: Vec<RawCall> = calls.iter().cloned().map(RawCall::unaligned).collect();
    calls.into_iter().chain(unaligned).collect()
}

fn forward(group: LinearGroup, sizes: &[[usize; 3]]) -> RawCall {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for &[rows, inputs, outputs] in sizes {
        reads.extend([rows_of(rows, inputs), rows_of(outputs, inputs), Piece::real(outputs)]);
        writes.push((rows_of(rows, outputs), Write::Set));
    }
    RawCall { name: format!("{sizes:?}"), kind: Kind::LinearGroupForward(group), reads, writes }
}

fn gradients(group: LinearGroup, sizes: &[[usize; 3]], input_gradient: bool) -> RawCall {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    let has_function = group.function != Unary::Identity;
    for (map, &[rows, inputs, outputs]) in sizes.iter().enumerate() {
        let write = |output: usize| if (map + output).is_multiple_of(2) { Write::Add } else { Write::Set };
        reads.extend([rows_of(rows, inputs), rows_of(rows, outputs)]);
        reads.extend(has_function.then(|| rows_of(rows, outputs)));
        reads.extend(input_gradient.then(|| rows_of(outputs, inputs)));
        writes.push((rows_of(outputs, inputs), write(0)));
        writes.extend(group.bias.then(|| (Piece::real(outputs), write(1))));
        writes.extend(input_gradient.then(|| (rows_of(rows, inputs), write(2))));
        writes.extend(has_function.then(|| (rows_of(rows, outputs), Write::Set)));
    }
    let name = format!("{sizes:?}, dx {input_gradient}");
    RawCall { name, kind: Kind::LinearGroupGrad { group, input_gradient }, reads, writes }
}

fn rows_of(rows: usize, len: usize) -> Piece {
    Piece::blocks(rows, len, len)
}
