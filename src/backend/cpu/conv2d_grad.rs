//! Gradients of the convolution with weights per sample.

use super::conv_parallel::{add_partials, for_each_chunk, for_each_partial, images_per_task, store_weights};
use super::conv2d::{GROUP, as_u32, convolve, images_from, load_images, split, store_channels, with_panels};
use super::memory::{with_call_scratch, with_scratch};
use super::patches::Patches;
use super::tiles::{Span, Tiled, add_lanes, dot_tile, for_each_block, gather_tile};
use super::{Io, Real, Strided, StridedMut};
use crate::call::*;
use rayon::prelude::*;

pub fn grad_input<T: Real>(io: &Io<T>, d: &Conv2dDims) {
    grad_input_slices(d, io.read(0), &io.strided(1), io.write(0), io.adds(0));
}

pub fn grad_weight<T: Real>(io: &Io<T>, d: &Conv2dDims) {
    grad_weight_slices(d, io.read(0), io.read(1), io.strided_mut(0), io.adds(0), io.write(1));
}

/// dx (+)= the transposed convolution of dy with w; for a shared input, summed over samples.
pub(super) fn grad_input_slices<T: Real>(d: &Conv2dDims, dy: &[T], w: &Strided<T>, dx: &mut [T], add: bool) {
    match transposed(d) {
        Some(transposed) => convolve_gradients(&transposed, dy, w, dx, add),
        None => scatter_gradients(d, dy, w, dx, add),
    }
}

/// The convolution that makes dx of dy, where it has no more products than the patches' gradients: one element apart, with an
/// output as large as the input. Its weights are w [O, C, K, K] with channels swapped and kernels turned by 180 degrees.
fn transposed(d: &Conv2dDims) -> Option<Conv2dDims> {
    let covers = d.height <= d.out_height && d.width <= d.out_width;
    let has_image_per_sample = d.shared_input == 0 || d.samples == 1;
    (d.stride == 1 && d.pad < d.kernel && covers && has_image_per_sample).then(|| Conv2dDims {
        channels: d.outputs,
        outputs: d.channels,
        height: d.out_height,
        width: d.out_width,
        out_height: d.height,
        out_width: d.width,
        pad: d.kernel - 1 - d.pad,
        shared_input: 0,
        bias: 0,
        ..*d
    })
}

/// dx (+)= the convolution `d` of dy.
fn convolve_gradients<T: Real>(d: &Conv2dDims, dy: &[T], w: &Strided<T>, dx: &mut [T], add: bool) {
    let patches = &Patches::for_reading(d);
    with_panels(d, (patches, patches.transposed_weights()), w, None, |packed| {
        convolve(d, patches, dy, packed, dx, |tile, pixels, dx| {
            store_channels(patches, tile, pixels, dx, add);
        });
    });
}

/// dx (+)= the gradients of all patches, added where patches overlap.
fn scatter_gradients<T: Real>(d: &Conv2dDims, dy: &[T], w: &Strided<T>, dx: &mut [T], add: bool) {
    let patches = &Patches::interleaved(d);
    with_runs(d, patches, w, Span::Narrow, |packed| {
        let out = patches.outputs * patches.pixels();
        let group = patches.group(images_per_task(d), GROUP);
        let sizes = [group * patches.scratch(), group * patches.pixels(), group * out];
        for_each_chunk(d, dx, patches.image(), |sample, first, dx| {
            for (turn, s) in samples_of(d, sample).enumerate() {
                let dy = images_from(d, dy, false, s, first, out);
                let weights = &packed[s * patches.weight_runs()..][..patches.weight_runs()];
                with_scratch(sizes.iter().sum(), |scratch: &mut [T]| {
                    let [images, starts, turned] = split(scratch, sizes);
                    let starts = as_u32(starts);
                    patches.starts(group, starts);
                    for (dx, dy) in dx.chunks_mut(group * patches.image()).zip(dy.chunks(group * out)) {
                        turn_channels(dy, patches, turned);
                        images.fill(T::ZERO);
                        let starts = &starts[..dy.len() / patches.outputs];
                        let work = GradInputImages { patches, weights, dy: turned, starts, images };
                        for_each_block(Span::Narrow, patches.runs, patches.run, work);
                        unload_images(patches, images, dx, add || turn > 0);
                    }
                });
            }
        });
    });
}

/// Runs `work` with the weights of all samples as runs, in blocks of lanes.
pub fn with_runs<T: Real>(d: &Conv2dDims, patches: &Patches, w: &Strided<T>, span: Span, work: impl FnOnce(&[T])) {
    with_call_scratch(d.samples as usize * patches.weight_runs(), |packed: &mut [T]| {
        let samples = packed.par_chunks_mut(patches.weight_runs()).enumerate();
        samples.for_each(|(s, packed)| patches.pack_runs(w.block(s), packed, span));
        work(packed);
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
    fn tile<const W: usize, const P: usize, const L: usize>(&mut self, r: usize, lane: usize) {
        let outputs = self.patches.outputs;
        let weights = &self.weights[self.patches.weight_block(r, lane)..][..L * outputs];
        let images = &mut self.images[self.patches.run_offset(r) + lane..];
        let last = self.starts.len() - 1;
        for first in (0..=last).step_by(P) {
            let mut rows = [self.dy; P];
            for p in 0..P {
                rows[p] = &self.dy[(first + p).min(last) * outputs..][..outputs];
            }
            let mut sums = [[T::ZERO; L]; P];
            dot_tile::<T, W, P, L>(&mut sums, rows, weights);
            for p in 0..P.min(last + 1 - first) {
                add_lanes(&mut images[self.starts[first + p] as usize..], &sums[p]);
            }
        }
    }
}

/// dw (+)= sum over images and pixels of dy times patch: per chunk of images into `partials`, then over chunks in order.
pub(super) fn grad_weight_slices<T: Real>(
    d: &Conv2dDims,
    x: &[T],
    dy: &[T],
    dw: StridedMut<T>,
    add: bool,
    partials: &mut [T],
) {
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
                for_each_block(
                    Span::Narrow,
                    patches.runs,
                    patches.run,
                    GradWeightImages { patches, images, starts, dy, sums },
                );
            }
        });
    });
    add_partials(d, partials);
    store_weights(d, (patches, Span::Narrow), partials, dw, add);
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
    fn tile<const W: usize, const P: usize, const L: usize>(&mut self, r: usize, lane: usize) {
        let (outputs, pixels) = (self.patches.outputs, self.patches.pixels());
        let sums = &mut self.sums[self.patches.weight_block(r, lane)..][..L * outputs];
        let mut channel = 0;
        for targets in sums.chunks_mut(P * L) {
            let mut tile = [[T::ZERO; L]; P];
            let mut image = self.patches.run_offset(r) + lane;
            for dy in self.dy.chunks_exact(outputs * pixels) {
                let mut rows = [dy; P];
                for p in 0..P {
                    rows[p] = &dy[(channel + p).min(outputs - 1) * pixels..][..pixels];
                }
                gather_tile::<T, W, P, L>(&mut tile, rows, self.starts, 1, &self.images[image..]);
                image += self.patches.scratch();
            }
            for p in 0..P.min(outputs - channel) {
                add_lanes(&mut targets[p * L..], &tile[p]);
            }
            channel += P;
        }
    }
}
