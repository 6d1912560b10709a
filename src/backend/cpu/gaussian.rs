//! Independent Gaussian weights: samples, whose noise the gradient draws again, and the divergence from the prior.

use super::columns::for_blocks;
use super::elementwise::{store, sum_in_parts};
use super::exponential::exponentials;
use super::memory::with_scratch;
use super::noise::normals;
use super::{Io, Real};
use crate::call::GaussianGroup;
use crate::random::Stream;
use crate::vectors;
use rayon::prelude::*;

/// Elements of one block; a multiple of the four lanes of a counter.
const BLOCK: usize = 4096;

pub fn samples<T: Real>(io: &Io<T>, group: &GaussianGroup) {
    let words = io.read_as(2 * group.parts as usize);
    for (part, &stream) in group.streams.iter().enumerate().take(group.parts as usize) {
        let stream = Stream::of_words(words, stream);
        let mean = io.read(2 * part);
        let noise = Noise { stream, len: mean.len(), aligned: group.aligned };
        draw(&noise, mean, io.read(2 * part + 1), io.write(part));
    }
}

pub fn samples_grad<T: Real>(io: &Io<T>, group: &GaussianGroup) {
    let words = io.read_as(2 * group.parts as usize);
    for (part, &stream) in group.streams.iter().enumerate().take(group.parts as usize) {
        let (stream, log_variance, dy) = (Stream::of_words(words, stream), io.read(2 * part), io.read(2 * part + 1));
        gradients(io, part, |first, dmean, dlog_variance| {
            let noise = Noise { stream, len: log_variance.len(), aligned: group.aligned };
            sample_gradients(&noise, (log_variance, first), dy, dmean, dlog_variance);
        });
    }
}

pub fn kl<T: Real>(io: &Io<T>, prior_scale: f32) {
    let prior_scale = f64::from(prior_scale);
    let parts = (0..io.reads()).step_by(2);
    let total = parts.map(|read| divergence(io.read(read), io.read(read + 1), prior_scale)).sum();
    store(io.adds(0), &mut io.write(0)[0], T::of(total));
}

/// dmean = dkl mean / prior_scale^2, dlog variance = dkl (sigma^2 / prior_scale^2 - 1) / 2
pub fn kl_grad<T: Real>(io: &Io<T>, prior_scale: f32) {
    let precision = T::of(f64::from(prior_scale).powi(-2));
    let dkl = io.read(io.writes())[0];
    for part in 0..io.writes() / 2 {
        let (mean, log_variance) = (io.read(2 * part), io.read(2 * part + 1));
        gradients(io, part, |first, dmean, dlog_variance| {
            let factor = dkl * precision;
            dmean.iter_mut().zip(&mean[first..]).for_each(|(dmean, &mean)| *dmean = factor * mean);
            let half = T::of(0.5) * dkl;
            dlog_variance.copy_from_slice(&log_variance[first..first + dlog_variance.len()]);
            exponentials(dlog_variance);
            dlog_variance.iter_mut().for_each(|d| *d = half * (*d * precision - T::ONE));
        });
    }
}

/// y [S, D] = mean + sigma * eps
fn draw<T: Real>(noise: &Noise, mean: &[T], log_variance: &[T], y: &mut [T]) {
    let len = mean.len();
    for_blocks(y.chunks_mut(len), BLOCK, |corner, rows| {
        let columns = corner.column..corner.column + rows[0].len();
        let mean = &mean[columns.clone()];
        with_scratch(mean.len(), |sigma: &mut [T]| {
            deviations(&log_variance[columns.clone()], sigma);
            for (i, y) in rows.iter_mut().enumerate() {
                noise.fill(corner.row + i, corner.column, y);
                vectors::dispatch(
                    #[inline(always)]
                    || {
                        let triples = y.iter_mut().zip(mean).zip(&*sigma);
                        triples.for_each(|((y, &mean), &sigma)| *y = mean + sigma * *y);
                    },
                );
            }
        });
    });
}

