//! Convolution with weights per sample.

use super::conv_parallel::{for_each_chunk, images_per_task};
use super::elementwise::{softplus, store};
use super::lanes::{LANES, turned};
use super::memory::{with_call_scratch, with_scratch};
use super::patch_weights::WeightOrder;
use super::patches::Patches;
use super::tiles::{Span, Tiled, blocks, dot_tile, for_each_block, padded};
use super::{Io, Real, Strided};
use crate::call::*;
use crate::vectors;
use rayon::prelude::*;

/// Scratch elements of the images that a task works on at once.
pub const GROUP: usize = 1 << 13;

pub fn forward<T: Real>(io: &Io<T>, d: &Conv2dDims, function: Unary) {
    let bias = (d.bias != 0).then(|| io.strided(2));
    forward_slices(d, function, io.read(0), &io.strided(1), bias.as_ref(), io.write(0));
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
    with_panels(d, (patches, patches.weights()), w, bias, |packed| {
        convolve(d, patches, x, packed, y, |tile, pixels, y| {
            store_channels(patches, tile, pixels, y, false);
            activate(function, y);
        });
    });
}

/// Runs `work` with the weights of all samples in panels, each sample's before its biases: [S, panels + lanes].
pub fn with_panels<T: Real>(
    d: &Conv2dDims,
    (patches, order): (&Patches, WeightOrder),
    w: &Strided<T>,
    bias: Option<&Strided<T>>,
    work: impl FnOnce(&[T]),
) {
    let (panels, lanes) = (patches.panels(), padded(patches.outputs));
    with_call_scratch(d.samples as usize * (panels + lanes), |packed: &mut [T]| {
        packed.par_chunks_mut(panels + lanes).enumerate().for_each(|(s, packed)| {
            let (panels, biases) = packed.split_at_mut(panels);
            patches.pack_panels(w.block(s), order, panels);
            pack_bias(bias.map(|b| b.block(s)), biases);
        });
        work(packed);
    });
}

/// y [S, N, O, H', W'] = what `finish(tile, pixels, y)` makes of the convolution of some images, a tile
/// [panel][their pixels, channels of the panel], with the weights and biases in `packed` (`with_panels`).
pub fn convolve<T: Real>(
    d: &Conv2dDims,
    patches: &Patches,
    x: &[T],
    packed: &[T],
    y: &mut [T],
    finish: impl Fn(&[T], usize, &mut [T]) + Sync,
) {
    let (lanes, out) = (padded(patches.outputs), patches.outputs * patches.pixels());
    let group = patches.group(images_per_task(d), GROUP).min(GROUP.div_ceil(lanes * patches.pixels()));
    let pixels = group * patches.pixels();
    let sizes = [group * patches.scratch(), pixels, lanes * pixels];
    for_each_chunk(d, y, out, |s, first, y| {
        let x = images_from(d, x, d.shared_input != 0, s, first, patches.image());
        let (panels, biases) = sample_panels(patches, packed, s);
        with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
            let [images, starts, tile] = split(scratch, sizes);
            images.fill(T::ZERO);
            let starts = as_u32(starts);
            patches.starts(group, starts);
            for (x, y) in x.chunks(group * patches.image()).zip(y.chunks_mut(group * out)) {
                load_images(patches, x, images);
                let starts = &starts[..y.len() / patches.outputs];
                for_each_block(
                    Span::Narrow,
                    1,
                    patches.outputs,
                    ForwardImages { patches, panels, biases, images, starts, tile },
                );
                finish(tile, starts.len(), y);
            }
        });
    });
}

/// Panels and biases of one sample.
pub fn sample_panels<'a, T>(patches: &Patches, packed: &'a [T], sample: usize) -> (&'a [T], &'a [T]) {
    let (panels, lanes) = (patches.panels(), padded(patches.outputs));
    packed[sample * (panels + lanes)..][..panels + lanes].split_at(panels)
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
fn pack_bias<T: Real>(bias: Option<&[T]>, packed: &mut [T]) {
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

impl<T: Real> Tiled for ForwardImages<'_, T> {
    /// The output channels `first..first + L`, P pixels at once.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "iterator adaptors are not inlined into the vector code")]
    fn tile<const W: usize, const P: usize, const L: usize>(&mut self, _: usize, first: usize) {
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
            let sums = patch_sums::<T, W, P, L>(self.patches, panel, bias, self.images, starts);
            for p in 0..P.min(pixels - pixel) {
                tile[(pixel + p) * L..][..L].copy_from_slice(&sums[p]);
            }
        }
    }
}

/// The sums over the patches that start at `starts`, for the channels of one panel.
#[inline(always)]
fn patch_sums<T: Real, const W: usize, const P: usize, const L: usize>(
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
        dot_tile::<T, W, P, L>(&mut sums, rows, panel);
        offset += patches.run_offset(1);
    }
    sums
}

/// y [images, O, H'*W'], set or added to, from a tile [panel][images' pixels, channels of the panel].
pub fn store_channels<T: Real>(patches: &Patches, tile: &[T], pixels: usize, y: &mut [T], add: bool) {
    for (first, width) in blocks(patches.outputs, Span::Narrow) {
        let tile = &tile[first * pixels..][..width * pixels];
        let images = y.chunks_exact_mut(patches.outputs * patches.pixels());
        let channels = width.min(patches.outputs - first);
        for (y, tile) in images.zip(tile.chunks(width * patches.pixels())) {
            let y = &mut y[first * patches.pixels()..][..channels * patches.pixels()];
            vectors::dispatch(
                #[inline(always)]
                || store_turned(tile, width, y, patches.pixels(), add),
            );
        }
    }
}

/// y [channels, pixels], set or added to, from the first channels of a tile [pixels, width], in square blocks where they fit.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "iterator adaptors are not inlined into the vector code")]
fn store_turned<T: Real>(tile: &[T], width: usize, y: &mut [T], pixels: usize, add: bool) {
    let channels = y.len() / pixels;
    let (whole_channels, whole_pixels) = (channels / LANES * LANES, pixels / LANES * LANES);
    for channel in (0..whole_channels).step_by(LANES) {
        for pixel in (0..whole_pixels).step_by(LANES) {
            let block = turned(&tile[pixel * width + channel..], width);
            for l in 0..LANES {
                let y = &mut y[(channel + l) * pixels + pixel..][..LANES];
                for j in 0..LANES {
                    store(add, &mut y[j], block[l][j]);
                }
            }
        }
    }
    for channel in 0..channels {
        let first = if channel < whole_channels { whole_pixels } else { 0 };
        for pixel in first..pixels {
            store(add, &mut y[channel * pixels + pixel], tile[pixel * width + channel]);
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

#[cfg(test)]
#[path = "conv2d_tests.rs"]
pub(super) mod tests;
