//! Convolution, bias, 2x2 max pool and ReLU in one pass, and their gradients.
//!
//! The gradient of the pool is zero except at each window's maximum, so the backward kernels visit only those pixels: at
//! most a quarter of the products of a dense gradient, and none for windows that the ReLU closed.

use super::conv_parallel::{add_partials, for_each_chunk, for_each_chunk_pair, for_each_partial};
use super::conv2d::{images_from, pack_bias, patch_sums, samples_of, split};
use super::memory::with_scratch;
use super::patches::Patches;
use super::tiles::{Tiled, WIDE, for_each_narrow, for_each_wide, gather_tile, padded};
use super::{Io, Real, Strided, StridedMut};
use crate::call::*;

/// Pixels of a pool window.
const WINDOW: usize = 4;
/// Argmax of a window whose ReLU is closed.
const CLOSED: u8 = 4;
/// Values of argmax.
const PLACES: usize = 5;
/// Elements of the patches that share the fastest cache with one channel's sums while a weight gradient is formed.
const GROUP: usize = 6144;

pub fn forward<T: Real>(io: &Io<T>, d: &Conv2dDims) {
    let bias = (d.bias != 0).then(|| io.strided(2));
    forward_slices(d, io.read(0), &io.strided(1), bias.as_ref(), io.write(0), io.write_as(1));
}

pub fn grad_input<T: Real>(io: &Io<T>, d: &Conv2dDims) {
    grad_input_slices(d, (io.read(0), io.read_as(1)), &io.strided(2), io.write(0), io.adds(0));
}

pub fn grad_weight<T: Real>(io: &Io<T>, d: &Conv2dDims) {
    let gradients = [(io.strided_mut(0), io.adds(0)), (io.strided_mut(1), io.adds(1))];
    grad_weight_slices(d, io.read(0), (io.read(1), io.read_as(2)), gradients, io.write(2));
}

/// Places of the pool windows of one image: windows of the last odd row or column do not exist.
#[derive(Clone, Copy)]
struct Windows<'a> {
    patches: &'a Patches,
    height: usize,
    width: usize,
}

impl<'a> Windows<'a> {
    fn new(patches: &'a Patches) -> Self {
        Self { patches, height: patches.out_height / 2, width: patches.out_width / 2 }
    }

    fn count(&self) -> usize {
        self.height * self.width
    }

    /// Pooled elements of one image: O times windows.
    fn pooled(&self) -> usize {
        self.patches.outputs * self.count()
    }

    /// First element of the patch of pixel `place` (row-major in 2x2) of window `window`.
    #[inline(always)]
    fn offset(&self, window: usize, place: usize) -> usize {
        let (row, column) = (window / self.width, window % self.width);
        self.patches.offset(2 * row + place / 2, 2 * column + place % 2)
    }
}

/// y = relu(max over the window of conv(x, w) + b) and where the maximum stood.
fn forward_slices<T: Real>(
    d: &Conv2dDims,
    x: &[T],
    w: &Strided<T>,
    bias: Option<&Strided<T>>,
    y: &mut [T],
    argmax: &mut [u8],
) {
    let patches = &Patches::for_reading(d);
    let windows = Windows::new(patches);
    let sizes = [patches.panels(), padded(patches.outputs), patches.scratch()];
    for_each_chunk_pair(d, (y, argmax), windows.pooled(), |s, first, y, argmax| {
        let x = images_from(d, x, d.shared_input != 0, s, first, patches.image());
        with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
            let [panels, biases, image] = split(scratch, sizes);
            patches.pack_panels(w.block(s), panels);
            pack_bias(bias.map(|b| b.block(s)), biases);
            image.fill(T::ZERO);
            let pooled = y.chunks_exact_mut(windows.pooled()).zip(argmax.chunks_exact_mut(windows.pooled()));
            for (x, (y, argmax)) in x.chunks_exact(patches.image()).zip(pooled) {
                patches.load(x, image);
                for_each_narrow(1, patches.outputs, ForwardImage { windows, panels, biases, image, y, argmax });
            }
        });
    });
}

