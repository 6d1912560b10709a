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

pub fn forward<T: Real>(io: &Io<T>, dims: &PairwiseDims) {
    let stream = Stream::of_words(io.read_as(1), dims.stream);
    store(io.adds(0), &mut io.write(0)[0], T::of(divergence(dims, &stream, io.strided::<T>(0))));
}

pub fn grad<T: Real>(io: &Io<T>, dims: &PairwiseDims) {
    let stream = Stream::of_words(io.read_as(1), dims.stream);
    divergence_grad(dims, &stream, io.strided(0), io.read(2)[0], io.adds(0), io.strided_mut(0));
}

/// Signed differences to the nearest value so far, for each weight of a block, and who that is.
struct Nearest<'a, T> {
    difference: &'a mut [T],
    index: &'a mut [T],
}

impl<T: Real> Nearest<'_, T> {
    /// Forgets all: the next value is the nearest.
    #[inline(always)]
    fn clear(&mut self) {
        self.difference.fill(T::ONE / T::ZERO);
    }

    /// Takes candidate `index` with values `b` where it is nearer to `a`.
    #[inline(always)]
    fn offer(&mut self, index: usize, a: &[T], b: &[T]) {
        let index = T::of(index as f64);
        let state = self.difference.iter_mut().zip(&mut *self.index);
        for (((best, best_index), &a), &b) in state.zip(a).zip(b) {
            let difference = a - b;
            // Not-a-number is never farther: it must reach the result.
            let farther = difference.abs() >= best.abs();
            *best = if farther { *best } else { difference };
            *best_index = if farther { *best_index } else { index };
        }
    }
}

/// Scratch of one block: prior draws [S, len], then difference and index of both nearest values.
struct Block<'a, T> {
    prior: &'a [T],
    near_w: Nearest<'a, T>,
    near_p: Nearest<'a, T>,
}

/// Runs `work` with the prior draws of weights first..first + len and room for the nearest values.
fn with_block<T: Real, R>(
    dims: &PairwiseDims,
    stream: &Stream,
    first: usize,
    len: usize,
    work: impl FnOnce(Block<T>) -> R,
) -> R {
    let samples = dims.samples as usize;
    with_scratch((samples + 4) * len, |scratch: &mut [T]| {
        let (prior, rest) = scratch.split_at_mut(samples * len);
        for (i, prior) in prior.chunks_mut(len).enumerate() {
            prior_block(dims, stream, i, first, prior);
        }
        let (w, p) = rest.split_at_mut(2 * len);
        let ((w, w_index), (p, p_index)) = (w.split_at_mut(len), p.split_at_mut(len));
        let near_w = Nearest { difference: w, index: w_index };
        let near_p = Nearest { difference: p, index: p_index };
        work(Block { prior, near_w, near_p })
    })
}

impl<T: Real> Block<'_, T> {
    /// Finds the nearest values of sample j, whose weights are `w(j)`.
    #[inline(always)]
    fn find<'w>(&mut self, samples: usize, j: usize, w: impl Fn(usize) -> &'w [T]) {
        self.near_w.clear();
        self.near_p.clear();
        let len = self.near_w.difference.len();
        for i in 0..samples {
            if i != j {
                self.near_w.offer(i, w(j), w(i));
            }
            self.near_p.offer(i, w(j), &self.prior[i * len..(i + 1) * len]);
        }
    }
}

/// Distance of a difference, never zero.
#[inline(always)]
fn distance<T: Real>(difference: T) -> T {
    (difference * difference + T::of(EPSILON)).sqrt()
}

fn divergence<T: Real>(dims: &PairwiseDims, stream: &Stream, w: Strided<T>) -> f64 {
    let samples = dims.samples as usize;
    let epsilon = T::of(EPSILON);
    let [sum] = sum_in_parts(dims.weights as usize, BLOCK, |range| {
        let mut sum = 0.0;
        for first in range.clone().step_by(BLOCK) {
            let len = BLOCK.min(range.end - first);
            with_block(dims, stream, first, len, |mut block| {
                for j in 0..samples {
                    pulp::Arch::new().dispatch(|| block.find(samples, j, |i| &w.block(i)[first..first + len]));
                    let pairs = block.near_w.difference.iter().zip(&*block.near_p.difference);
                    for (&near_w, &near_p) in pairs {
                        sum += (distance(near_p) / (distance(near_w) + epsilon) + epsilon).ln().f64();
                    }
                }
            });
        }
        [sum]
    });
    let count = samples as f64;
    sum / count + f64::from(dims.weights) * (count / (count - 1.0)).ln()
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
        with_block(dims, stream, first, len, |mut block| {
            for j in 0..samples {
                pulp::Arch::new().dispatch(|| {
                    block.find(samples, j, |i| &w.block(i)[first..first + len]);
                    add_slopes(factor, &mut block, rows[j]);
                    for i in (0..samples).filter(|&i| i != j) {
                        subtract_from_partner(T::of(i as f64), &block.near_w, rows[i]);
                    }
                });
            }
        });
    });
}

/// Adds the gradient of sample j's term to dw_j, and leaves the part that its partner gets with the opposite sign in
/// `near_w.difference`.
#[inline(always)]
fn add_slopes<T: Real>(factor: T, block: &mut Block<T>, dw: &mut [T]) {
    let epsilon = T::of(EPSILON);
    let differences = block.near_w.difference.iter_mut().zip(&*block.near_p.difference);
    for ((near_w, &near_p), dw) in differences.zip(dw) {
        let (rho, nu) = (distance(*near_w), distance(near_p));
        let inverse = T::ONE / (rho + epsilon);
        let quotient = nu * inverse;
        let d_quotient = factor / (quotient + epsilon);
        let from_w = -d_quotient * quotient * inverse * *near_w / rho;
        *dw += from_w + d_quotient * inverse * near_p / nu;
        *near_w = from_w;
    }
}

/// dw_i -= the part of w_i's pull, where sample i is the nearest.
#[inline(always)]
fn subtract_from_partner<T: Real>(i: T, near_w: &Nearest<T>, dw: &mut [T]) {
    for ((dw, &slope), &index) in dw.iter_mut().zip(&*near_w.difference).zip(&*near_w.index) {
        *dw -= if index == i { slope } else { T::ZERO };
    }
}

#[cfg(test)]
mod tests;
