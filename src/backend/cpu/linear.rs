//! y[s,n,o] = f(sum_i x[s,n,i] w[s,o,i] + b[s,o]) and its gradients.

use super::activation::activate;
use super::matmul::{Matrix, Products, par_gemm};
use super::skinny;
use super::{Io, Real, Strided, StridedMut};
use crate::call::*;

/// Dims of a linear map as indices.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub samples: usize,
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub shared_input: bool,
}

impl From<&LinearDims> for Sizes {
    fn from(d: &LinearDims) -> Self {
        Self {
            samples: d.samples as usize,
            rows: d.rows as usize,
            inputs: d.inputs as usize,
            outputs: d.outputs as usize,
            shared_input: d.shared_input == 1,
        }
    }
}

impl Sizes {
    /// Sample `s` of x [S or 1, N, I].
    pub fn input_of<'a, T>(&self, x: &'a [T], s: usize) -> &'a [T] {
        let len = self.rows * self.inputs;
        let first = if self.shared_input { 0 } else { s * len };
        &x[first..first + len]
    }

    /// Sample `s` of y [S, N, O].
    pub fn output_of<'a, T>(&self, y: &'a [T], s: usize) -> &'a [T] {
        let len = self.rows * self.outputs;
        &y[s * len..(s + 1) * len]
    }
}

/// x [S or 1, N, I], w [S]-strided [O, I], b [S]-strided [O] if `bias` -> y [S, N, O]
pub fn forward<T: Real>(io: &Io<T>, d: &LinearDims, function: Unary) {
    let bias = (d.bias == 1).then(|| io.strided::<T>(2));
    forward_map(d.into(), function, io.read(0), io.strided(1), bias, io.write(0));
}

/// The same for regions that are already slices.
pub fn forward_map<T: Real>(d: Sizes, function: Unary, x: &[T], w: Strided<T>, bias: Option<Strided<T>>, y: &mut [T]) {
    if d.rows <= skinny::MOST_ROWS {
        skinny::forward(d, function, x, w, bias, y);
    } else {
        forward_slices(d, function, x, w, bias, y);
    }
}

fn forward_slices<T: Real>(d: Sizes, function: Unary, x: &[T], w: Strided<T>, bias: Option<Strided<T>>, y: &mut [T]) {
    let len = d.rows * d.outputs;
    let p = Products { blocks: d.samples, terms: 1, m: d.rows, n: d.outputs, k: d.inputs, add: false };
    par_gemm(
        p,
        StridedMut::from_slice(y, d.samples, len, len),
        |s, _| Matrix::rows(d.input_of(x, s), d.inputs),
        |s, _| Matrix::transposed(w.block(s), d.inputs),
        |s, first, row| finish(row, bias.map(|b| &b.block(s)[first..]), function),
    );
}

/// Adds the bias of a piece of a row, then applies the function.
pub fn finish<T: Real>(row: &mut [T], bias: Option<&[T]>, function: Unary) {
    if let Some(bias) = bias {
        row.iter_mut().zip(bias).for_each(|(y, b)| *y += *b);
    }
    activate(row, function);
}

/// dy, w -> dx; summed over samples when they share x.
pub fn grad_input<T: Real>(io: &Io<T>, d: &LinearDims) {
    grad_input_slices(d.into(), io.read(0), io.strided(1), io.write(0), io.adds(0));
}

pub fn grad_input_slices<T: Real>(d: Sizes, dy: &[T], w: Strided<T>, dx: &mut [T], add: bool) {
    let (blocks, terms) = if d.shared_input { (1, d.samples) } else { (d.samples, 1) };
    let len = d.rows * d.inputs;
    par_gemm(
        Products { blocks, terms, m: d.rows, n: d.inputs, k: d.outputs, add },
        StridedMut::from_slice(dx, blocks, len, len),
        |block, term| Matrix::rows(d.output_of(dy, block + term), d.outputs),
        |block, term| Matrix::rows(w.block(block + term), d.inputs),
        |_, _, _| {},
    );
}

/// x, dy -> dw [S]-strided
pub fn grad_weight<T: Real>(io: &Io<T>, d: &LinearDims) {
    grad_weight_slices(d.into(), io.read(0), io.read(1), io.strided_mut(0), io.adds(0));
}

pub fn grad_weight_slices<T: Real>(d: Sizes, x: &[T], dy: &[T], dw: StridedMut<T>, add: bool) {
    par_gemm(
        Products { blocks: d.samples, terms: 1, m: d.outputs, n: d.inputs, k: d.rows, add },
        dw,
        |s, _| Matrix::transposed(d.output_of(dy, s), d.outputs),
        |s, _| Matrix::rows(d.input_of(x, s), d.inputs),
        |_, _, _| {},
    );
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
