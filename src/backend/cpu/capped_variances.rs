//! Variances from their logarithms, with an upper bound.

use super::elementwise::store;
use super::exponential::exponentials;
use super::{Io, Real};
use rayon::prelude::*;

/// Elements of one block.
const BLOCK: usize = 4096;

/// For each part: log variance, at most `bound`, and e^ that. NaN stays NaN.
pub fn forward<T: Real>(io: &Io<T>, bound: f32) {
    let bound = T::of(bound.into());
    for part in 0..io.reads() {
        let (v, capped, variance) = (io.read(part), io.write(2 * part), io.write(2 * part + 1));
        let run = |((v, capped), variance): ((&[T], &mut [T]), &mut [T])| {
            capped.iter_mut().zip(v).for_each(|(capped, &v)| *capped = if v > bound { bound } else { v });
            variance.copy_from_slice(capped);
            exponentials(variance);
        };
        if v.len() <= BLOCK {
            run(((v, capped), variance));
        } else {
            let blocks = v.par_chunks(BLOCK).zip(capped.par_chunks_mut(BLOCK)).zip(variance.par_chunks_mut(BLOCK));
            blocks.for_each(run);
        }
    }
}

/// dv = 0 above the bound, else variance dvariance, plus d log variance where it is read.
pub fn grad<T: Real>(io: &Io<T>, bound: f32, of_log: bool) {
    let (bound, reads) = (T::of(bound.into()), 3 + usize::from(of_log));
    for part in 0..io.writes() {
        let [v, variance, dvariance] = [0, 1, 2].map(|read| io.read(reads * part + read));
        let dlog = of_log.then(|| io.read(reads * part + 3));
        let add = io.adds(part);
        let run = |(i, dv): (usize, &mut [T])| {
            let first = i * BLOCK;
            let known = v[first..].iter().zip(&variance[first..]).zip(&dvariance[first..]);
            for (j, (dv, ((&v, &variance), &dvariance))) in dv.iter_mut().zip(known).enumerate() {
                let sum = variance * dvariance + dlog.map_or(T::ZERO, |dlog| dlog[first + j]);
                store(add, dv, if v > bound { T::ZERO } else { sum });
            }
        };
        let dv = io.write(part);
        if dv.len() <= BLOCK {
            run((0, dv));
        } else {
            dv.par_chunks_mut(BLOCK).enumerate().for_each(run);
        }
    }
}
