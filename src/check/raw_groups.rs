//! Groups of linear maps and of Gaussian weights at addresses that vectors do not reach, each gradient set or added to on its own.

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

/// Elements of each tensor of Gaussian weights.
const GAUSSIANS: [&[usize]; 3] = [&[1, 17, 512], &[516, 33], &[4100]];

/// Gaussian weights, at addresses that vectors reach and that they do not, each gradient set or added to on its own.
pub(super) fn gaussians() -> Vec<RawCall> {
    let mut calls = Vec::new();
    for (sizes, samples) in GAUSSIANS.into_iter().zip([1, 5, 3]) {
        let mut group = GaussianGroup::empty(samples);
        sizes.iter().zip(100..).for_each(|(&size, stream)| group.push(size as u32, stream));
        let call = |kind: Kind, reads: Vec<Piece>, writes: Vec<(Piece, Write)>| RawCall {
            name: format!("{samples} of {sizes:?}"),
            kind,
            reads,
            writes,
        };
        let parameters: Vec<Piece> = sizes.iter().flat_map(|&size| [Piece::real(size), Piece::real(size)]).collect();
        let drawn: Vec<Piece> = sizes.iter().map(|&size| rows_of(samples as usize, size)).collect();
        let with = |mut reads: Vec<Piece>, last: Piece| {
            reads.push(last);
            reads
        };
        let words = Piece::words(&[3, 0xdead_beef, 17, 0]);
        let drawn_set = drawn.iter().map(|y| (y.clone(), Write::Set)).collect();
        calls.push(call(Kind::GaussianSamples(group), with(parameters.clone(), words.clone()), drawn_set));
        for modes in [[Write::Set, Write::Add], [Write::Add, Write::Set]] {
            let gradients: Vec<_> = parameters.iter().cloned().zip(modes.into_iter().cycle()).collect();
            let known = sizes.iter().zip(&drawn).flat_map(|(&size, dy)| [Piece::real(size), dy.clone()]).collect();
            calls.push(call(Kind::GaussianSamplesGrad(group), with(known, words.clone()), gradients.clone()));
            let kind = Kind::GaussianKlGrad { elements: group.elements, prior_scale: 0.7 };
            calls.push(call(kind, with(parameters.clone(), Piece::real(1)), gradients));
        }
        for write in [Write::Set, Write::Add] {
            let kind = Kind::GaussianKl { elements: group.elements, prior_scale: 0.7 };
            calls.push(call(kind, parameters.clone(), vec![(Piece::real(1), write)]));
        }
    }
    let unaligned: Vec<RawCall> = calls.iter().cloned().map(RawCall::unaligned).collect();
    calls.into_iter().chain(unaligned).collect()
}