/// sigma = e^(log variance / 2)
fn deviations<T: Real>(log_variance: &[T], sigma: &mut [T]) {
    sigma.iter_mut().zip(log_variance).for_each(|(sigma, &v)| *sigma = T::of(0.5) * v);
    exponentials(sigma);
}

/// The noise of a part.
struct Noise {
    stream: Stream,
    /// Elements of a sample.
    len: usize,
    /// All elements of a sample share the first's.
    aligned: bool,
}

impl Noise {
    /// The noise of a sample's elements from `first` on. Each sample begins at a counter of its own.
    fn fill<T: Real>(&self, sample: usize, first: usize, out: &mut [T]) {
        let start = sample as u64 * self.len.next_multiple_of(4) as u64;
        if !self.aligned {
            return normals(&self.stream, start + first as u64, out);
        }
        let mut shared = [T::ZERO];
        normals(&self.stream, start, &mut shared);
        out.fill(shared[0]);
    }
}

/// For elements from `first` on: dmean = sum over samples of dy, dlog variance = sigma / 2 * sum over samples of dy eps
fn sample_gradients<T: Real>(
    source: &Noise,
    (log_variance, first): (&[T], usize),
    dy: &[T],
    dmean: &mut [T],
    dlog_variance: &mut [T],
) {
    let len = log_variance.len();
    dmean.fill(T::ZERO);
    dlog_variance.fill(T::ZERO);
    let mut noise = [T::ZERO; BLOCK];
    let noise = &mut noise[..dmean.len()];
    for (sample, dy) in dy.chunks(len).enumerate() {
        source.fill(sample, first, noise);
        vectors::dispatch(
            #[inline(always)]
            || {
                let sums = dmean.iter_mut().zip(dlog_variance.iter_mut());
                for (((dmean, dsigma), &dy), &noise) in sums.zip(&dy[first..]).zip(&*noise) {
                    *dmean += dy;
                    *dsigma += dy * noise;
                }
            },
        );
    }
    let sigma = noise;
    deviations(&log_variance[first..], sigma);
    dlog_variance.iter_mut().zip(&*sigma).for_each(|(d, &sigma)| *d *= T::of(0.5) * sigma);
}

/// Sets or adds to both gradients of a part: `work` sets those of a block from its first element on.
fn gradients<T: Real>(io: &Io<T>, part: usize, work: impl Fn(usize, &mut [T], &mut [T]) + Sync) {
    let adds = [io.adds(2 * part), io.adds(2 * part + 1)];
    let (dmean, dlog_variance) = (io.write(2 * part), io.write(2 * part + 1));
    let run = |(i, (dmean, dlog_variance)): (usize, (&mut [T], &mut [T]))| {
        if adds == [false, false] {
            return work(i * BLOCK, dmean, dlog_variance);
        }
        with_scratch(2 * dmean.len(), |scratch: &mut [T]| {
            let (first, second) = scratch.split_at_mut(dmean.len());
            work(i * BLOCK, first, second);
            dmean.iter_mut().zip(first).for_each(|(to, from)| store(adds[0], to, *from));
            dlog_variance.iter_mut().zip(second).for_each(|(to, from)| store(adds[1], to, *from));
        });
    };
    if dmean.len() <= BLOCK {
        run((0, (dmean, dlog_variance)));
    } else {
        dmean.par_chunks_mut(BLOCK).zip(dlog_variance.par_chunks_mut(BLOCK)).enumerate().for_each(run);
    }
}

/// Sum over elements of ((mean^2 + sigma^2) / prior_scale^2 - 1 - log variance) / 2 + ln prior_scale, in f64.
fn divergence<T: Real>(mean: &[T], log_variance: &[T], prior_scale: f64) -> f64 {
    let precision = prior_scale.powi(-2);
    let [sum] = sum_in_parts(mean.len(), BLOCK, |range| {
        let blocks = mean[range.clone()].chunks(BLOCK).zip(log_variance[range].chunks(BLOCK));
        [blocks.map(|(mean, log_variance)| block_divergence(mean, log_variance, precision)).sum::<f64>()]
    });
    0.5 * sum + mean.len() as f64 * prior_scale.ln()
}

