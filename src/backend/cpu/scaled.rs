//! Gaussian weights whose means are scaled by multipliers of their inputs or outputs.

use super::columns::for_blocks;
use super::elementwise::store;
use super::exponential::exponentials;
use super::memory::with_scratch;
use super::noise::normals;
use super::{Io, Real};
use crate::call::{ScaledGroup, ScaledPart};
use crate::random::Stream;
use rayon::prelude::*;

/// Elements of one block; a multiple of the four lanes of a counter.
const BLOCK: usize = 4096;
/// Multipliers of one block.
const CHANNELS: usize = 64;
/// Weights of a part below which one thread is enough.
const PARALLEL: usize = 1 << 14;

pub fn samples<T: Real>(io: &Io<T>, group: &ScaledGroup) {
    let of_part = 2 + usize::from(group.noise);
    for (index, part) in group.parts().iter().enumerate() {
        let (mean, z) = (io.read(of_part * index), io.read(of_part * index + 1));
        let noise = group.noise.then(|| {
            let words = io.read_as(of_part * group.parts as usize);
            (Stream::of_words(words, part.stream), io.read(of_part * index + 2))
        });
        draw(part, (mean, z), noise, io.write(index));
    }
}

pub fn samples_grad<T: Real>(io: &Io<T>, group: &ScaledGroup) {
    for (index, part) in group.parts().iter().enumerate() {
        let (mean, z, dy) = (io.read(3 * index), io.read(3 * index + 1), io.read(3 * index + 2));
        mean_gradient(part, (z, dy), io.adds(2 * index), io.write(2 * index));
        multiplier_gradient(part, (mean, dy), io.adds(2 * index + 1), io.write(2 * index + 1));
    }
}

/// Neighbouring elements of a tensor, from its first element on: all with one multiplier, or each with the next.
fn runs(part: &ScaledPart, first: usize, len: usize, mut work: impl FnMut(usize, usize, usize)) {
    let (channels, inner) = (part.channels as usize, part.inner as usize);
    let mut at = 0;
    while at < len {
        let channel = (first + at) / inner % channels;
        let left = if inner == 1 { channels - channel } else { inner - (first + at) % inner };
        let count = left.min(len - at);
        work(at, count, channel);
        at += count;
    }
}

/// y = z x for the elements from `first` on of one sample.
fn scaled<T: Real>(part: &ScaledPart, first: usize, (x, z): (&[T], &[T]), y: &mut [T]) {
    runs(part, first, x.len(), |at, count, channel| {
        let pairs = y[at..at + count].iter_mut().zip(&x[at..]);
        if part.inner == 1 {
            pairs.zip(&z[channel..]).for_each(|((y, &x), &z)| *y = z * x);
        } else {
            let z = z[channel];
            pairs.for_each(|(y, &x)| *y = z * x);
        }
    });
}

/// y [S, D] = z mean, plus sigma * eps where there is noise.
fn draw<T: Real>(part: &ScaledPart, (mean, z): (&[T], &[T]), noise: Option<(Stream, &[T])>, y: &mut [T]) {
    let (len, channels) = (part.elements() as usize, part.channels as usize);
    for_blocks(y.chunks_mut(len), BLOCK, |corner, rows| {
        let (first, count) = (corner.column, rows[0].len());
        with_scratch(2 * count, |scratch: &mut [T]| {
            let (sigma, eps) = scratch.split_at_mut(count);
            if let Some((_, log_variance)) = noise {
                sigma.iter_mut().zip(&log_variance[first..]).for_each(|(sigma, &v)| *sigma = T::of(0.5) * v);
                exponentials(sigma);
            }
            for (i, y) in rows.iter_mut().enumerate() {
                let sample = corner.row + i;
                scaled(part, first, (&mean[first..first + count], &z[sample * channels..]), y);
                if let Some((stream, _)) = noise {
                    normals(&stream, (sample * len.next_multiple_of(4) + first) as u64, eps);
                    y.iter_mut().zip(&*sigma).zip(&*eps).for_each(|((y, &sigma), &eps)| *y += sigma * eps);
                }
            }
        });
    });
}