/// y, argmax [O, H'/2, W'/2] of one image.
struct ForwardImage<'a, T> {
    windows: Windows<'a>,
    panels: &'a [T],
    biases: &'a [T],
    image: &'a [T],
    y: &'a mut [T],
    argmax: &'a mut [u8],
}

impl<T: Real> Tiled for ForwardImage<'_, T> {
    /// The output channels `first..first + L`.
    #[inline(always)]
    fn tile<const FMA: bool, const L: usize>(&mut self, _: usize, first: usize) {
        let (windows, patches) = (self.windows, self.windows.patches);
        let panel = &self.panels[first * patches.taps()..][..L * patches.taps()];
        let bias: [T; L] = std::array::from_fn(|l| self.biases[first + l]);
        let count = windows.count();
        for window in 0..count {
            let starts = std::array::from_fn(|place| windows.offset(window, place));
            let sums = patch_sums::<T, FMA, WINDOW, L>(patches, panel, bias, self.image, starts);
            let (best, place) = pool(&sums);
            let targets = self.y[first * count..].iter_mut().skip(window).step_by(count);
            targets.zip(&best).for_each(|(target, value)| *target = *value);
            let targets = self.argmax[first * count..].iter_mut().skip(window).step_by(count);
            targets.zip(&place).for_each(|(target, value)| *target = *value);
        }
    }
}

/// Greatest of the four pixels (the first of equals; not-a-number wins) after ReLU, and its place or `CLOSED`.
#[inline(always)]
fn pool<T: Real, const L: usize>(sums: &[[T; L]; WINDOW]) -> ([T; L], [u8; L]) {
    let (mut best, mut places) = (sums[0], [0; L]);
    for (place, sums) in (1u8..).zip(&sums[1..]) {
        for l in 0..L {
            let wins = sums[l] > best[l] || sums[l] != sums[l];
            best[l] = if wins { sums[l] } else { best[l] };
            places[l] = if wins { place } else { places[l] };
        }
    }
    for l in 0..L {
        let closed = best[l] <= T::ZERO;
        best[l] = if closed { T::ZERO } else { best[l] };
        places[l] = if closed { CLOSED } else { places[l] };
    }
    (best, places)
}

/// dx (+)= the gradient through the open windows; for a shared input, summed over samples.
fn grad_input_slices<T: Real>(d: &Conv2dDims, (dy, argmax): (&[T], &[u8]), w: &Strided<T>, dx: &mut [T], add: bool) {
    let patches = &Patches::interleaved(d);
    let windows = Windows::new(patches);
    let pooled = windows.pooled();
    let sizes = [patches.weight_runs(), patches.scratch(), pooled, pooled, windows.count() * PLACES];
    for_each_chunk(d, dx, patches.image(), |sample, first, dx| {
        for (turn, s) in samples_of(d, sample).enumerate() {
            let dy = images_from(d, dy, false, s, first, pooled).chunks_exact(pooled);
            let argmax = images_from(d, argmax, false, s, first, pooled).chunks_exact(pooled);
            with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
                let [weights, image, values, channels, ends] = split(scratch, sizes);
                patches.pack_runs(w.block(s), weights, WIDE);
                let mut open = OpenPixels { values, channels: as_u32(channels), ends: as_u32(ends) };
                for (dx, (dy, argmax)) in dx.chunks_exact_mut(patches.image()).zip(dy.zip(argmax)) {
                    open.sort(windows.count(), dy, argmax);
                    image.fill(T::ZERO);
                    for_each_wide(patches.runs, patches.run, GradInputImage { windows, weights, open: &open, image });
                    patches.unload(image, dx, add || turn > 0);
                }
            });
        }
    });
}

/// Scratch as whole numbers, at least as many.
fn as_u32<T: Real>(scratch: &mut [T]) -> &mut [u32] {
    bytemuck::cast_slice_mut(scratch)
}

/// The gradients of one image sorted by conv pixel: bucket `window * PLACES + place`, channels in order within a bucket.
struct OpenPixels<'a, T> {
    values: &'a mut [T],
    channels: &'a mut [u32],
    /// End of each bucket, which is the start of the next.
    ends: &'a mut [u32],
}

