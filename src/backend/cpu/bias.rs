//! A bias per output channel, and its gradient.

use super::memory::with_scratch;
use super::{Io, Real, Strided, StridedMut};
use crate::call::*;
use crate::vectors;
use rayon::prelude::*;

/// Elements of one task: below this, waking another thread costs more than the work.
const TASK: usize = 1 << 15;
/// Partial sums of one row: as many as two vector registers hold.
const LANES: usize = 16;
/// Channels that one task of the gradient sums when a row is one element per channel: a few cache lines of each row.
const CHANNELS: usize = 64;
/// Elements of a channel in one row below which lanes run across channels.
const SHORT: usize = 64;

pub fn forward<T: Real>(io: &Io<T>, d: &BiasDims) {
    forward_slices(d, io.read(0), &io.strided(1), io.write(0));
}

pub fn grad<T: Real>(io: &Io<T>, d: &BiasDims) {
    grad_slices(d, io.read(0), io.strided_mut(0), io.adds(0));
}

/// y [S, N, O, inner] = x + b
fn forward_slices<T: Real>(d: &BiasDims, x: &[T], b: &Strided<T>, y: &mut [T]) {
    let (inner, row) = (d.inner as usize, (d.channels * d.inner) as usize);
    let rows = (TASK / row).max(1);
    let tasks = y.par_chunks_mut(rows * row).zip(x.par_chunks(rows * row));
    tasks.enumerate().for_each(|(task, (y, x))| {
        for (i, (y, x)) in y.chunks_exact_mut(row).zip(x.chunks_exact(row)).enumerate() {
            let b = b.block((task * rows + i) / d.rows as usize);
            if inner == 1 {
                y.iter_mut().zip(x).zip(b).for_each(|((y, x), b)| *y = *x + *b);
                continue;
            }
            for ((y, x), b) in y.chunks_exact_mut(inner).zip(x.chunks_exact(inner)).zip(b) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y = *x + *b);
            }
        }
    });
}

/// db [S, O] (+)= sum over rows and inner of dy. Each channel is summed row by row in order.
pub fn grad_slices<T: Real>(d: &BiasDims, dy: &[T], db: StridedMut<T>, add: bool) {
    let row = (d.channels * d.inner) as usize;
    let sample = d.rows as usize * row;
    let channels = if d.inner == 1 { CHANNELS } else { TASK.div_ceil(d.rows as usize * d.inner as usize) };
    let sum = |s: usize, task: usize, db: &mut [T]| {
        if !add {
            db.fill(T::ZERO);
        }
        let rows = dy[s * sample..][..sample].chunks_exact(row);
        let (inner, first) = (d.inner as usize, task * channels * d.inner as usize);
        let short = if inner < SHORT { db.len() * inner } else { 0 };
        with_scratch(short, |sums: &mut [T]| {
            vectors::dispatch(
                #[inline(always)]
                || {
                    let rows = rows.clone().map(|row| &row[first..]);
                    if sums.is_empty() { add_rows(rows, inner, db) } else { add_short_rows(rows, sums, db) }
                },
            );
        });
    };
    if dy.len() <= TASK {
        for (s, db) in db.blocks().enumerate() {
            db.chunks_mut(channels).enumerate().for_each(|(task, db)| sum(s, task, db));
        }
        return;
    }
    db.par_blocks().enumerate().for_each(|(s, db)| {
        db.par_chunks_mut(channels).enumerate().for_each(|(task, db)| sum(s, task, db));
    });
}

/// Adds rows [channels of db, inner] to db.
#[inline(always)]
fn add_rows<'a, T: Real>(rows: impl Iterator<Item = &'a [T]>, inner: usize, db: &mut [T]) {
    for row in rows {
        db.iter_mut().zip(row.chunks_exact(inner)).for_each(|(db, dy)| *db += lane_sum(dy));
    }
}

/// As [`add_rows`] for a small `inner`: rows are summed in `sums` [channels, inner], which lanes run along.
#[inline(always)]
fn add_short_rows<'a, T: Real>(rows: impl Iterator<Item = &'a [T]>, sums: &mut [T], db: &mut [T]) {
    sums.fill(T::ZERO);
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += *value);
    }
    let inner = sums.len() / db.len();
    db.iter_mut().zip(sums.chunks_exact(inner)).for_each(|(db, sums)| *db += sums.iter().copied().sum());
}

/// Sum of a row by lanes, then over the lanes in order.
#[inline(always)]
fn lane_sum<T: Real>(row: &[T]) -> T {
    let mut lanes = [T::ZERO; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += *value);
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, value)| *lane += *value);
    lanes.iter().copied().sum()
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{close, in_pools, pattern};
    use super::*;

    /// Samples, rows, channels, inner.
    const SHAPES: [[u32; 4]; 6] =
        [[1, 1, 1, 1], [2, 3, 17, 1], [5, 65, 33, 1], [3, 33, 3, 9], [1, 100, 16, 144], [2, 65, 130, 1]];

    fn dims([samples, rows, channels, inner]: [u32; 4]) -> BiasDims {
        BiasDims { samples, rows, channels, inner }
    }

    fn grad_of<T: Real>(d: &BiasDims, dy: &[T], start: Option<T>) -> Vec<T> {
        let (samples, channels) = (d.samples as usize, d.channels as usize);
        let stride = channels + 3;
        let mut db = vec![start.unwrap_or(T::of(f64::NAN)); samples * stride];
        grad_slices(d, dy, StridedMut::from_slice(&mut db, samples, channels, stride), start.is_some());
        db.chunks(stride).flat_map(|block| block[..channels].to_vec()).collect()
    }

    fn check_against_loops<T: Real>(tolerance: f64) {
        for d in SHAPES.map(dims) {
            let [samples, rows, channels, inner] = [d.samples, d.rows, d.channels, d.inner].map(|v| v as usize);
            let x = pattern::<T>(samples * rows * channels * inner, 1);
            let b = pattern::<T>(samples * (channels + 2), 2);
            let owner = |i: usize| (i / (rows * channels * inner), i / inner % channels);
            let mut y = vec![T::ZERO; x.len()];
            forward_slices(&d, &x, &Strided::from_slice(&b, samples, channels, channels + 2), &mut y);
            let mut sums = vec![0.0; samples * channels];
            let mut expected = Vec::new();
            for (i, x) in x.iter().enumerate() {
                let (s, o) = owner(i);
                expected.push(x.f64() + b[s * (channels + 2) + o].f64());
                sums[s * channels + o] += x.f64();
            }
            close(&y, &expected, 0.0, tolerance, "y");
            for start in [None, Some(T::of(0.5))] {
                close(&grad_of(&d, &x, start), &sums, start.map_or(0.0, T::f64), tolerance, "db");
            }
        }
    }

    #[test]
    fn equals_plain_loops() {
        check_against_loops::<f32>(1e-5);
        check_against_loops::<f64>(1e-12);
    }

    #[test]
    fn same_bits_for_any_number_of_threads() {
        for d in SHAPES.map(dims) {
            let dy = pattern::<f32>((d.samples * d.rows * d.channels * d.inner) as usize, 1);
            in_pools(|| grad_of(&d, &dy, None));
        }
    }
}
