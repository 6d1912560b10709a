//! Convolution, bias, 2x2 max pool and ReLU in one pass, and their gradients.
//!
//! The gradient of the pool is zero except at each window's maximum, so the backward kernels visit only those pixels: at
//! most a quarter of the products of a dense gradient, and none for windows that the ReLU closed.

use super::conv_parallel::{add_partials, for_each_chunk, for_each_chunk_pair, for_each_partial, store_weights};
use super::conv2d::{ForwardImages, as_u32, images_from, load_images, sample_panels, split, with_panels};
use super::conv2d_grad::{samples_of, with_runs};
use super::memory::with_scratch;
use super::patches::Patches;
use super::tiles::{Span, Tiled, add_lanes, for_each_block, gather_tile, is_nan, padded};
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
    let pixels = WINDOW * windows.count();
    let sizes = [patches.scratch(), pixels, padded(patches.outputs) * pixels];
    with_panels(d, (patches, patches.weights()), w, bias, |packed| {
        for_each_chunk_pair(d, (y, argmax), windows.pooled(), |s, first, y, argmax| {
            let x = images_from(d, x, d.shared_input != 0, s, first, patches.image());
            let (panels, biases) = sample_panels(patches, packed, s);
            with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
                let [image, starts, tile] = split(scratch, sizes);
                image.fill(T::ZERO);
                let starts = &mut as_u32(starts)[..pixels];
                for (i, start) in starts.iter_mut().enumerate() {
                    *start = windows.offset(i / WINDOW, i % WINDOW) as u32;
                }
                let pooled = y.chunks_exact_mut(windows.pooled()).zip(argmax.chunks_exact_mut(windows.pooled()));
                for (x, (y, argmax)) in x.chunks_exact(patches.image()).zip(pooled) {
                    patches.load(x, image);
                    let conv = ForwardImages { patches, panels, biases, images: image, starts, tile };
                    for_each_block(Span::Narrow, 1, patches.outputs, conv);
                    for_each_block(
                        Span::Narrow,
                        1,
                        patches.outputs,
                        PoolTile { outputs: patches.outputs, pixels, tile, y, argmax },
                    );
                }
            });
        });
    });
}

/// y, argmax [O, windows] of one image from its tile [panel][pixels window by window, channels of the panel].
struct PoolTile<'a, T> {
    outputs: usize,
    pixels: usize,
    tile: &'a [T],
    y: &'a mut [T],
    argmax: &'a mut [u8],
}

impl<T: Real> Tiled for PoolTile<'_, T> {
    #[inline(always)]
    fn tile<const W: usize, const P: usize, const L: usize>(&mut self, _: usize, first: usize) {
        let (count, channels) = (self.pixels / WINDOW, L.min(self.outputs - first));
        let (y, argmax) = (&mut self.y[first * count..], &mut self.argmax[first * count..]);
        let (y, argmax) = (&mut y[..channels * count], &mut argmax[..channels * count]);
        let tile = &self.tile[first * self.pixels..][..L * self.pixels];
        for (window, tile) in tile.chunks_exact(WINDOW * L).enumerate() {
            let mut sums = [[T::ZERO; L]; WINDOW];
            for place in 0..WINDOW {
                sums[place].copy_from_slice(&tile[place * L..][..L]);
            }
            let (best, places) = pool(&sums);
            for l in 0..channels {
                y[l * count + window] = best[l];
                argmax[l * count + window] = places[l];
            }
        }
    }
}