impl<T: Real> OpenPixels<'_, T> {
    /// Counting sort of dy, argmax [O, windows], without a branch on argmax, which no predictor could guess.
    fn sort(&mut self, windows: usize, dy: &[T], argmax: &[u8]) {
        let ends = &mut self.ends[..windows * PLACES];
        ends.fill(0);
        for argmax in argmax.chunks_exact(windows) {
            for (counts, place) in ends.chunks_exact_mut(PLACES).zip(argmax) {
                counts[usize::from((*place).min(CLOSED))] += 1;
            }
        }
        let mut start = 0;
        for end in ends.iter_mut() {
            start += std::mem::replace(end, start);
        }
        for (channel, (dy, argmax)) in (0..).zip(dy.chunks_exact(windows).zip(argmax.chunks_exact(windows))) {
            for (ends, (value, place)) in ends.chunks_exact_mut(PLACES).zip(dy.iter().zip(argmax)) {
                let end = &mut ends[usize::from((*place).min(CLOSED))];
                self.values[*end as usize] = *value;
                self.channels[*end as usize] = channel;
                *end += 1;
            }
        }
    }

    /// Gradients and channels of the pixel at `place` of `window`.
    #[inline(always)]
    fn pixel(&self, window: usize, place: usize) -> (&[T], &[u32]) {
        let bucket = window * PLACES + place;
        let start = if bucket == 0 { 0 } else { self.ends[bucket - 1] as usize };
        let end = self.ends[bucket] as usize;
        (&self.values[start..end], &self.channels[start..end])
    }
}

/// image += the patches' gradients of one image.
struct GradInputImage<'a, T> {
    windows: Windows<'a>,
    weights: &'a [T],
    open: &'a OpenPixels<'a, T>,
    image: &'a mut [T],
}

impl<T: Real> Tiled for GradInputImage<'_, T> {
    /// One block of weight lanes [O, L] stays in the fastest cache for all pixels.
    #[inline(always)]
    fn tile<const FMA: bool, const L: usize>(&mut self, r: usize, lane: usize) {
        let patches = self.windows.patches;
        let weights = &self.weights[patches.weight_block(r, lane)..][..L * patches.outputs];
        let image = &mut self.image[patches.run_offset(r) + lane..];
        for window in 0..self.windows.count() {
            for place in 0..WINDOW {
                let (values, channels) = self.open.pixel(window, place);
                let mut sums = [T::ZERO; L];
                gather_tile::<T, FMA, L>(&mut sums, values, channels, L, weights);
                let target = &mut image[self.windows.offset(window, place)..][..L];
                target.iter_mut().zip(&sums).for_each(|(target, sum)| *target += *sum);
            }
        }
    }
}

/// dw (+)= sum over images and open windows of dy times patch, db (+)= sum of dy over open windows: per chunk of images into
/// `partials`, then over chunks in order. `gradients`: dw and db, each with whether it is added to.
fn grad_weight_slices<T: Real>(
    d: &Conv2dDims,
    x: &[T],
    (dy, argmax): (&[T], &[u8]),
    gradients: [(StridedMut<T>, bool); 2],
    partials: &mut [T],
) {
    let patches = &Patches::for_reading(d);
    let windows = Windows::new(patches);
    let pooled = windows.pooled();
    let group = (GROUP / patches.scratch()).clamp(1, d.images_per_chunk());
    let list = group * windows.count();
    let sizes = [patches.weight_runs(), patches.scratch() * group, windows.count(), list, list];
    let weights = patches.outputs * patches.taps();
    for_each_partial(d, partials, |s, first, images, partial| {
        let x = &images_from(d, x, d.shared_input != 0, s, first, patches.image())[..images * patches.image()];
        let dy = images_from(d, dy, false, s, first, pooled).chunks(group * pooled);
        let argmax = images_from(d, argmax, false, s, first, pooled).chunks(group * pooled);
        let (dw, db) = partial.split_at_mut(weights);
        db.fill(T::ZERO);
        with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
            let [sums, loaded, starts, values, offsets] = split(scratch, sizes);
            sums.fill(T::ZERO);
            loaded.fill(T::ZERO);
            let mut open = OpenWindows::new(windows, as_u32(starts), values, as_u32(offsets));
            for (x, (dy, argmax)) in x.chunks(group * patches.image()).zip(dy.zip(argmax)) {
                let images = x.chunks_exact(patches.image()).zip(loaded.chunks_exact_mut(patches.scratch()));
                images.for_each(|(x, image)| patches.load(x, image));
                let count = x.len() / patches.image();
                for (o, db) in db.iter_mut().enumerate() {
                    open.list(o, count, dy, argmax);
                    open.values().iter().for_each(|value| *db += *value);
                    let channel = GradWeightChannel { patches, images: loaded, open: &open, sums, channel: o };
                    for_each_wide(patches.runs, patches.run, channel);
                }
            }
            patches.unpack_runs(sums, dw, WIDE);
        });
    });
    let [(dw, add_dw), (db, add_db)] = gradients;
    add_partials(d, partials, 0, dw, add_dw);
    add_partials(d, partials, weights, db, add_db);
}

