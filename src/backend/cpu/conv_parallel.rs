//! How convolutions are cut into tasks: by weight sample and chunk of images, with sizes that depend on dims only.

use super::{Real, StridedMut};
use crate::call::Conv2dDims;
use rayon::prelude::*;

/// Multiply-adds below which a call stays on the calling thread: about 10 us of work, the cost of waking others.
const SMALL: usize = 1 << 18;
/// Elements of one task of a sum over chunks.
const SUM_BLOCK: usize = 4096;

/// True when the call is worth other threads.
fn is_parallel(d: &Conv2dDims) -> bool {
    let taps = d.channels as usize * (d.kernel * d.kernel) as usize;
    let pixels = (d.out_height * d.out_width) as usize;
    (d.samples as usize * d.batch as usize * d.outputs as usize).saturating_mul(taps * pixels) >= SMALL
}

/// Runs `work(sample, first image, part)` on every chunk of images of `data` [S or 1, N, len].
pub fn for_each_chunk<T: Send>(
    d: &Conv2dDims,
    data: &mut [T],
    len: usize,
    work: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let (batch, images) = (d.batch as usize, d.images_per_chunk());
    if !is_parallel(d) {
        for (s, sample) in data.chunks_mut(batch * len).enumerate() {
            sample.chunks_mut(images * len).enumerate().for_each(|(i, part)| work(s, i * images, part));
        }
        return;
    }
    data.par_chunks_mut(batch * len).enumerate().for_each(|(s, sample)| {
        sample.par_chunks_mut(images * len).enumerate().for_each(|(i, part)| work(s, i * images, part));
    });
}

/// As [`for_each_chunk`] on two arrays [S, N, len] at once.
pub fn for_each_chunk_pair<T: Send, U: Send>(
    d: &Conv2dDims,
    (first, second): (&mut [T], &mut [U]),
    len: usize,
    work: impl Fn(usize, usize, &mut [T], &mut [U]) + Sync,
) {
    let (batch, images) = (d.batch as usize, d.images_per_chunk());
    if !is_parallel(d) {
        let samples = first.chunks_mut(batch * len).zip(second.chunks_mut(batch * len));
        for (s, (a, b)) in samples.enumerate() {
            let chunks = a.chunks_mut(images * len).zip(b.chunks_mut(images * len));
            chunks.enumerate().for_each(|(i, (a, b))| work(s, i * images, a, b));
        }
        return;
    }
    let samples = first.par_chunks_mut(batch * len).zip(second.par_chunks_mut(batch * len));
    samples.enumerate().for_each(|(s, (a, b))| {
        let chunks = a.par_chunks_mut(images * len).zip(b.par_chunks_mut(images * len));
        chunks.enumerate().for_each(|(i, (a, b))| work(s, i * images, a, b));
    });
}

/// Runs `work(sample, first image, images, partial)` for every chunk and its partial gradient in `partials`
/// [S, chunks, O*C*K*K + O].
pub fn for_each_partial<T: Real>(
    d: &Conv2dDims,
    partials: &mut [T],
    work: impl Fn(usize, usize, usize, &mut [T]) + Sync,
) {
    let (chunks, images) = (d.grad_weight_chunks(), d.images_per_chunk());
    let each = |(i, partial): (usize, &mut [T])| {
        let first = i % chunks * images;
        work(i / chunks, first, images.min(d.batch as usize - first), partial);
    };
    let len = partials.len() / (chunks * d.samples as usize);
    if is_parallel(d) {
        partials.par_chunks_mut(len).enumerate().for_each(each);
    } else {
        partials.chunks_mut(len).enumerate().for_each(each);
    }
}

/// Sums elements `first..` of the partial gradients over chunks, in the order of the chunks, into the blocks of `sum`.
pub fn add_partials<T: Real>(d: &Conv2dDims, partials: &[T], first: usize, sum: StridedMut<T>, add: bool) {
    let chunks = d.grad_weight_chunks();
    let len = partials.len() / (chunks * d.samples as usize);
    let block_sum = |s: usize, block: usize, target: &mut [T]| {
        if !add {
            target.fill(T::ZERO);
        }
        for partial in partials[s * chunks * len..][..chunks * len].chunks_exact(len) {
            for (sum, value) in target.iter_mut().zip(&partial[first + block * SUM_BLOCK..]) {
                *sum += *value;
            }
        }
    };
    if !is_parallel(d) || sum.count * sum.len <= SUM_BLOCK {
        for (s, target) in sum.blocks().enumerate() {
            target.chunks_mut(SUM_BLOCK).enumerate().for_each(|(i, part)| block_sum(s, i, part));
        }
        return;
    }
    sum.par_blocks().enumerate().for_each(|(s, target)| {
        target.par_chunks_mut(SUM_BLOCK).enumerate().for_each(|(i, part)| block_sum(s, i, part));
    });
}
