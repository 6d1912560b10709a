//! The nearest-neighbour estimator of `pairwise` with d = 1 for each weight alone, summed over weights:
//! kl = sum over d of (1/S) sum_j ln(nu / (rho + e) + e) + ln(S / (S - 1)), rho and nu the distances of w_j to the nearest
//! other sample and to the nearest prior draw, sqrt(difference^2 + e), e = 1e-8.

use super::columns::{MAX_ROWS, for_blocks};
use super::elementwise::{store, sum_in_parts};
use super::memory::with_scratch;
use super::pairwise::{BLOCK, EPSILON, prior_block};
use super::{Io, Real, Strided, StridedMut};
use crate::call::PairwiseDims;
use crate::random::Stream;
use crate::vectors;

pub fn forward<T: Real>(io: &Io<T>, dims: &PairwiseDims) {
    let stream = Stream::of_words(io.read_as(1), dims.stream);
    store(io.adds(0), &mut io.write(0)[0], T::of(divergence(dims, &stream, io.strided::<T>(0))));
}

pub fn grad<T: Real>(io: &Io<T>, dims: &PairwiseDims) {
    let stream = Stream::of_words(io.read_as(1), dims.stream);
    divergence_grad(dims, &stream, io.strided(0), io.read(2)[0], io.adds(0), io.strided_mut(0));
}

/// Scratch of one block of `len` weights.
struct Block<'a, T> {
    /// Prior draws [S, len].
    prior: &'a mut [T],
    /// Distance of a weight to the nearest other sample and to the nearest draw [len].
    near_w: &'a mut [T],
    near_p: &'a mut [T],
    /// d kl / d of those distances, over the distance with its epsilon [len].
    slope_w: &'a mut [T],
    slope_p: &'a mut [T],
    /// 1 until the nearest of a weight was found, then 0 [len].
    open: &'a mut [T],
}

/// Runs `work` with the prior draws of weights first..first + len.
fn with_block<T: Real, R>(
    dims: &PairwiseDims,
    stream: &Stream,
    (first, len): (usize, usize),
    work: impl FnOnce(Block<T>) -> R,
) -> R {
    let samples = dims.samples as usize;
    with_scratch((samples + 5) * len, |scratch: &mut [T]| {
        let (prior, rest) = scratch.split_at_mut(samples * len);
        for (i, prior) in prior.chunks_mut(len).enumerate() {
            prior_block(dims, stream, i, first, prior);
        }
        let (near_w, rest) = rest.split_at_mut(len);
        let (near_p, rest) = rest.split_at_mut(len);
        let (slope_w, rest) = rest.split_at_mut(len);
        let (slope_p, open) = rest.split_at_mut(len);
        work(Block { prior, near_w, near_p, slope_w, slope_p, open })
    })
}

/// nearest = min(nearest, |a - b|). Where a is not a number, nearest stays infinite and the quotient is not a number.
#[inline(always)]
fn approach<T: Real>(nearest: &mut [T], a: &[T], b: &[T]) {
    for ((nearest, &a), &b) in nearest.iter_mut().zip(a).zip(b) {
        *nearest = nearest.min((a - b).abs());
    }
}

impl<T: Real> Block<'_, T> {
    /// Finds both nearest distances of sample j, the weights of sample i being `w(i)`.
    #[inline(always)]
    fn find<'w>(&mut self, samples: usize, j: usize, w: impl Fn(usize) -> &'w [T]) {
        let infinity = T::ONE / T::ZERO;
        self.near_w.fill(infinity);
        self.near_p.fill(infinity);
        for i in (0..samples).filter(|&i| i != j) {
            approach(self.near_w, w(j), w(i));
        }
        for prior in self.prior.chunks(self.near_p.len()) {
            approach(self.near_p, w(j), prior);
        }
    }
}

/// sqrt(x^2 + e): never zero.
#[inline(always)]
fn distance<T: Real>(x: T) -> T {
    (x * x + T::of(EPSILON)).sqrt()
}

fn divergence<T: Real>(dims: &PairwiseDims, stream: &Stream, w: Strided<T>) -> f64 {
    let samples = dims.samples as usize;
    assert!(samples <= MAX_ROWS, "{samples} samples in a kernel for at most {MAX_ROWS}");
    let [sum] = sum_in_parts(dims.weights as usize, BLOCK, |range| {
        let mut sum = 0.0;
        for first in range.clone().step_by(BLOCK) {
            let len = BLOCK.min(range.end - first);
            sum += with_block(dims, stream, (first, len), |mut block| {
                // One logarithm for each weight, of the product over samples: 16 factors above 1e-8 stay inside f64.
                let mut product = [1.0; BLOCK];
                vectors::dispatch(
                    #[inline(always)]
                    || {
                        for j in 0..samples {
                            block.find(samples, j, |i| &w.block(i)[first..first + len]);
                            multiply_quotients(&mut product, block.near_w, block.near_p);
                        }
                    },
                );
                product[..len].iter().map(|product| product.ln()).sum::<f64>()
            });
        }
        [sum]
    });
    let count = samples as f64;
    sum / count + f64::from(dims.weights) * (count / (count - 1.0)).ln()
}

