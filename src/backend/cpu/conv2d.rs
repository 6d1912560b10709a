//! Convolution with weights per sample, and its gradients.

use super::conv_parallel::{add_partials, for_each_chunk, for_each_partial, store_weights};
use super::elementwise::softplus;
use super::memory::with_scratch;
use super::patches::Patches;
use super::tiles::{LANES, NARROW, Tiled, add_lanes, blocks, dot_tile, for_each_narrow, gather_tile, padded};
use super::{Io, Real, Strided, StridedMut};
use crate::call::*;

/// Output pixels, or output channels, that a register tile of two registers a row spans.
const PIXELS: usize = 6;
const CHANNELS: usize = 6;
/// Output pixels of a tile of one register a row: enough sums to hide the latency of an addition.
const MORE_PIXELS: usize = 8;
/// Scratch elements of the images that a task works on at once.
const GROUP: usize = 1 << 13;

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
    let (lanes, out) = (padded(patches.outputs), patches.outputs * patches.pixels());
    let group = patches.group(d.images_per_chunk(), GROUP);
    let pixels = group * patches.pixels();
    let sizes = [patches.panels(), lanes, group * patches.scratch(), pixels, lanes * pixels];
    for_each_chunk(d, y, out, |s, first, y| {
        let x = images_from(d, x, d.shared_input != 0, s, first, patches.image());
        with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
            let [panels, biases, images, starts, tile] = split(scratch, sizes);
            patches.pack_panels(w.block(s), panels);
            pack_bias(bias.map(|b| b.block(s)), biases);
            images.fill(T::ZERO);
            let starts = as_u32(starts);
            patches.starts(group, starts);
            for (x, y) in x.chunks(group * patches.image()).zip(y.chunks_mut(group * out)) {
                load_images(patches, x, images);
                let starts = &starts[..y.len() / patches.outputs];
                for_each_narrow(1, patches.outputs, ForwardImages { patches, panels, biases, images, starts, tile });
                store_channels(patches, tile, starts.len(), y);
                activate(function, y);
            }
        });
    });
}

/// Lays images x [images, C, H, W] out in scratch, as `Patches::load` does.
pub fn load_images<T: Real>(patches: &Patches, x: &[T], scratch: &mut [T]) {
    for (x, image) in x.chunks_exact(patches.image()).zip(scratch.chunks_exact_mut(patches.scratch())) {
        patches.load(x, image);
    }
}

/// Scratch as whole numbers, at least as many.
pub fn as_u32<T: Real>(scratch: &mut [T]) -> &mut [u32] {
    bytemuck::cast_slice_mut(scratch)
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

/// tile [panel][pixels, channels of the panel] = conv(images, panels) + biases at the pixels whose patches start at `starts`.
pub struct ForwardImages<'a, T> {
    pub patches: &'a Patches,
    pub panels: &'a [T],
    pub biases: &'a [T],
    pub images: &'a [T],
    pub starts: &'a [u32],
    pub tile: &'a mut [T],
}

impl<T: Real> ForwardImages<'_, T> {
    /// The output channels `first..first + L`, P pixels at once.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "iterator adaptors are not inlined into the vector code")]
    fn panel<const FMA: bool, const P: usize, const L: usize>(&mut self, first: usize) {
        let (taps, pixels) = (self.patches.taps(), self.starts.len());
        let panel = &self.panels[first * taps..][..L * taps];
        let mut bias = [T::ZERO; L];
        bias.copy_from_slice(&self.biases[first..][..L]);
        let tile = &mut self.tile[first * pixels..][..L * pixels];
        for pixel in (0..pixels).step_by(P) {
            let mut starts = [0; P];
            for p in 0..P {
                starts[p] = self.starts[(pixel + p).min(pixels - 1)] as usize;
            }
            let sums = patch_sums::<T, FMA, P, L>(self.patches, panel, bias, self.images, starts);
            for p in 0..P.min(pixels - pixel) {
                tile[(pixel + p) * L..][..L].copy_from_slice(&sums[p]);
            }
        }
    }
}

impl<T: Real> Tiled for ForwardImages<'_, T> {
    #[inline(always)]
    fn tile<const FMA: bool, const L: usize>(&mut self, _: usize, first: usize) {
        if L == LANES {
            self.panel::<FMA, MORE_PIXELS, L>(first);
        } else {
            self.panel::<FMA, PIXELS, L>(first);
        }
    }
}

