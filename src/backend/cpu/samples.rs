//! The sample axis: conditioning a generator's input on slices, means over samples.

use super::columns::for_blocks;
use super::elementwise::store;
use super::memory::with_scratch;
use super::{Io, Real};
use crate::call::{OneHotDims, SampleDims};
use crate::vectors;
use rayon::prelude::*;

/// Columns of one block.
const BLOCK: usize = 4096;
/// Rows of one-hot input below which one thread is enough.
const PARALLEL_ROWS: usize = 512;

pub fn concat_one_hot<T: Real>(io: &Io<T>, dims: &OneHotDims) {
    concat(dims, io.adds(0), io.read(0), io.write(0));
}

pub fn concat_one_hot_grad<T: Real>(io: &Io<T>, dims: &OneHotDims) {
    concat_grad(dims, io.adds(0), io.read(0), io.write(0));
}

pub fn center<T: Real>(io: &Io<T>, dims: &SampleDims) {
    center_rows(dims, io.adds(0), io.read(0), io.write(0));
}

pub fn mean<T: Real>(io: &Io<T>, dims: &SampleDims) {
    mean_rows(dims, io.adds(0), io.read(0), io.write(0));
}

pub fn mean_grad<T: Real>(io: &Io<T>, dims: &SampleDims) {
    mean_rows_grad(dims, io.adds(0), io.read(0), io.write(0));
}

/// y[s,c,:] = [z[s,:], e_c]
fn concat<T: Real>(dims: &OneHotDims, add: bool, z: &[T], y: &mut [T]) {
    let (conditions, noise) = (dims.conditions as usize, dims.noise as usize);
    let write = |(row, y): (usize, &mut [T])| {
        let (sample, condition) = (row / conditions, row % conditions);
        let (head, one_hot) = y.split_at_mut(noise);
        head.iter_mut().zip(&z[sample * noise..]).for_each(|(y, &z)| store(add, y, z));
        if !add {
            one_hot.fill(T::ZERO);
        }
        store(add, &mut one_hot[condition], T::ONE);
    };
    let width = noise + conditions;
    if y.len() / width < PARALLEL_ROWS {
        y.chunks_mut(width).enumerate().for_each(write);
    } else {
        y.par_chunks_mut(width).with_min_len(64).enumerate().for_each(write);
    }
}

/// dz[s,:] = sum over conditions of dy[s,c,:k]
fn concat_grad<T: Real>(dims: &OneHotDims, add: bool, dy: &[T], dz: &mut [T]) {
    let (conditions, noise) = (dims.conditions as usize, dims.noise as usize);
    let width = noise + conditions;
    for (sample, dz) in dz.chunks_mut(noise.max(1)).enumerate() {
        if !add {
            dz.fill(T::ZERO);
        }
        for row in dy[sample * conditions * width..].chunks(width).take(conditions) {
            dz.iter_mut().zip(row).for_each(|(dz, &dy)| *dz += dy);
        }
    }
}

/// Mean over samples of the columns from `first` on.
fn column_means<T: Real>(dims: &SampleDims, x: &[T], first: usize, mean: &mut [T]) {
    let factor = T::ONE / T::of(dims.samples.into());
    vectors::dispatch(
        #[inline(always)]
        || {
            mean.fill(T::ZERO);
            for row in x.chunks(dims.inner as usize) {
                mean.iter_mut().zip(&row[first..]).for_each(|(mean, &x)| *mean += x);
            }
            mean.iter_mut().for_each(|mean| *mean *= factor);
        },
    );
}

/// y = x - mean over samples
fn center_rows<T: Real>(dims: &SampleDims, add: bool, x: &[T], y: &mut [T]) {
    let inner = dims.inner as usize;
    for_blocks(y.chunks_mut(inner), BLOCK, |corner, rows| {
        with_scratch(rows[0].len(), |mean: &mut [T]| {
            column_means(dims, x, corner.column, mean);
            for (i, y) in rows.iter_mut().enumerate() {
                let x = &x[(corner.row + i) * inner + corner.column..];
                vectors::dispatch(
                    #[inline(always)]
                    || {
                        y.iter_mut().zip(x).zip(&*mean).for_each(|((y, &x), &mean)| store(add, y, x - mean));
                    },
                );
            }
        });
    });
}

/// y[i] = mean over samples of x[s,i]
fn mean_rows<T: Real>(dims: &SampleDims, add: bool, x: &[T], y: &mut [T]) {
    for_blocks(std::iter::once(y), BLOCK, |corner, rows| {
        with_scratch(rows[0].len(), |mean: &mut [T]| {
            column_means(dims, x, corner.column, mean);
            rows[0].iter_mut().zip(&*mean).for_each(|(y, &mean)| store(add, y, mean));
        });
    });
}

/// dx[s,i] = dy[i] / S
fn mean_rows_grad<T: Real>(dims: &SampleDims, add: bool, dy: &[T], dx: &mut [T]) {
    let factor = T::ONE / T::of(dims.samples.into());
    for_blocks(dx.chunks_mut(dims.inner as usize), BLOCK, |corner, rows| {
        for dx in rows.iter_mut() {
            let dy = &dy[corner.column..];
            vectors::dispatch(
                #[inline(always)]
                || dx.iter_mut().zip(dy).for_each(|(dx, &dy)| store(add, dx, factor * dy)),
            );
        }
    });
}

#[cfg(test)]
mod tests;
