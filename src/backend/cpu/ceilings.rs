//! What this machine's memory and vector units can do at most, on all threads of the pool.

use super::Arena;
use super::matmul::{Matrix, gemm};
use crate::backend::Ceilings;
use crate::{Error, Result};
use rayon::prelude::*;
use std::time::Instant;

/// Elements of the buffers: 256 MiB, far more than any cache.
const ELEMENTS: usize = 64 << 20;

/// Elements of one task.
const CHUNK: usize = 1 << 18;

/// Time for one rate, unless its first run takes longer.
const MOST_SECONDS: f64 = 2.0;

/// Side of the square matrix product.
const SIDE: usize = 1024;

/// Seconds of one execution.
pub fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// The best of a few runs of each.
///
/// # Errors
/// When 512 MiB of memory are not to be had.
pub fn measure() -> Result<Ceilings> {
    let arena =
        || Arena::new(ELEMENTS * 4).ok_or_else(|| Error::run("out of memory: measuring the ceilings needs 512 MiB"));
    let (mut a, mut b) = (arena()?, arena()?);
    let a: &mut [f32] = bytemuck::cast_slice_mut(a.bytes_mut());
    let b: &mut [f32] = bytemuck::cast_slice_mut(b.bytes_mut());
    a.par_chunks_mut(CHUNK).for_each(|chunk| chunk.fill(1.0));
    let bytes = (ELEMENTS * 4) as f64;
    let copy =
        best(5, || b.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from)));
    let update = best(5, || a.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(|x| *x *= 1.000_001)));
    let read = best(5, || {
        let sum: f32 = a.par_chunks(CHUNK).map(sum).sum();
        std::hint::black_box(sum);
    });
    let product = best(8, || square_product(&a[..SIDE * SIDE], &b[..SIDE * SIDE], SIDE));
    Ok(Ceilings {
        copy_gbps: 2.0 * bytes / copy * 1e-9,
        update_gbps: Some(2.0 * bytes / update * 1e-9),
        read_gbps: Some(bytes / read * 1e-9),
        fp32_tflops: 2.0 * (SIDE as f64).powi(3) / product * 1e-12,
        tf32_tflops: None,
        bf16_tflops: None,
    })
}

/// Seconds of the fastest of at most `times` + 1 runs; slow ones (a program without optimisation) end after `MOST_SECONDS`.
fn best(times: usize, mut work: impl FnMut()) -> f64 {
    let (mut best, mut all) = (f64::INFINITY, 0.0);
    for _ in 0..=times {
        let seconds = timed(&mut work);
        (best, all) = (best.min(seconds), all + seconds);
        if all > MOST_SECONDS {
            break;
        }
    }
    best
}

/// 16 partial sums, so that the loop runs at the speed of memory.
fn sum(values: &[f32]) -> f32 {
    let mut partial = [0.0; 16];
    for block in values.chunks_exact(16) {
        partial.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
    }
    partial.iter().sum()
}

/// A square product with the shipped single-thread product on row tiles.
fn square_product(a: &[f32], b: &[f32], side: usize) {
    let mut c = vec![0.0_f32; side * side];
    let rows = side.div_ceil(rayon::current_num_threads());
    c.par_chunks_mut(rows * side).zip(a.par_chunks(rows * side)).for_each(|(c, a)| {
        let m = c.len() / side;
        gemm((m, side, side), c, side, false, Matrix::rows(a, side), Matrix::rows(b, side));
    });
    std::hint::black_box(&c);
}