/// The open windows of one output channel over a group of images.
struct OpenWindows<'a, T> {
    windows: Windows<'a>,
    /// First element of each window's patch in a scratch image.
    starts: &'a mut [u32],
    /// Offset of a pixel's patch from its window's, by argmax.
    places: [u32; PLACES],
    values: &'a mut [T],
    offsets: &'a mut [u32],
    len: usize,
}

impl<'a, T: Real> OpenWindows<'a, T> {
    fn new(windows: Windows<'a>, starts: &'a mut [u32], values: &'a mut [T], offsets: &'a mut [u32]) -> Self {
        for (window, start) in starts.iter_mut().enumerate().take(windows.count()) {
            *start = windows.offset(window, 0) as u32;
        }
        let places = [0, 1, 2, 3, 0].map(|place| windows.offset(0, place) as u32);
        Self { windows, starts, places, values, offsets, len: 0 }
    }

    /// Lists the open windows of `channel` in `images` images of dy, argmax [images, O, windows]. Every window is stored and
    /// only open ones advance the list: no branch on argmax, which no predictor could guess.
    fn list(&mut self, channel: usize, images: usize, dy: &[T], argmax: &[u8]) {
        let count = self.windows.count();
        self.len = 0;
        for image in 0..images {
            let first = image * self.windows.pooled() + channel * count;
            let start = (image * self.windows.patches.scratch()) as u32;
            let pixels = dy[first..][..count].iter().zip(&argmax[first..][..count]);
            for ((value, place), window) in pixels.zip(self.starts.iter()) {
                self.values[self.len] = *value;
                self.offsets[self.len] = start + window + self.places[usize::from((*place).min(CLOSED))];
                self.len += usize::from(*place < CLOSED);
            }
        }
    }

    fn values(&self) -> &[T] {
        &self.values[..self.len]
    }
}

/// sums (weights as runs) += dy times patch over the listed windows of one output channel.
struct GradWeightChannel<'a, T> {
    patches: &'a Patches,
    images: &'a [T],
    open: &'a OpenWindows<'a, T>,
    sums: &'a mut [T],
    channel: usize,
}

impl<T: Real> Tiled for GradWeightChannel<'_, T> {
    #[inline(always)]
    fn tile<const FMA: bool, const L: usize>(&mut self, r: usize, lane: usize) {
        let first = self.patches.weight_block(r, lane) + self.channel * L;
        let Ok(target) = <&mut [T; L]>::try_from(&mut self.sums[first..][..L]) else { return };
        let mut sums = *target;
        let images = &self.images[self.patches.run_offset(r) + lane..];
        gather_tile::<T, FMA, L>(&mut sums, self.open.values(), &self.open.offsets[..self.open.len], 1, images);
        *target = sums;
    }
}

#[cfg(test)]
#[path = "conv2d_pool_tests.rs"]
mod tests;