/// Sum over at most `BLOCK` elements of (mean^2 + sigma^2) precision - 1 - log variance.
fn block_divergence<T: Real>(mean: &[T], log_variance: &[T], precision: f64) -> f64 {
    with_scratch(mean.len(), |variance: &mut [T]| {
        variance.copy_from_slice(log_variance);
        exponentials(variance);
        let triples = mean.iter().zip(log_variance).zip(&*variance);
        let term = |((&mean, &v), &variance): ((&T, &T), &T)| {
            (mean.f64() * mean.f64() + variance.f64()) * precision - 1.0 - v.f64()
        };
        triples.map(term).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{close, in_pools, pattern};
    use super::*;

    const STREAM: Stream = Stream { key: [1, 2], stream: 3, step: 4 };

    #[test]
    fn samples_are_the_mean_and_sigma_times_the_noise_of_their_counters() {
        for (len, samples) in [(1, 1), (5, 3), (BLOCK, 2), (2 * BLOCK + 3, 17)] {
            let (mean, log_variance) = (pattern::<f64>(len, 1), pattern::<f64>(len, 2));
            let mut numbers = vec![0.0; len.next_multiple_of(4) * samples];
            STREAM.normals_f64(0, &mut numbers);
            let eps = |s: usize, i: usize| numbers[s * len.next_multiple_of(4) + i];
            let y = |s: usize, i: usize| mean[i] + (log_variance[i] / 2.0).exp() * eps(s, i);
            let expected: Vec<f64> = (0..samples).flat_map(|s| (0..len).map(move |i| y(s, i))).collect();
            let mut found = vec![f64::NAN; samples * len];
            let noise = Noise { stream: STREAM, len, aligned: false };
            draw(&noise, &mean, &log_variance, &mut found);
            close(&found, &expected, 0.0, 1e-14, "f64");
            let narrow = |values: &[f64]| -> Vec<f32> { values.iter().map(|&value| value as f32).collect() };
            let mut found = vec![f32::NAN; samples * len];
            draw(&noise, &narrow(&mean), &narrow(&log_variance), &mut found);
            close(&found, &expected, 0.0, 1e-6, "f32");
        }
    }

    /// The integral of q ln(q / p) by the trapezoidal rule, which is exact to rounding for such functions.
    #[test]
    fn the_divergence_is_the_integral() {
        let density = |x: f64, mean: f64, deviation: f64| {
            (-0.5 * ((x - mean) / deviation).powi(2)).exp() / (deviation * std::f64::consts::TAU.sqrt())
        };
        for (mean, sigma, prior_scale) in [(0.0, 1.0, 1.0), (0.3, 0.5, 0.8), (-2.0, 0.1, 3.0)] {
            let point = |k: i32| mean + sigma * f64::from(k) / 50.0;
            let term = |x: f64| {
                density(x, mean, sigma) * (density(x, mean, sigma) / density(x, 0.0, prior_scale)).ln() * sigma / 50.0
            };
            let expected: f64 = (-500..=500).map(point).map(term).sum();
            let found = divergence(&[mean], &[2.0 * f64::ln(sigma)], prior_scale);
            assert!((found - expected).abs() <= 1e-10, "{mean} {sigma} {prior_scale}: {found}, integral {expected}");
        }
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let (len, samples) = (3 * BLOCK + 5, 5);
        let (mean, log_variance) = (pattern::<f32>(len, 1), pattern::<f32>(len, 2));
        in_pools(|| {
            let mut y = vec![0.0; samples * len];
            draw(&Noise { stream: STREAM, len, aligned: false }, &mean, &log_variance, &mut y);
            y.push(divergence(&mean, &log_variance, 0.7) as f32);
            y
        });
    }
}
