//! Convolution with weights per sample, and its gradients.

use super::conv_parallel::{add_partials, for_each_chunk, for_each_partial};
use super::memory::with_scratch;
use super::patches::Patches;
use super::tiles::{NARROW, Tiled, blocks, dot_tile, for_each_narrow, padded};
use super::{Io, Real, Strided, StridedMut};
use crate::call::*;

/// Output pixels, or output channels, that a register tile spans.
const PIXELS: usize = 4;
const CHANNELS: usize = 4;

pub fn forward<T: Real>(io: &Io<T>, d: &Conv2dDims, function: Unary) {
    let bias = (d.bias != 0).then(|| io.strided(2));
    forward_slices(d, function, io.read(0), &io.strided(1), bias.as_ref(), io.write(0));
}

pub fn grad_input<T: Real>(io: &Io<T>, d: &Conv2dDims) {
    grad_input_slices(d, io.read(0), &io.strided(1), io.write(0), io.adds(0));
}

pub fn grad_weight<T: Real>(io: &Io<T>, d: &Conv2dDims) {
    grad_weight_slices(d, io.read(0), io.read(1), io.strided_mut(0), io.adds(0), io.write(1));
}

/// Images of `sample` from `first` in an array [S or 1, N, len].
pub fn images_from<'a, T>(
    d: &Conv2dDims,
    data: &'a [T],
    shared: bool,
    sample: usize,
    first: usize,
    len: usize,
) -> &'a [T] {
    let sample = if shared { 0 } else { sample };
    let batch = d.batch as usize;
    &data[(sample * batch + first) * len..(sample + 1) * batch * len]
}

/// y = f(conv(x, w) + b)
fn forward_slices<T: Real>(
    d: &Conv2dDims,
    function: Unary,
    x: &[T],
    w: &Strided<T>,
    bias: Option<&Strided<T>>,
    y: &mut [T],
) {
    let patches = &Patches::for_reading(d);
    let lanes = padded(patches.outputs);
    let sizes = [patches.panels(), lanes, patches.scratch(), lanes * patches.pixels().next_multiple_of(PIXELS)];
    for_each_chunk(d, y, patches.outputs * patches.pixels(), |s, first, y| {
        let x = images_from(d, x, d.shared_input != 0, s, first, patches.image());
        with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
            let [panels, biases, image, tile] = split(scratch, sizes);
            patches.pack_panels(w.block(s), panels);
            pack_bias(bias.map(|b| b.block(s)), biases);
            image.fill(T::ZERO);
            let y = y.chunks_exact_mut(patches.outputs * patches.pixels());
            for (x, y) in x.chunks_exact(patches.image()).zip(y) {
                patches.load(x, image);
                for_each_narrow(1, patches.outputs, ForwardImage { patches, panels, biases, image, tile });
                store_channels(patches, tile, y, function);
            }
        });
    });
}

/// `scratch` cut into parts of the given sizes.
pub fn split<T, const N: usize>(mut scratch: &mut [T], sizes: [usize; N]) -> [&mut [T]; N] {
    sizes.map(|size| {
        let (part, rest) = std::mem::take(&mut scratch).split_at_mut(size);
        scratch = rest;
        part
    })
}

/// The biases of one sample (zero when there are none), zero beyond O.
pub fn pack_bias<T: Real>(bias: Option<&[T]>, packed: &mut [T]) {
    packed.fill(T::ZERO);
    if let Some(bias) = bias {
        packed[..bias.len()].copy_from_slice(bias);
    }
}

/// tile [panel][H'*W', channels of the panel] = conv(image, panels) + biases, before the activation.
struct ForwardImage<'a, T> {
    patches: &'a Patches,
    panels: &'a [T],
    biases: &'a [T],
    image: &'a [T],
    tile: &'a mut [T],
}

impl<T: Real> Tiled for ForwardImage<'_, T> {
    /// The output channels `first..first + L`.
    #[inline(always)]
    fn tile<const FMA: bool, const L: usize>(&mut self, _: usize, first: usize) {
        let patches = self.patches;
        let panel = &self.panels[first * patches.taps()..][..L * patches.taps()];
        let bias: [T; L] = std::array::from_fn(|l| self.biases[first + l]);
        let last = patches.pixels() - 1;
        let pixels = patches.pixels().next_multiple_of(PIXELS);
        let targets = self.tile[first * pixels..][..L * pixels].chunks_exact_mut(PIXELS * L);
        for (i, target) in targets.enumerate() {
            let starts = std::array::from_fn(|p| {
                let pixel = (i * PIXELS + p).min(last);
                patches.offset(pixel / patches.out_width, pixel % patches.out_width)
            });
            let sums = patch_sums::<T, FMA, PIXELS, L>(patches, panel, bias, self.image, starts);
            for (target, sums) in target.chunks_exact_mut(L).zip(&sums) {
                target.copy_from_slice(sums);
            }
        }
    }
}

