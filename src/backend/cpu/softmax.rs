//! Softmax over classes, mixtures of softmaxes over weight samples, cross-entropy.
//!
//! With p[s,n,c] = softmax(x[s,n,:])[c], the mixture of a row is m[n,c] = mean over s of p[s,n,c]. Its gradient goes through
//! the share r[s,n,c] = p[s,n,c] / sum over s of p[s,n,c] that sample s has in class c.

use super::columns::for_blocks;
use super::elementwise::{store, sum_in_parts};
use super::memory::with_scratch;
use super::{Io, Real};
use crate::call::SoftmaxDims;
use rayon::prelude::*;

/// Rows of one block of work.
const ROWS: usize = 16;
/// Elements below which one thread is enough.
const PARALLEL_ELEMENTS: usize = 4096;

pub fn forward<T: Real>(io: &Io<T>, dims: &SoftmaxDims) {
    probabilities(dims, io.adds(0), io.read(0), io.write(0));
}

pub fn grad<T: Real>(io: &Io<T>, dims: &SoftmaxDims) {
    probabilities_grad(dims, io.adds(0), io.read(0), io.read(1), io.write(0));
}

pub fn log_mean_forward<T: Real>(io: &Io<T>, dims: &SoftmaxDims) {
    log_mean(dims, io.adds(0), io.read(0), io.write(0));
}

pub fn log_mean_grad<T: Real>(io: &Io<T>, dims: &SoftmaxDims) {
    log_mean_backward(dims, io.adds(0), io.read(0), io.read(1), io.write(0));
}

pub fn xent_forward<T: Real>(io: &Io<T>, dims: &SoftmaxDims) {
    let [loss, correct] = cross_entropy(dims, io.read(0), io.read_as(1), io.read(2));
    store(io.adds(0), &mut io.write(0)[0], T::of(loss));
    store(io.adds(1), &mut io.write(1)[0], T::of(correct));
}

pub fn xent_grad<T: Real>(io: &Io<T>, dims: &SoftmaxDims) {
    cross_entropy_grad(dims, io.adds(0), io.read(0), io.read_as(1), io.read(2), io.read(3)[0], io.write(0));
}

/// ln sum exp(x) of the values that `x` yields; minus infinity when all are.
fn log_sum_exp<T: Real>(x: impl Iterator<Item = T> + Clone) -> T {
    let greatest = x.clone().fold(-T::ONE / T::ZERO, T::max);
    if greatest == -T::ONE / T::ZERO {
        // All are minus infinity, or not a number: their sum says which.
        return x.sum();
    }
    greatest + x.map(|x| (x - greatest).exp()).sum::<T>().ln()
}

/// Row n of sample s of a tensor [S, N, classes].
#[inline(always)]
fn row<'a, T>(dims: &SoftmaxDims, x: &'a [T], s: usize, n: usize) -> &'a [T] {
    let classes = dims.classes as usize;
    &x[(s * dims.rows as usize + n) * classes..][..classes]
}

/// y = softmax(x)
fn probabilities<T: Real>(dims: &SoftmaxDims, add: bool, x: &[T], y: &mut [T]) {
    let classes = dims.classes as usize;
    let one = |(y, x): (&mut [T], &[T])| {
        let log_sum = log_sum_exp(x.iter().copied());
        y.iter_mut().zip(x).for_each(|(y, &x)| store(add, y, (x - log_sum).exp()));
    };
    if y.len() < PARALLEL_ELEMENTS {
        y.chunks_mut(classes).zip(x.chunks(classes)).for_each(one);
    } else {
        y.par_chunks_mut(classes).zip(x.par_chunks(classes)).with_min_len(ROWS).for_each(one);
    }
}

/// dx = y * (dy - sum of y * dy)
fn probabilities_grad<T: Real>(dims: &SoftmaxDims, add: bool, y: &[T], dy: &[T], dx: &mut [T]) {
    let classes = dims.classes as usize;
    let one = |((dx, y), dy): ((&mut [T], &[T]), &[T])| {
        let dot: T = y.iter().zip(dy).map(|(&y, &dy)| y * dy).sum();
        dx.iter_mut().zip(y).zip(dy).for_each(|((dx, &y), &dy)| store(add, dx, y * (dy - dot)));
    };
    if dx.len() < PARALLEL_ELEMENTS {
        return dx.chunks_mut(classes).zip(y.chunks(classes)).zip(dy.chunks(classes)).for_each(one);
    }
    let rows = dx.par_chunks_mut(classes).zip(y.par_chunks(classes)).zip(dy.par_chunks(classes));
    rows.with_min_len(ROWS).for_each(one);
}

/// Fills `log_sums` [S] with the log-sum-exp of row n of each sample.
fn row_log_sums<T: Real>(dims: &SoftmaxDims, x: &[T], n: usize, log_sums: &mut [T]) {
    for (s, log_sum) in log_sums.iter_mut().enumerate() {
        *log_sum = log_sum_exp(row(dims, x, s, n).iter().copied());
    }
}

/// ln sum over samples of p[s,n,c].
fn log_total<T: Real>(dims: &SoftmaxDims, x: &[T], n: usize, class: usize, log_sums: &[T]) -> T {
    log_sum_exp(log_sums.iter().enumerate().map(|(s, &log_sum)| row(dims, x, s, n)[class] - log_sum))
}

