//! Kullback-Leibler divergence by nearest neighbours (Wang, Kulkarni & Verdu 2009, eq. 17 with k = 1) between S generated
//! weight vectors and S draws of the prior. The draws are never stored: each walk over the weights regenerates them.

use super::columns::{MAX_ROWS, for_blocks};
use super::elementwise::{store, sum_in_parts};
use super::memory::with_scratch;
use super::noise::normals;
use super::{Io, Real, Strided, StridedMut};
use crate::call::{NearestDims, PairwiseDims};
use crate::random::Stream;
use crate::vectors;

/// Weights of one block: a block of all samples and draws stays in the nearest caches. Sums within a block are in the
/// precision of the weights, sums over blocks in f64.
pub const BLOCK: usize = 512;
/// Independent accumulators of one squared distance.
const LANES: usize = 32;
/// Distances of both kinds between at most 16 samples.
const DISTANCES: usize = 2 * MAX_ROWS * MAX_ROWS;
/// Added to squared distances under the root, to distances in a quotient and to the quotient under the logarithm.
pub const EPSILON: f64 = 1e-8;

pub fn distances<T: Real>(io: &Io<T>, dims: &PairwiseDims) {
    let stream = Stream::of_words(io.read_as(1), dims.stream);
    squared_distances(dims, &stream, io.strided::<T>(0), io.adds(0), io.write_as(0));
}

pub fn nearest_neighbour_kl<T: Real>(io: &Io<T>, dims: &NearestDims) {
    let kl = nearest(dims, io.read_as(0), io.write_as(1), io.write(2));
    store(io.adds(0), &mut io.write(0)[0], T::of(kl));
}

pub fn distances_grad<T: Real>(io: &Io<T>, dims: &PairwiseDims) {
    let stream = Stream::of_words(io.read_as(1), dims.stream);
    let neighbours = Neighbours { partner: io.read_as(2), slope: io.read(3), dkl: io.read(4)[0] };
    squared_distances_grad(dims, &stream, io.strided(0), &neighbours, io.adds(0), io.strided_mut(0));
}

/// Weights `first`.. of prior draw `sample`, in units of the weights.
pub fn prior_block<T: Real>(dims: &PairwiseDims, stream: &Stream, sample: usize, first: usize, out: &mut [T]) {
    let element = sample as u64 * u64::from(dims.total) + u64::from(dims.first) + first as u64;
    normals(stream, element, out);
    let scale = T::of(dims.prior_scale.into());
    if scale != T::ONE {
        vectors::dispatch(
            #[inline(always)]
            || out.iter_mut().for_each(|p| *p *= scale),
        );
    }
}

/// |a - b|^2 of one block.
#[inline(always)]
fn squared_distance<T: Real>(a: &[T], b: &[T]) -> f64 {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [T::ZERO; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            let difference = a[i] - b[i];
            lanes[i] += difference * difference;
        }
    }
    let tail = a_tail.iter().zip(b_tail).map(|(&a, &b)| (a - b) * (a - b)).sum::<T>();
    lanes.iter().map(|lane| lane.f64()).sum::<f64>() + tail.f64()
}

/// out [2, S, S]: |w_i - w_j|^2, then |p_i - w_j|^2.
fn squared_distances<T: Real>(dims: &PairwiseDims, stream: &Stream, w: Strided<T>, add: bool, out: &mut [f64]) {
    let samples = dims.samples as usize;
    assert!(samples <= MAX_ROWS, "{samples} samples in a kernel for at most {MAX_ROWS}");
    let sums: [f64; DISTANCES] = sum_in_parts(dims.weights as usize, BLOCK, |range| {
        let mut sums = [0.0; DISTANCES];
        for first in range.clone().step_by(BLOCK) {
            let len = BLOCK.min(range.end - first);
            with_scratch(samples * len, |prior: &mut [T]| {
                for (i, prior) in prior.chunks_mut(len).enumerate() {
                    prior_block(dims, stream, i, first, prior);
                }
                vectors::dispatch(
                    #[inline(always)]
                    || add_block(samples, &w, first, len, prior, &mut sums),
                );
            });
        }
        sums
    });
    for i in 0..samples {
        for j in 0..samples {
            let (low, high) = (i.min(j), i.max(j));
            let values = [sums[low * MAX_ROWS + high], sums[(MAX_ROWS + i) * MAX_ROWS + j]];
            for (kind, value) in values.into_iter().enumerate() {
                store(add, &mut out[(kind * samples + i) * samples + j], value);
            }
        }
    }
}

