//! Outputs drawn around their mean, with noise that the gradient draws again.

use super::elementwise::store;
use super::noise::normals;
use super::{Io, Real};
use crate::random::Stream;
use crate::vectors;
use rayon::prelude::*;

/// Elements of one block; a multiple of the four lanes of a counter.
const BLOCK: usize = 4096;

/// y = mean + sqrt(variance) * eps
pub fn forward<T: Real>(io: &Io<T>, stream: u32) {
    let stream = Stream::of_words(io.read_as(2), stream);
    let (mean, variance, add) = (io.read(0), io.read(1), io.adds(0));
    let run = |(i, y): (usize, &mut [T])| {
        let mut noise = [T::ZERO; BLOCK];
        let noise = &mut noise[..y.len()];
        normals(&stream, (i * BLOCK) as u64, noise);
        vectors::dispatch(
            #[inline(always)]
            || {
                let known = mean[i * BLOCK..].iter().zip(&variance[i * BLOCK..]).zip(&*noise);
                for (y, ((&mean, &variance), &eps)) in y.iter_mut().zip(known) {
                    let deviation = if variance <= T::ZERO { T::ZERO } else { variance.sqrt() };
                    store(add, y, mean + deviation * eps);
                }
            },
        );
    };
    let y = io.write(0);
    if y.len() <= BLOCK {
        run((0, y));
    } else {
        y.par_chunks_mut(BLOCK).enumerate().for_each(run);
    }
}

/// dmean = dy, dvariance = dy eps / (2 sqrt(variance)), 0 where the variance is not above 0
pub fn grad<T: Real>(io: &Io<T>, stream: u32) {
    let stream = Stream::of_words(io.read_as(2), stream);
    let (variance, dy) = (io.read(0), io.read(1));
    let (add_mean, add_variance) = (io.adds(0), io.adds(1));
    let half = T::of(0.5);
    let run = |(i, (dmean, dvariance)): (usize, (&mut [T], &mut [T]))| {
        let mut noise = [T::ZERO; BLOCK];
        let noise = &mut noise[..dmean.len()];
        normals(&stream, (i * BLOCK) as u64, noise);
        vectors::dispatch(
            #[inline(always)]
            || {
                let (variance, dy) = (&variance[i * BLOCK..], &dy[i * BLOCK..]);
                for ((product, &variance), &dy) in noise.iter_mut().zip(variance).zip(dy) {
                    let slope = half / variance.sqrt();
                    *product = if variance <= T::ZERO { T::ZERO } else { slope * dy * *product };
                }
                put(add_mean, dmean, &dy[..dmean.len()]);
                put(add_variance, dvariance, noise);
            },
        );
    };
    let (dmean, dvariance) = (io.write(0), io.write(1));
    if dmean.len() <= BLOCK {
        run((0, (dmean, dvariance)));
    } else {
        dmean.par_chunks_mut(BLOCK).zip(dvariance.par_chunks_mut(BLOCK)).enumerate().for_each(run);
    }
}

/// to = values, or to += values.
#[inline(always)]
fn put<T: Real>(add: bool, to: &mut [T], values: &[T]) {
    if add {
        to.iter_mut().zip(values).for_each(|(to, &value)| *to += value);
    } else {
        to.copy_from_slice(values);
    }
}