/// dmean = sum over samples of dy z
fn mean_gradient<T: Real>(part: &ScaledPart, (z, dy): (&[T], &[T]), add: bool, dmean: &mut [T]) {
    let (len, channels) = (part.elements() as usize, part.channels as usize);
    let run = |(i, dmean): (usize, &mut [T])| {
        let (first, count) = (i * BLOCK, dmean.len());
        with_scratch(2 * count, |scratch: &mut [T]| {
            let (sum, product) = scratch.split_at_mut(count);
            sum.fill(T::ZERO);
            for (dy, z) in dy.chunks(len).zip(z.chunks(channels)) {
                scaled(part, first, (&dy[first..first + count], z), product);
                sum.iter_mut().zip(&*product).for_each(|(sum, &product)| *sum += product);
            }
            dmean.iter_mut().zip(&*sum).for_each(|(dmean, &sum)| store(add, dmean, sum));
        });
    };
    if len <= BLOCK {
        run((0, dmean));
    } else {
        dmean.par_chunks_mut(BLOCK).enumerate().for_each(run);
    }
}

/// dz = sum of dy mean over the weights of each multiplier
fn multiplier_gradient<T: Real>(part: &ScaledPart, (mean, dy): (&[T], &[T]), add: bool, dz: &mut [T]) {
    let (len, channels) = (part.elements() as usize, part.channels as usize);
    for (dy, dz) in dy.chunks(len).zip(dz.chunks_mut(channels)) {
        let run = |(i, dz): (usize, &mut [T])| {
            let mut sums = [T::ZERO; CHANNELS];
            block_sums(part, i * CHANNELS, (mean, dy), &mut sums[..dz.len()]);
            dz.iter_mut().zip(sums).for_each(|(dz, sum)| store(add, dz, sum));
        };
        if len <= PARALLEL {
            dz.chunks_mut(CHANNELS).enumerate().for_each(run);
        } else {
            dz.par_chunks_mut(CHANNELS).enumerate().for_each(run);
        }
    }
}

/// Sums of dy mean for the multipliers from `first` on.
fn block_sums<T: Real>(part: &ScaledPart, first: usize, (mean, dy): (&[T], &[T]), sums: &mut [T]) {
    let (channels, inner) = (part.channels as usize, part.inner as usize);
    for row in 0..part.outer as usize {
        let start = (row * channels + first) * inner;
        let [mean, dy] = [mean, dy].map(|x| &x[start..start + sums.len() * inner]);
        let rows = mean.chunks(inner).zip(dy.chunks(inner));
        for (sum, (mean, dy)) in sums.iter_mut().zip(rows) {
            *sum += mean.iter().zip(dy).map(|(&mean, &dy)| mean * dy).sum::<T>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{close, in_pools, pattern};
    use super::*;

    const STREAM: Stream = Stream { key: [1, 2], stream: 3, step: 4 };

    /// Dense layers and filters, one block and several.
    fn parts() -> [ScaledPart; 4] {
        let part = |outer, channels, inner| ScaledPart { outer, channels, inner, stream: 3 };
        [part(1, 1, 1), part(7, 5, 1), part(1, 6, 25), part(30, 301, 1)]
    }

    #[test]
    fn samples_are_scaled_means_and_the_noise_of_their_counters() {
        for (part, samples) in parts().iter().flat_map(|part| [(part, 1), (part, 17)]) {
            let (len, channels) = (part.elements() as usize, part.channels as usize);
            let (mean, z) = (pattern::<f64>(len, 1), pattern::<f64>(channels * samples, 2));
            let log_variance = pattern::<f64>(len, 3);
            let padded = len.next_multiple_of(4);
            let mut eps = vec![0.0; padded * samples];
            STREAM.normals_f64(0, &mut eps);
            let of = |s: usize, i: usize| mean[i] * z[s * channels + i / part.inner as usize % channels];
            let all = |noise: f64| -> Vec<f64> {
                let y = |s, i| of(s, i) + noise * (log_variance[i] / 2.0).exp() * eps[s * padded + i];
                (0..samples).flat_map(|s| (0..len).map(move |i| y(s, i))).collect()
            };
            let mut y = vec![f64::NAN; len * samples];
            draw(part, (&mean, &z), None, &mut y);
            close(&y, &all(0.0), 0.0, 1e-15, "means");
            draw(part, (&mean, &z), Some((STREAM, &log_variance)), &mut y);
            close(&y, &all(1.0), 0.0, 1e-14, "samples");
        }
    }

    #[test]
    fn gradients_do_not_depend_on_the_number_of_threads() {
        let part = parts()[3];
        let (len, channels) = (part.elements() as usize, part.channels as usize);
        let (mean, z, dy) = (pattern::<f32>(len, 1), pattern::<f32>(3 * channels, 2), pattern::<f32>(3 * len, 3));
        in_pools(|| {
            let (mut dmean, mut dz) = (vec![0.0; len], vec![0.0; 3 * channels]);
            mean_gradient(&part, (&z, &dy), false, &mut dmean);
            multiplier_gradient(&part, (&mean, &dy), false, &mut dz);
            dmean.append(&mut dz);
            dmean
        });
    }
}