/// y[n,c] = ln mean over samples of p[s,n,c]
fn log_mean<T: Real>(dims: &SoftmaxDims, add: bool, x: &[T], y: &mut [T]) {
    let log_samples = T::of(f64::from(dims.samples).ln());
    let one = |(n, y): (usize, &mut [T])| {
        with_scratch(dims.samples as usize, |log_sums: &mut [T]| {
            row_log_sums(dims, x, n, log_sums);
            for (c, y) in y.iter_mut().enumerate() {
                store(add, y, log_total(dims, x, n, c, log_sums) - log_samples);
            }
        });
    };
    let classes = dims.classes as usize;
    if x.len() < PARALLEL_ELEMENTS {
        y.chunks_mut(classes).enumerate().for_each(one);
    } else {
        y.par_chunks_mut(classes).with_min_len(ROWS).enumerate().for_each(one);
    }
}

/// dx[s,n,k] = dy[n,k] r[s,n,k] - p[s,n,k] * sum over c of dy[n,c] r[s,n,c]
fn log_mean_backward<T: Real>(dims: &SoftmaxDims, add: bool, x: &[T], dy: &[T], dx: &mut [T]) {
    let (samples, classes) = (dims.samples as usize, dims.classes as usize);
    for_blocks(dx.chunks_mut(dims.rows as usize * classes), ROWS * classes, |corner, blocks| {
        with_scratch(samples + classes, |scratch: &mut [T]| {
            let (log_sums, log_totals) = scratch.split_at_mut(samples);
            let first = corner.column / classes;
            for n in first..first + blocks[0].len() / classes {
                row_log_sums(dims, x, n, log_sums);
                for (c, total) in log_totals.iter_mut().enumerate() {
                    *total = log_total(dims, x, n, c, log_sums);
                }
                let dy = &dy[n * classes..][..classes];
                for (i, dx) in blocks.iter_mut().enumerate() {
                    let (s, dx) = (corner.row + i, &mut dx[(n - first) * classes..][..classes]);
                    let x = row(dims, x, s, n);
                    let share = |c: usize| (x[c] - log_sums[s] - log_totals[c]).exp();
                    let dot: T = (0..classes).map(|c| dy[c] * share(c)).sum();
                    for (k, dx) in dx.iter_mut().enumerate() {
                        store(add, dx, dy[k] * share(k) - (x[k] - log_sums[s]).exp() * dot);
                    }
                }
            }
        });
    });
}

/// First class of the greatest mean probability of row n.
fn predicted<T: Real>(dims: &SoftmaxDims, x: &[T], n: usize, log_sums: &[T]) -> usize {
    let mut best = (T::ZERO, 0);
    for c in 0..dims.classes as usize {
        let total: T = log_sums.iter().enumerate().map(|(s, &sum)| (row(dims, x, s, n)[c] - sum).exp()).sum();
        if total > best.0 {
            best = (total, c);
        }
    }
    best.1
}

/// Loss and weighted count of correct predictions: loss = -sum_n weight_n ln m[n, label_n] / sum_n weight_n (0 without
/// weight), correct = sum of the weights of rows whose greatest m[n,:] is at the label.
fn cross_entropy<T: Real>(dims: &SoftmaxDims, x: &[T], labels: &[u32], weights: &[T]) -> [f64; 2] {
    let log_samples = f64::from(dims.samples).ln();
    let [loss, correct, weight] = sum_in_parts(dims.rows as usize, ROWS, |rows| {
        with_scratch(dims.samples as usize, |log_sums: &mut [T]| {
            let mut sums = [0.0; 3];
            for n in rows {
                let weight = weights[n].f64();
                if weight == 0.0 {
                    continue;
                }
                row_log_sums(dims, x, n, log_sums);
                let label = labels[n] as usize;
                sums[0] -= weight * (log_total(dims, x, n, label, log_sums).f64() - log_samples);
                sums[1] += if predicted(dims, x, n, log_sums) == label { weight } else { 0.0 };
                sums[2] += weight;
            }
            sums
        })
    });
    [if weight == 0.0 { 0.0 } else { loss / weight }, correct]
}

/// dx[s,n,k] = dloss weight_n / (sum of weights) * r[s,n,label] (p[s,n,k] - [k = label])
fn cross_entropy_grad<T: Real>(
    dims: &SoftmaxDims,
    add: bool,
    x: &[T],
    labels: &[u32],
    weights: &[T],
    dloss: T,
    dx: &mut [T],
) {
    let classes = dims.classes as usize;
    let weight: f64 = weights.iter().map(|w| w.f64()).sum();
    let factor = if weight == 0.0 { T::ZERO } else { dloss / T::of(weight) };
    for_blocks(dx.chunks_mut(dims.rows as usize * classes), ROWS * classes, |corner, blocks| {
        with_scratch(dims.samples as usize, |log_sums: &mut [T]| {
            let first = corner.column / classes;
            for n in first..first + blocks[0].len() / classes {
                row_log_sums(dims, x, n, log_sums);
                let label = labels[n] as usize;
                let log_total = log_total(dims, x, n, label, log_sums);
                for (i, dx) in blocks.iter_mut().enumerate() {
                    let (s, dx) = (corner.row + i, &mut dx[(n - first) * classes..][..classes]);
                    let x = row(dims, x, s, n);
                    let share = (x[label] - log_sums[s] - log_total).exp();
                    // A row without weight gives zero, whatever its padding holds.
                    let scale = if weights[n] == T::ZERO { T::ZERO } else { factor * weights[n] * share };
                    for (k, dx) in dx.iter_mut().enumerate() {
                        let target = if k == label { T::ONE } else { T::ZERO };
                        store(add, dx, scale * ((x[k] - log_sums[s]).exp() - target));
                    }
                }
            }
        });
    });
}

#[cfg(test)]
mod tests;