/// Greatest of the four pixels (the first of equals; not-a-number wins) after ReLU, and its place or `CLOSED`.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "iterator adaptors are not inlined into the vector code")]
fn pool<T: Real, const L: usize>(sums: &[[T; L]; WINDOW]) -> ([T; L], [u8; L]) {
    let (mut best, mut places) = (sums[0], [0; L]);
    for place in 1..WINDOW {
        for l in 0..L {
            let value = sums[place][l];
            let wins = value > best[l] || is_nan(value);
            best[l] = if wins { value } else { best[l] };
            places[l] = if wins { place as u8 } else { places[l] };
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
    let sizes = [patches.scratch(), pooled, pooled, windows.count() * PLACES];
    with_runs(d, patches, w, Span::Wide, |packed| {
        for_each_chunk(d, dx, patches.image(), |sample, first, dx| {
            for (turn, s) in samples_of(d, sample).enumerate() {
                let dy = images_from(d, dy, false, s, first, pooled).chunks_exact(pooled);
                let argmax = images_from(d, argmax, false, s, first, pooled).chunks_exact(pooled);
                let weights = &packed[s * patches.weight_runs()..][..patches.weight_runs()];
                with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
                    let [image, values, channels, ends] = split(scratch, sizes);
                    let mut open = OpenPixels { values, channels: as_u32(channels), ends: as_u32(ends) };
                    for (dx, (dy, argmax)) in dx.chunks_exact_mut(patches.image()).zip(dy.zip(argmax)) {
                        open.sort(windows.count(), dy, argmax);
                        image.fill(T::ZERO);
                        let work = GradInputImage { windows, weights, open: &open, image };
                        for_each_block(Span::Wide, patches.runs, patches.run, work);
                        patches.unload(image, dx, add || turn > 0);
                    }
                });
            }
        });
    });
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
    fn tile<const W: usize, const P: usize, const L: usize>(&mut self, r: usize, lane: usize) {
        let patches = self.windows.patches;
        let weights = &self.weights[patches.weight_block(r, lane)..][..L * patches.outputs];
        let image = &mut self.image[patches.run_offset(r) + lane..];
        let (height, width) = (self.windows.height, self.windows.width);
        for row in 0..height {
            for column in 0..width {
                for place in 0..WINDOW {
                    let (values, channels) = self.open.pixel(row * width + column, place);
                    let mut sums = [[T::ZERO; L]];
                    gather_tile::<T, W, 1, L>(&mut sums, [values], channels, L, weights);
                    let start = patches.offset(2 * row + place / 2, 2 * column + place % 2);
                    add_lanes(&mut image[start..], &sums[0]);
                }
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
    let group = patches.group(d.images_per_chunk(), GROUP);
    let list = group * windows.count();
    let sizes = [patches.scratch() * group, windows.count(), list, list];
    let bias = d.grad_weight_partial() - patches.outputs;
    for_each_partial(d, partials, |s, first, images, partial| {
        let x = &images_from(d, x, d.shared_input != 0, s, first, patches.image())[..images * patches.image()];
        let dy = images_from(d, dy, false, s, first, pooled).chunks(group * pooled);
        let argmax = images_from(d, argmax, false, s, first, pooled).chunks(group * pooled);
        let (sums, db) = partial.split_at_mut(bias);
        let sums = &mut sums[..patches.weight_runs()];
        sums.fill(T::ZERO);
        db.fill(T::ZERO);
        with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
            let [loaded, starts, values, offsets] = split(scratch, sizes);
            loaded.fill(T::ZERO);
            let mut open = OpenWindows::new(windows, as_u32(starts), values, as_u32(offsets));
            for (x, (dy, argmax)) in x.chunks(group * patches.image()).zip(dy.zip(argmax)) {
                load_images(patches, x, loaded);
                let count = x.len() / patches.image();
                for (o, db) in db.iter_mut().enumerate() {
                    open.list(o, count, dy, argmax);
                    open.values().iter().for_each(|value| *db += *value);
                    let channel = GradWeightChannel { patches, images: loaded, open: &open, sums, channel: o };
                    for_each_block(Span::Wide, patches.runs, patches.run, channel);
                }
            }
        });
    });
    let [(dw, add_dw), (db, add_db)] = gradients;
    add_partials(d, partials);
    store_weights(d, (patches, Span::Wide), partials, dw, add_dw);
    store_biases(d, partials, db, add_db);
}

/// Sets db to, or adds, the summed gradients at the end of the first chunk of each sample's partials.
fn store_biases<T: Real>(d: &Conv2dDims, partials: &[T], db: StridedMut<T>, add: bool) {
    let len = d.grad_weight_partial();
    for (partials, db) in partials.chunks_exact(len * d.grad_weight_chunks()).zip(db.blocks()) {
        let sums = &partials[len - db.len()..len];
        if add {
            db.iter_mut().zip(sums).for_each(|(db, sum)| *db += *sum);
        } else {
            db.copy_from_slice(sums);
        }
    }
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
    fn tile<const W: usize, const P: usize, const L: usize>(&mut self, r: usize, lane: usize) {
        let first = self.patches.weight_block(r, lane) + self.channel * L;
        let Ok(target) = <&mut [T; L]>::try_from(&mut self.sums[first..][..L]) else { return };
        let mut sums = [*target];
        let images = &self.images[self.patches.run_offset(r) + lane..];
        let offsets = &self.open.offsets[..self.open.len];
        gather_tile::<T, W, 1, L>(&mut sums, [self.open.values()], offsets, 1, images);
        *target = sums[0];
    }
}

#[cfg(test)]
#[path = "conv2d_pool_tests.rs"]
mod tests;