/// Adds one block's distances to sums [2, 16, 16]; of those between weights only i < j.
#[inline(always)]
fn add_block<T: Real>(samples: usize, w: &Strided<T>, first: usize, len: usize, prior: &[T], sums: &mut [f64]) {
    for j in 0..samples {
        let w_j = &w.block(j)[first..first + len];
        for i in 0..j {
            sums[i * MAX_ROWS + j] += squared_distance(&w.block(i)[first..first + len], w_j);
        }
        for (i, prior) in prior.chunks(len).enumerate() {
            sums[(MAX_ROWS + i) * MAX_ROWS + j] += squared_distance(prior, w_j);
        }
    }
}

/// Index and value of the smallest squared distance; the first of equals.
fn smallest(distances: impl Iterator<Item = (usize, f64)>) -> (usize, f64) {
    distances.fold((0, f64::INFINITY), |best, next| if next.1 < best.1 || next.1.is_nan() { next } else { best })
}

/// KL of distances [parts, 2, S, S]; fills partner [2, S] and slope [2, S] = d kl / d squared distance to the partner.
fn nearest<T: Real>(dims: &NearestDims, distances: &[f64], partner: &mut [u32], slope: &mut [T]) -> f64 {
    let samples = dims.samples as usize;
    let squared = |kind: usize, i: usize, j: usize| -> f64 {
        distances.chunks(2 * samples * samples).map(|part| part[(kind * samples + i) * samples + j]).sum()
    };
    let per_sample = f64::from(dims.total) / samples as f64;
    let mut kl = (samples as f64 / (samples as f64 - 1.0)).ln();
    for j in 0..samples {
        let near_w = smallest((0..samples).filter(|&i| i != j).map(|i| (i, squared(0, i, j))));
        let near_p = smallest((0..samples).map(|i| (i, squared(1, i, j))));
        let [rho, nu] = [near_w.1, near_p.1].map(|d| (d + EPSILON).sqrt());
        let quotient = nu / (rho + EPSILON);
        kl += per_sample * (quotient + EPSILON).ln();
        let d_quotient = per_sample / (quotient + EPSILON);
        let d_rho = -d_quotient * quotient / (rho + EPSILON);
        let d_nu = d_quotient / (rho + EPSILON);
        partner[j] = near_w.0 as u32;
        partner[samples + j] = near_p.0 as u32;
        slope[j] = T::of(d_rho / (2.0 * rho));
        slope[samples + j] = T::of(d_nu / (2.0 * nu));
    }
    kl
}

/// What the forward pass left: partner [2, S] and slope [2, S], and the gradient of the divergence.
struct Neighbours<'a, T> {
    partner: &'a [u32],
    slope: &'a [T],
    dkl: T,
}

/// dw_j = or += dkl * sum of slope * d squared distance / d w_j, over the distances that w_j takes part in.
fn squared_distances_grad<T: Real>(
    dims: &PairwiseDims,
    stream: &Stream,
    w: Strided<T>,
    neighbours: &Neighbours<T>,
    add: bool,
    dw: StridedMut<T>,
) {
    let samples = dims.samples as usize;
    assert!(samples <= MAX_ROWS, "{samples} samples in a kernel for at most {MAX_ROWS}");
    let (near_w, near_p) = neighbours.partner.split_at(samples);
    let factor = |index: usize| (neighbours.slope[index] + neighbours.slope[index]) * neighbours.dkl;
    for_blocks(dw.blocks(), BLOCK, |corner, rows| {
        let (first, len) = (corner.column, rows[0].len());
        let w = |i: usize| &w.block(i)[first..first + len];
        for (j, dw) in rows.iter_mut().enumerate() {
            add_difference(add, dw, factor(j), w(j), w(near_w[j] as usize));
            for i in (0..samples).filter(|&i| near_w[i] as usize == j) {
                add_difference(true, dw, factor(i), w(j), w(i));
            }
        }
        with_scratch(len, |prior: &mut [T]| {
            for i in 0..samples {
                let mut of_this = (0..samples).filter(|&j| near_p[j] as usize == i).peekable();
                if of_this.peek().is_some() {
                    prior_block(dims, stream, i, first, prior);
                }
                for j in of_this {
                    add_difference(true, rows[j], factor(samples + j), w(j), prior);
                }
            }
        });
    });
}

/// dw = or += factor * (a - b)
fn add_difference<T: Real>(add: bool, dw: &mut [T], factor: T, a: &[T], b: &[T]) {
    vectors::dispatch(
        #[inline(always)]
        || {
            let triples = dw.iter_mut().zip(a).zip(b);
            if add {
                triples.for_each(|((dw, &a), &b)| *dw += factor * (a - b));
            } else {
                triples.for_each(|((dw, &a), &b)| *dw = factor * (a - b));
            }
        },
    );
}

#[cfg(test)]
mod tests;