/// The sums over the patches that start at `starts`, for the channels of one panel.
#[inline(always)]
pub fn patch_sums<T: Real, const FMA: bool, const P: usize, const L: usize>(
    patches: &Patches,
    panel: &[T],
    bias: [T; L],
    image: &[T],
    starts: [usize; P],
) -> [[T; L]; P] {
    let mut sums = [bias; P];
    for (r, panel) in panel.chunks_exact(patches.run * L).enumerate() {
        let rows = starts.map(|start| &image[start + patches.run_offset(r)..][..patches.run]);
        dot_tile::<T, FMA, P, L>(&mut sums, rows, panel, L);
    }
    sums
}

/// y [O, H'*W'] = f(tile), with the tile as [panel][H'*W', channels of the panel].
fn store_channels<T: Real>(patches: &Patches, tile: &[T], y: &mut [T], function: Unary) {
    let pixels = patches.pixels();
    let stored = pixels.next_multiple_of(PIXELS);
    for (first, width) in blocks(patches.outputs, NARROW) {
        let tile = &tile[first * stored..][..width * stored];
        let channels = y.chunks_exact_mut(pixels).skip(first).take(width);
        for (l, y) in channels.enumerate() {
            let values = tile[l..].iter().step_by(width);
            y.iter_mut().zip(values).for_each(|(y, value)| *y = *value);
        }
    }
    if function != Unary::Identity {
        y.iter_mut().for_each(|y| *y = activation(function, *y));
    }
}

/// f(x) for one element.
#[inline(always)]
fn activation<T: Real>(function: Unary, x: T) -> T {
    match function {
        Unary::Identity => x,
        Unary::Relu => {
            if x < T::ZERO {
                T::ZERO
            } else {
                x
            }
        }
        Unary::LeakyRelu(slope) => {
            if x > T::ZERO {
                x
            } else {
                T::of(f64::from(slope)) * x
            }
        }
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => T::ONE / (T::ONE + (-x).exp()),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sign => {
            if x > T::ZERO {
                T::ONE
            } else if x < T::ZERO {
                -T::ONE
            } else {
                T::ZERO
            }
        }
        Unary::Affine(a, b) => T::of(f64::from(a)) * x + T::of(f64::from(b)),
        Unary::Square => x * x,
    }
}

/// dx (+)= the transposed convolution of dy with w; for a shared input, summed over samples.
fn grad_input_slices<T: Real>(d: &Conv2dDims, dy: &[T], w: &Strided<T>, dx: &mut [T], add: bool) {
    let patches = &Patches::interleaved(d);
    let out = patches.outputs * patches.pixels();
    let sizes = [patches.weight_runs(), patches.scratch(), out];
    for_each_chunk(d, dx, patches.image(), |sample, first, dx| {
        for (turn, s) in samples_of(d, sample).enumerate() {
            let dy = images_from(d, dy, false, s, first, out);
            with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
                let [weights, image, turned] = split(scratch, sizes);
                patches.pack_runs(w.block(s), weights, NARROW);
                for (dx, dy) in dx.chunks_exact_mut(patches.image()).zip(dy.chunks_exact(out)) {
                    turn_channels(dy, patches.pixels(), turned);
                    image.fill(T::ZERO);
                    let work = GradInputImage { patches, weights, dy: turned, image };
                    for_each_narrow(patches.runs, patches.run, work);
                    patches.unload(image, dx, add || turn > 0);
                }
            });
        }
    });
}

/// The samples whose gradients one task adds up: all of them when the input is shared.
pub fn samples_of(d: &Conv2dDims, sample: usize) -> std::ops::Range<usize> {
    if d.shared_input != 0 { 0..d.samples as usize } else { sample..sample + 1 }
}

/// dy [O, pixels] as [pixels, O].
fn turn_channels<T: Real>(dy: &[T], pixels: usize, turned: &mut [T]) {
    let outputs = dy.len() / pixels;
    for (o, dy) in dy.chunks_exact(pixels).enumerate() {
        for (target, value) in turned[o..].iter_mut().step_by(outputs).zip(dy) {
            *target = *value;
        }
    }
}