/// The sums over the patches that start at `starts`, for the channels of one panel.
#[inline(always)]
fn patch_sums<T: Real, const FMA: bool, const P: usize, const L: usize>(
    patches: &Patches,
    panel: &[T],
    bias: [T; L],
    image: &[T],
    starts: [usize; P],
) -> [[T; L]; P] {
    let mut sums = [bias; P];
    let mut offset = 0;
    for panel in panel.chunks_exact(patches.run * L) {
        let mut rows = [image; P];
        for p in 0..P {
            rows[p] = &image[starts[p] + offset..][..patches.run];
        }
        dot_tile::<T, FMA, P, L>(&mut sums, rows, panel);
        offset += patches.run_offset(1);
    }
    sums
}

/// y [images, O, H'*W'] from a tile [panel][images' pixels, channels of the panel].
fn store_channels<T: Real>(patches: &Patches, tile: &[T], pixels: usize, y: &mut [T]) {
    for (first, width) in blocks(patches.outputs, NARROW) {
        let tile = &tile[first * pixels..][..width * pixels];
        let images = y.chunks_exact_mut(patches.outputs * patches.pixels());
        for (y, tile) in images.zip(tile.chunks(width * patches.pixels())) {
            let channels = y.chunks_exact_mut(patches.pixels()).skip(first).take(width);
            for (l, y) in channels.enumerate() {
                for (y, value) in y.iter_mut().zip(tile[l..].iter().step_by(width)) {
                    *y = *value;
                }
            }
        }
    }
}

/// y = f(y)
fn activate<T: Real>(function: Unary, y: &mut [T]) {
    match function {
        Unary::Identity => {}
        Unary::Relu => y.iter_mut().for_each(|y| *y = activation(Unary::Relu, *y)),
        _ => y.iter_mut().for_each(|y| *y = activation(function, *y)),
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
        Unary::Softplus => softplus(x),
    }
}

/// dx (+)= the transposed convolution of dy with w; for a shared input, summed over samples.
fn grad_input_slices<T: Real>(d: &Conv2dDims, dy: &[T], w: &Strided<T>, dx: &mut [T], add: bool) {
    let patches = &Patches::interleaved(d);
    let out = patches.outputs * patches.pixels();
    let group = patches.group(d.images_per_chunk(), GROUP);
    let sizes = [patches.weight_runs(), group * patches.scratch(), group * patches.pixels(), group * out];
    for_each_chunk(d, dx, patches.image(), |sample, first, dx| {
        for (turn, s) in samples_of(d, sample).enumerate() {
            let dy = images_from(d, dy, false, s, first, out);
            with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
                let [weights, images, starts, turned] = split(scratch, sizes);
                patches.pack_runs(w.block(s), weights, NARROW);
                let starts = as_u32(starts);
                patches.starts(group, starts);
                for (dx, dy) in dx.chunks_mut(group * patches.image()).zip(dy.chunks(group * out)) {
                    turn_channels(dy, patches, turned);
                    images.fill(T::ZERO);
                    let starts = &starts[..dy.len() / patches.outputs];
                    let work = GradInputImages { patches, weights, dy: turned, starts, images };
                    for_each_narrow(patches.runs, patches.run, work);
                    unload_images(patches, images, dx, add || turn > 0);
                }
            });
        }
    });
}

/// Writes interleaved scratch images to dx [images, C, H, W], as `Patches::unload` does.
pub fn unload_images<T: Real>(patches: &Patches, scratch: &[T], dx: &mut [T], add: bool) {
    for (dx, image) in dx.chunks_exact_mut(patches.image()).zip(scratch.chunks_exact(patches.scratch())) {
        patches.unload(image, dx, add);
    }
}

/// The samples whose gradients one task adds up: all of them when the input is shared.
pub fn samples_of(d: &Conv2dDims, sample: usize) -> std::ops::Range<usize> {
    if d.shared_input != 0 { 0..d.samples as usize } else { sample..sample + 1 }
}

/// dy [images, O, pixels] as [images, pixels, O].
fn turn_channels<T: Real>(dy: &[T], patches: &Patches, turned: &mut [T]) {
    let (pixels, outputs) = (patches.pixels(), patches.outputs);
    for (dy, turned) in dy.chunks_exact(outputs * pixels).zip(turned.chunks_exact_mut(outputs * pixels)) {
        for (o, dy) in dy.chunks_exact(pixels).enumerate() {
            for (target, value) in turned[o..].iter_mut().step_by(outputs).zip(dy) {
                *target = *value;
            }
        }
    }
}

