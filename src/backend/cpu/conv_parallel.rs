//! How convolutions are cut into tasks: by weight sample and chunk of images, with sizes that depend on dims only.

use super::patches::Patches;
use super::tiles::Span;
use super::{Real, StridedMut};
use crate::call::Conv2dDims;
use rayon::prelude::*;

/// Multiply-adds below which a call stays on the calling thread: about 10 us of work, the cost of waking others.
const SMALL: usize = 1 << 18;
/// Tasks of a call that writes images, over all samples: a multiple of the usual numbers of threads.
const TASKS: usize = 20;
/// Elements of one task of a sum over chunks.
const SUM_BLOCK: usize = 4096;

/// True when the call is worth other threads.
fn is_parallel(d: &Conv2dDims) -> bool {
    let taps = d.channels as usize * (d.kernel * d.kernel) as usize;
    let pixels = (d.out_height * d.out_width) as usize;
    (d.samples as usize * d.batch as usize * d.outputs as usize).saturating_mul(taps * pixels) >= SMALL
}

/// Images N of one task of a call that writes images; the result does not depend on it.
pub fn images_per_task(d: &Conv2dDims) -> usize {
    (d.batch as usize).div_ceil(TASKS.div_ceil(d.samples as usize)).max(1)
}

/// Runs `work(sample, first image, part)` on every chunk of images of `data` [S or 1, N, len].
pub fn for_each_chunk<T: Send>(
    d: &Conv2dDims,
    data: &mut [T],
    len: usize,
    work: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let (batch, images) = (d.batch as usize, images_per_task(d));
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
    let (batch, images) = (d.batch as usize, images_per_task(d));
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
/// [S, chunks, len].
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
    let len = d.grad_weight_partial();
    if is_parallel(d) {
        partials.par_chunks_mut(len).enumerate().for_each(each);
    } else {
        partials.chunks_mut(len).enumerate().for_each(each);
    }
}

/// Sums the partial gradients of each sample over chunks, in the order of the chunks, into the first chunk's.
pub fn add_partials<T: Real>(d: &Conv2dDims, partials: &mut [T]) {
    let len = d.grad_weight_partial();
    let sample_len = len * d.grad_weight_chunks();
    let add_block = |others: &[T], block: usize, target: &mut [T]| {
        for partial in others.chunks_exact(len) {
            for (sum, value) in target.iter_mut().zip(&partial[block * SUM_BLOCK..]) {
                *sum += *value;
            }
        }
    };
    if !is_parallel(d) {
        for sample in partials.chunks_mut(sample_len) {
            let (first, others) = sample.split_at_mut(len);
            first.chunks_mut(SUM_BLOCK).enumerate().for_each(|(i, part)| add_block(others, i, part));
        }
        return;
    }
    partials.par_chunks_mut(sample_len).for_each(|sample| {
        let (first, others) = sample.split_at_mut(len);
        first.par_chunks_mut(SUM_BLOCK).enumerate().for_each(|(i, part)| add_block(others, i, part));
    });
}

/// Sets dw to, or adds, the summed gradients: weights as runs in the first chunk of each sample's partials.
pub fn store_weights<T: Real>(
    d: &Conv2dDims,
    (patches, span): (&Patches, Span),
    partials: &[T],
    dw: StridedMut<T>,
    add: bool,
) {
    let sample_len = d.grad_weight_partial() * d.grad_weight_chunks();
    let store = |s: usize, o: usize, dw: &mut [T]| {
        patches.unpack_channel(&partials[s * sample_len..], o, dw, span, add);
    };
    if !is_parallel(d) {
        for (s, dw) in dw.blocks().enumerate() {
            dw.chunks_mut(patches.taps()).enumerate().for_each(|(o, dw)| store(s, o, dw));
        }
        return;
    }
    dw.par_blocks().enumerate().for_each(|(s, dw)| {
        let channels = dw.par_chunks_mut(patches.taps()).with_min_len(SUM_BLOCK.div_ceil(patches.taps()));
        channels.enumerate().for_each(|(o, dw)| store(s, o, dw));
    });
}