/// image += the patches' gradients, w^T dy of every output pixel, with dy [H'*W', O].
struct GradInputImage<'a, T> {
    patches: &'a Patches,
    weights: &'a [T],
    dy: &'a [T],
    image: &'a mut [T],
}

impl<T: Real> Tiled for GradInputImage<'_, T> {
    /// Adds one block of lanes of every patch's gradient to the image; lanes beyond the run are zero.
    #[inline(always)]
    fn tile<const FMA: bool, const L: usize>(&mut self, r: usize, lane: usize) {
        let (patches, outputs) = (self.patches, self.patches.outputs);
        let weights = &self.weights[patches.weight_block(r, lane)..][..L * outputs];
        let image = &mut self.image[patches.run_offset(r) + lane..];
        let pixels = patches.pixels();
        for first in (0..pixels).step_by(PIXELS) {
            let rows: [&[T]; PIXELS] =
                std::array::from_fn(|p| &self.dy[(first + p).min(pixels - 1) * outputs..][..outputs]);
            let mut sums = [[T::ZERO; L]; PIXELS];
            dot_tile::<T, FMA, PIXELS, L>(&mut sums, rows, weights, L);
            for (pixel, sums) in (first..pixels).zip(&sums) {
                let start = patches.offset(pixel / patches.out_width, pixel % patches.out_width);
                image[start..][..L].iter_mut().zip(sums).for_each(|(target, sum)| *target += *sum);
            }
        }
    }
}

/// dw (+)= sum over images and pixels of dy times patch: per chunk of images into `partials`, then over chunks in order.
fn grad_weight_slices<T: Real>(d: &Conv2dDims, x: &[T], dy: &[T], dw: StridedMut<T>, add: bool, partials: &mut [T]) {
    let patches = &Patches::for_reading(d);
    let out = patches.outputs * patches.pixels();
    let sizes = [patches.weight_runs(), patches.scratch()];
    for_each_partial(d, partials, |s, first, images, partial| {
        let x = images_from(d, x, d.shared_input != 0, s, first, patches.image());
        let dy = images_from(d, dy, false, s, first, out);
        with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
            let [sums, image] = split(scratch, sizes);
            sums.fill(T::ZERO);
            image.fill(T::ZERO);
            for (x, dy) in x.chunks_exact(patches.image()).zip(dy.chunks_exact(out)).take(images) {
                patches.load(x, image);
                let work = GradWeightImage { patches, image, dy, sums };
                for_each_narrow(patches.runs, patches.run, work);
            }
            patches.unpack_runs(sums, &mut partial[..patches.outputs * patches.taps()], NARROW);
        });
    });
    add_partials(d, partials, 0, dw, add);
}

/// sums (weights as runs) += dy times patch over the pixels of one image.
struct GradWeightImage<'a, T> {
    patches: &'a Patches,
    image: &'a [T],
    dy: &'a [T],
    sums: &'a mut [T],
}

impl<T: Real> Tiled for GradWeightImage<'_, T> {
    /// sums [O, L] += sum over pixels of dy [O, H'*W'] times L lanes of the patch.
    #[inline(always)]
    fn tile<const FMA: bool, const L: usize>(&mut self, r: usize, lane: usize) {
        let (patches, outputs) = (self.patches, self.patches.outputs);
        let sums = &mut self.sums[patches.weight_block(r, lane)..][..L * outputs];
        let image = &self.image[patches.run_offset(r) + lane..];
        let (pixels, line) = (patches.pixels(), patches.out_width);
        for (i, targets) in sums.chunks_mut(CHANNELS * L).enumerate() {
            let channels: [usize; CHANNELS] = std::array::from_fn(|p| (i * CHANNELS + p).min(outputs - 1));
            let mut tile = [[T::ZERO; L]; CHANNELS];
            for row in 0..patches.out_height {
                let rows = channels.map(|o| &self.dy[o * pixels + row * line..][..line]);
                let panel = &image[patches.offset(row, 0)..];
                dot_tile::<T, FMA, CHANNELS, L>(&mut tile, rows, panel, patches.pixel_step);
            }
            for (target, tile) in targets.chunks_exact_mut(L).zip(&tile) {
                target.iter_mut().zip(tile).for_each(|(target, value)| *target += *value);
            }
        }
    }
}

#[cfg(test)]
#[path = "conv2d_tests.rs"]
pub(super) mod tests;