/// images += the patches' gradients, w^T dy of every output pixel, with dy [pixels, O] and patches at `starts`.
struct GradInputImages<'a, T> {
    patches: &'a Patches,
    weights: &'a [T],
    dy: &'a [T],
    starts: &'a [u32],
    images: &'a mut [T],
}

impl<T: Real> Tiled for GradInputImages<'_, T> {
    /// Adds one block of lanes of every patch's gradient to the images; lanes beyond the run are zero.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "iterator adaptors are not inlined into the vector code")]
    fn tile<const FMA: bool, const L: usize>(&mut self, r: usize, lane: usize) {
        let outputs = self.patches.outputs;
        let weights = &self.weights[self.patches.weight_block(r, lane)..][..L * outputs];
        let images = &mut self.images[self.patches.run_offset(r) + lane..];
        let last = self.starts.len() - 1;
        for first in (0..=last).step_by(PIXELS) {
            let mut rows = [self.dy; PIXELS];
            for p in 0..PIXELS {
                rows[p] = &self.dy[(first + p).min(last) * outputs..][..outputs];
            }
            let mut sums = [[T::ZERO; L]; PIXELS];
            dot_tile::<T, FMA, PIXELS, L>(&mut sums, rows, weights);
            for p in 0..PIXELS.min(last + 1 - first) {
                add_lanes(&mut images[self.starts[first + p] as usize..], &sums[p]);
            }
        }
    }
}

/// dw (+)= sum over images and pixels of dy times patch: per chunk of images into `partials`, then over chunks in order.
fn grad_weight_slices<T: Real>(d: &Conv2dDims, x: &[T], dy: &[T], dw: StridedMut<T>, add: bool, partials: &mut [T]) {
    let patches = &Patches::for_reading(d);
    let out = patches.outputs * patches.pixels();
    let group = patches.group(d.images_per_chunk(), GROUP);
    let sizes = [group * patches.scratch(), patches.pixels()];
    for_each_partial(d, partials, |s, first, images, partial| {
        let x = &images_from(d, x, d.shared_input != 0, s, first, patches.image())[..images * patches.image()];
        let dy = images_from(d, dy, false, s, first, out);
        let sums = &mut partial[..patches.weight_runs()];
        sums.fill(T::ZERO);
        with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
            let [images, starts] = split(scratch, sizes);
            images.fill(T::ZERO);
            let starts = as_u32(starts);
            patches.starts(1, starts);
            let starts = &starts[..patches.pixels()];
            for (x, dy) in x.chunks(group * patches.image()).zip(dy.chunks(group * out)) {
                load_images(patches, x, images);
                let dy = &dy[..x.len() / patches.image() * out];
                for_each_narrow(patches.runs, patches.run, GradWeightImages { patches, images, starts, dy, sums });
            }
        });
    });
    add_partials(d, partials);
    store_weights(d, (patches, NARROW), partials, dw, add);
}

/// sums (weights as runs) += dy [images, O, H'*W'] times patch over the pixels of some images.
struct GradWeightImages<'a, T> {
    patches: &'a Patches,
    images: &'a [T],
    starts: &'a [u32],
    dy: &'a [T],
    sums: &'a mut [T],
}

impl<T: Real> Tiled for GradWeightImages<'_, T> {
    /// sums [O, L] += sum over pixels of dy times L lanes of the patch.
    #[inline(always)]
    fn tile<const FMA: bool, const L: usize>(&mut self, r: usize, lane: usize) {
        let (outputs, pixels) = (self.patches.outputs, self.patches.pixels());
        let sums = &mut self.sums[self.patches.weight_block(r, lane)..][..L * outputs];
        let mut channel = 0;
        for targets in sums.chunks_mut(CHANNELS * L) {
            let mut tile = [[T::ZERO; L]; CHANNELS];
            let mut image = self.patches.run_offset(r) + lane;
            for dy in self.dy.chunks_exact(outputs * pixels) {
                let mut rows = [dy; CHANNELS];
                for p in 0..CHANNELS {
                    rows[p] = &dy[(channel + p).min(outputs - 1) * pixels..][..pixels];
                }
                gather_tile::<T, FMA, CHANNELS, L>(&mut tile, rows, self.starts, 1, &self.images[image..]);
                image += self.patches.scratch();
            }
            for p in 0..CHANNELS.min(outputs - channel) {
                add_lanes(&mut targets[p * L..], &tile[p]);
            }
            channel += CHANNELS;
        }
    }
}

#[cfg(test)]
#[path = "conv2d_tests.rs"]
pub(super) mod tests;