/// product *= nu / (rho + e) + e
#[inline(always)]
fn multiply_quotients<T: Real>(product: &mut [f64], near_w: &[T], near_p: &[T]) {
    let epsilon = T::of(EPSILON);
    for ((product, &near_w), &near_p) in product.iter_mut().zip(near_w).zip(near_p) {
        *product *= (distance(near_p) / (distance(near_w) + epsilon) + epsilon).f64();
    }
}

fn divergence_grad<T: Real>(dims: &PairwiseDims, stream: &Stream, w: Strided<T>, dkl: T, add: bool, dw: StridedMut<T>) {
    let samples = dims.samples as usize;
    assert!(samples <= MAX_ROWS, "{samples} samples in a kernel for at most {MAX_ROWS}");
    let factor = dkl / T::of(samples as f64);
    for_blocks(dw.blocks(), BLOCK, |corner, rows| {
        let (first, len) = (corner.column, rows[0].len());
        if !add {
            rows.iter_mut().for_each(|dw| dw.fill(T::ZERO));
        }
        let w = |i: usize| &w.block(i)[first..first + len];
        with_block(dims, stream, (first, len), |mut block| {
            vectors::dispatch(
                #[inline(always)]
                || {
                    for j in 0..samples {
                        block.find(samples, j, w);
                        slopes(factor, block.near_w, block.near_p, block.slope_w, block.slope_p);
                        pull_samples(&mut block, rows, j, w);
                        block.open.fill(T::ONE);
                        for prior in block.prior.chunks(len) {
                            pull_one(block.open, block.near_p, block.slope_p, w(j), prior, rows[j]);
                        }
                    }
                },
            );
        });
    });
}

/// Slopes of factor * ln(nu / (rho + e) + e) in the squared differences, times 2.
#[inline(always)]
fn slopes<T: Real>(factor: T, near_w: &[T], near_p: &[T], slope_w: &mut [T], slope_p: &mut [T]) {
    let epsilon = T::of(EPSILON);
    for (((&near_w, &near_p), slope_w), slope_p) in near_w.iter().zip(near_p).zip(slope_w).zip(slope_p) {
        let (rho, nu) = (distance(near_w), distance(near_p));
        let inverse = T::ONE / (rho + epsilon);
        let quotient = nu * inverse;
        let d_quotient = factor / (quotient + epsilon);
        *slope_w = -d_quotient * quotient * inverse / rho;
        *slope_p = d_quotient * inverse / nu;
    }
}

/// Pulls sample j and, the other way, whichever sample is nearest to it.
#[inline(always)]
fn pull_samples<'w, T: Real>(block: &mut Block<T>, rows: &mut [&mut [T]], j: usize, w: impl Fn(usize) -> &'w [T]) {
    block.open.fill(T::ONE);
    for i in 0..rows.len() {
        if let Ok([dw_j, dw_i]) = rows.get_disjoint_mut([j, i]) {
            pull_both(block.open, block.near_w, block.slope_w, w(j), w(i), dw_j, dw_i);
        }
    }
}

/// slope * (a - b) where b is the nearest to a and no earlier one was, else 0. Closes where b was taken.
#[inline(always)]
fn pull<T: Real>(open: &mut T, nearest: T, slope: T, difference: T) -> T {
    let taken = if difference.abs() == nearest { *open } else { T::ZERO };
    *open -= taken;
    taken * (slope * difference)
}

#[inline(always)]
fn pull_one<T: Real>(open: &mut [T], nearest: &[T], slope: &[T], a: &[T], b: &[T], dw: &mut [T]) {
    let state = open.iter_mut().zip(nearest).zip(slope);
    for ((((open, &nearest), &slope), (&a, &b)), dw) in state.zip(a.iter().zip(b)).zip(dw) {
        *dw += pull(open, nearest, slope, a - b);
    }
}

#[inline(always)]
fn pull_both<T: Real>(open: &mut [T], nearest: &[T], slope: &[T], a: &[T], b: &[T], dw_a: &mut [T], dw_b: &mut [T]) {
    let state = open.iter_mut().zip(nearest).zip(slope);
    let gradients = dw_a.iter_mut().zip(dw_b);
    for ((((open, &nearest), &slope), (&a, &b)), (dw_a, dw_b)) in state.zip(a.iter().zip(b)).zip(gradients) {
        let pull = pull(open, nearest, slope, a - b);
        *dw_a += pull;
        *dw_b -= pull;
    }
}

#[cfg(test)]
mod tests;
