//! Outputs drawn around their mean, with noise that the gradient draws again.

use super::elementwise::store;
use super::noise::normals;
use super::{Io, Real};
use crate::random::Stream;
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
        pulp::Arch::new().dispatch(
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
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let known = variance[i * BLOCK..].iter().zip(&dy[i * BLOCK..]).zip(&*noise);
                for ((dmean, dvariance), ((&variance, &dy), &eps)) in dmean.iter_mut().zip(dvariance).zip(known) {
                    let slope = if variance <= T::ZERO { T::ZERO } else { half / variance.sqrt() };
                    store(add_mean, dmean, dy);
                    store(add_variance, dvariance, slope * dy * eps);
                }
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
