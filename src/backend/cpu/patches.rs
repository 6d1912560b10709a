//! How the input patches of a convolution lie in scratch, so that every kernel reads them as contiguous runs.
//!
//! *Interleaved*: the zero-padded image as [H, W, C]. The patch of one output pixel is K runs (its rows) of K*C elements,
//! and no element is stored twice. *Columns*: one run of C*K*K elements per output pixel (im2col), for so few channels
//! that runs of K*C would not fill a vector register.

use super::Real;
use super::lanes::{LANES, turned};
use super::tiles::{Span, blocks, padded};
use crate::call::Conv2dDims;
use crate::vectors::{self, BROAD};

/// Shortest run worth a vector loop, elements.
const SHORTEST_RUN: usize = 8;

/// Sizes of one convolution and the places of its patches in a scratch image.
#[derive(Clone, Copy, Debug)]
pub struct Patches {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pad: usize,
    pub out_height: usize,
    pub out_width: usize,
    /// Runs of one patch, elements of each, and elements from one to the next.
    pub runs: usize,
    pub run: usize,
    run_step: usize,
    /// Elements from the patch of one output pixel to that of its right and its lower neighbour.
    pixel_step: usize,
    line_step: usize,
    columns: bool,
    /// Lanes of a run, rounded up to whole registers.
    run_lanes: usize,
}

impl Patches {
    /// The zero-padded image as [H, W, C].
    pub fn interleaved(d: &Conv2dDims) -> Self {
        let kernel = d.kernel as usize;
        let channels = d.channels as usize;
        let line = ((d.out_width as usize - 1) * d.stride as usize + kernel) * channels;
        Self {
            channels,
            height: d.height as usize,
            width: d.width as usize,
            outputs: d.outputs as usize,
            kernel,
            stride: d.stride as usize,
            pad: d.pad as usize,
            out_height: d.out_height as usize,
            out_width: d.out_width as usize,
            runs: kernel,
            run: kernel * channels,
            run_step: line,
            pixel_step: d.stride as usize * channels,
            line_step: d.stride as usize * line,
            columns: false,
            run_lanes: padded(kernel * channels),
        }
    }

    /// The layout with the longer runs: columns for few channels, else interleaved.
    pub fn for_reading(d: &Conv2dDims) -> Self {
        let image = Self::interleaved(d);
        if image.run >= SHORTEST_RUN {
            return image;
        }
        let pixel_step = image.taps().next_multiple_of(BROAD);
        Self {
            runs: 1,
            run: image.taps(),
            run_step: 0,
            pixel_step,
            line_step: pixel_step * image.out_width,
            columns: true,
            run_lanes: padded(image.taps()),
            ..image
        }
    }

    /// Weights of one output channel: C*K*K.
    pub fn taps(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    /// Elements of one image [C, H, W].
    pub fn image(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Output pixels H'*W' of one channel.
    pub fn pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Elements of one image in scratch, with room for lanes read past the last run; the same for registers of any width, as
    /// the number of images that are summed at once depends on it.
    pub fn scratch(&self) -> usize {
        let last = (self.out_height - 1) * self.line_step + (self.out_width - 1) * self.pixel_step;
        (last + (self.runs - 1) * self.run_step + self.run.next_multiple_of(BROAD)).next_multiple_of(BROAD)
    }

    /// First element of the patch of output pixel (row, column).
    #[inline(always)]
    pub fn offset(&self, row: usize, column: usize) -> usize {
        row * self.line_step + column * self.pixel_step
    }

    /// First element of run `r` relative to its patch.
    #[inline(always)]
    pub fn run_offset(&self, r: usize) -> usize {
        r * self.run_step
    }

    /// Place of weight (channel, i, j) among the taps in the order of the runs.
    #[inline(always)]
    pub fn tap(&self, channel: usize, i: usize, j: usize) -> usize {
        if self.columns {
            (channel * self.kernel + i) * self.kernel + j
        } else {
            (i * self.kernel + j) * self.channels + channel
        }
    }

    /// Lays one image x [C, H, W] out in `scratch`, whose elements outside the image must be zero already: they stay zero
    /// from image to image.
    pub fn load<T: Real>(&self, x: &[T], scratch: &mut [T]) {
        let is_seen = self.seen() == (self.height, self.width);
        if !self.columns && is_seen && self.channels >= LANES && self.height * self.width >= LANES {
            vectors::dispatch(
                #[inline(always)]
                || self.load_in_blocks(x, scratch),
            );
        } else if !self.columns {
            self.load_interleaved(x, scratch);
        } else if self.channels == 1 && self.stride == 1 && self.pad == 0 && self.kernel <= LANES {
            self.load_plain_columns(x, scratch);
        } else {
            self.load_columns(x, scratch);
        }
    }

    fn load_interleaved<T: Real>(&self, x: &[T], scratch: &mut [T]) {
        let (rows, columns) = self.seen();
        for (c, plane) in x.chunks_exact(self.height * self.width).enumerate() {
            for (h, line) in plane.chunks_exact(self.width).take(rows).enumerate() {
                let start = (h + self.pad) * self.run_step + self.pad * self.channels + c;
                let targets = scratch[start..].iter_mut().step_by(self.channels);
                for (target, value) in targets.zip(&line[..columns]) {
                    *target = *value;
                }
            }
        }
    }

    /// As `load_interleaved`, channels and pixels in square blocks, the last ones overlapping those before.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "iterator adaptors are not inlined into the vector code")]
    fn load_in_blocks<T: Real>(&self, x: &[T], scratch: &mut [T]) {
        let pixels = self.height * self.width;
        for first in (0..pixels).step_by(LANES) {
            let first = first.min(pixels - LANES);
            let (mut row, mut column) = (first / self.width, first % self.width);
            let mut places = [0; LANES];
            for place in &mut places {
                *place = (row + self.pad) * self.run_step + (column + self.pad) * self.channels;
                column += 1;
                if column == self.width {
                    (row, column) = (row + 1, 0);
                }
            }
            for channel in (0..self.channels).step_by(LANES) {
                let channel = channel.min(self.channels - LANES);
                let block = turned(&x[channel * pixels + first..], pixels);
                for j in 0..LANES {
                    scratch[places[j] + channel..][..LANES].copy_from_slice(&block[j]);
                }
            }
        }
    }

    /// Columns of one channel without stride and padding: each row of a patch as one whole vector, whose surplus the next row
    /// or the next patch overwrites.
    fn load_plain_columns<T: Real>(&self, x: &[T], scratch: &mut [T]) {
        for row in 0..self.out_height {
            for column in 0..self.out_width {
                let (corner, start) = (row * self.width + column, self.offset(row, column));
                for i in 0..self.kernel {
                    let values = &x[corner + i * self.width..];
                    let targets = &mut scratch[start + i * self.kernel..];
                    if let (Some(values), Some(targets)) =
                        (values.first_chunk::<LANES>(), targets.first_chunk_mut::<LANES>())
                    {
                        *targets = *values;
                    } else {
                        copy_row(&values[..self.kernel], targets);
                    }
                }
            }
        }
    }

    fn load_columns<T: Real>(&self, x: &[T], scratch: &mut [T]) {
        for (c, plane) in x.chunks_exact(self.height * self.width).enumerate() {
            for i in 0..self.kernel {
                for j in 0..self.kernel {
                    self.load_tap(plane, (i, j), &mut scratch[self.tap(c, i, j)..]);
                }
            }
        }
    }

    /// Column (i, j) of one channel for all output pixels.
    fn load_tap<T: Real>(&self, plane: &[T], (i, j): (usize, usize), scratch: &mut [T]) {
        let inside = |q: usize| (self.pad..self.pad + self.width).contains(&(q * self.stride + j));
        let first = (0..self.out_width).find(|&q| inside(q)).unwrap_or(self.out_width);
        let count = (first..self.out_width).take_while(|&q| inside(q)).count();
        for p in 0..self.out_height {
            let h = p * self.stride + i;
            if count == 0 || h < self.pad || h >= self.pad + self.height {
                continue;
            }
            let line = &plane[(h - self.pad) * self.width..][..self.width];
            let values = line[first * self.stride + j - self.pad..].iter().step_by(self.stride);
            let targets = scratch[self.offset(p, first)..].iter_mut().step_by(self.pixel_step);
            for (target, value) in targets.zip(values).take(count) {
                *target = *value;
            }
        }
    }

    /// Rows and columns of the image that lie inside the interleaved scratch image; a stride may leave some unread.
    fn seen(&self) -> (usize, usize) {
        let rows = (self.out_height - 1) * self.stride + self.kernel;
        let columns = (self.out_width - 1) * self.stride + self.kernel;
        let limit = |padded: usize, len: usize| padded.saturating_sub(self.pad).min(len);
        (limit(rows, self.height), limit(columns, self.width))
    }

    /// Writes an interleaved scratch image to dx [C, H, W], set or added to; elements that no patch reads get zero.
    pub fn unload<T: Real>(&self, scratch: &[T], dx: &mut [T], add: bool) {
        if !add {
            dx.fill(T::ZERO);
        }
        let (rows, columns) = self.seen();
        for (c, plane) in dx.chunks_exact_mut(self.height * self.width).enumerate() {
            for (h, line) in plane.chunks_exact_mut(self.width).take(rows).enumerate() {
                let start = (h + self.pad) * self.run_step + self.pad * self.channels + c;
                let values = scratch[start..].iter().step_by(self.channels);
                for (target, value) in line[..columns].iter_mut().zip(values) {
                    *target += *value;
                }
            }
        }
    }

    /// Elements of the weights as panels.
    pub fn panels(&self) -> usize {
        self.taps() * padded(self.outputs)
    }

    /// The order of w [O, C, K, K], O and C this convolution's.
    pub fn weights(&self) -> WeightOrder {
        let kernel = self.kernel * self.kernel;
        WeightOrder { output: self.taps(), channel: kernel, is_turned: false }
    }

    /// The order of w [C, O, K, K], O and C this convolution's, with kernels turned by 180 degrees.
    pub fn transposed_weights(&self) -> WeightOrder {
        let kernel = self.kernel * self.kernel;
        WeightOrder { output: kernel, channel: self.outputs * kernel, is_turned: true }
    }

    /// w as panels of some output channels each: [taps in the order of the runs, channels of the panel], zero beyond O.
    pub fn pack_panels<T: Real>(&self, w: &[T], order: WeightOrder, panels: &mut [T]) {
        let kernel = self.kernel * self.kernel;
        for (first, width) in blocks(self.outputs, Span::Narrow) {
            let panel = &mut panels[first * self.taps()..][..width * self.taps()];
            let real = width.min(self.outputs - first);
            for c in 0..self.channels {
                for tap in 0..kernel {
                    let (i, j) = (tap / self.kernel, tap % self.kernel);
                    let place = if order.is_turned { kernel - 1 - tap } else { tap };
                    let source = w[first * order.output + c * order.channel + place..].iter();
                    let lanes = &mut panel[self.tap(c, i, j) * width..][..width];
                    lanes[real..].fill(T::ZERO);
                    for (lane, value) in lanes.iter_mut().zip(source.step_by(order.output)).take(real) {
                        *lane = *value;
                    }
                }
            }
        }
    }

    /// Images that a task works on at once: enough to fill register tiles on small maps, few enough to stay in the cache.
    pub fn group(&self, most: usize, elements: usize) -> usize {
        (elements / self.scratch()).clamp(1, most)
    }

    /// Elements of the weights as runs.
    pub fn weight_runs(&self) -> usize {
        self.runs * self.outputs * self.run_lanes
    }

    /// First element of (run `r`, block of lanes from `lane`) in weights as runs.
    #[inline(always)]
    pub fn weight_block(&self, r: usize, lane: usize) -> usize {
        (r * self.run_lanes + lane) * self.outputs
    }

    /// w [O, C, K, K] as [run][block of lanes][O, lanes of the block], zero beyond the run.
    pub fn pack_runs<T: Real>(&self, w: &[T], packed: &mut [T], span: Span) {
        for (o, taps) in w.chunks_exact(self.taps()).enumerate() {
            for r in 0..self.runs {
                let mut weights = self.run_weights(r);
                for (lane, width) in blocks(self.run, span) {
                    let lanes = &mut packed[self.weight_block(r, lane) + o * width..][..width];
                    for value in lanes {
                        *value = weights.next().map_or(T::ZERO, |weight| taps[weight]);
                    }
                }
            }
        }
    }

    /// Gradients of weights as runs, set in or added to the weights [C, K, K] of output channel `o`.
    pub fn unpack_channel<T: Real>(&self, packed: &[T], o: usize, dw: &mut [T], span: Span, add: bool) {
        if !add {
            dw.fill(T::ZERO);
        }
        for r in 0..self.runs {
            let mut weights = self.run_weights(r);
            for (lane, width) in blocks(self.run, span) {
                let lanes = &packed[self.weight_block(r, lane) + o * width..][..width];
                for (value, weight) in lanes.iter().zip(&mut weights) {
                    dw[weight] += *value;
                }
            }
        }
    }

    /// Places in [C, K, K] of the elements of run `r`, in order.
    fn run_weights(&self, r: usize) -> RunWeights {
        let (channels, step) = if self.columns { (self.run, 1) } else { (self.channels, self.kernel * self.kernel) };
        RunWeights { next: r * self.kernel, left: self.run, channel: 0, channels, step }
    }

    /// First elements of the patches of all output pixels of `images` scratch images, row-major.
    pub fn starts(&self, images: usize, starts: &mut [u32]) {
        let mut starts = starts.iter_mut();
        for image in 0..images {
            for row in 0..self.out_height {
                for (column, start) in (0..self.out_width).zip(&mut starts) {
                    *start = (image * self.scratch() + self.offset(row, column)) as u32;
                }
            }
        }
    }
}

/// How the weights of a convolution lie: elements from one output channel and from one input channel to the next, and whether
/// each kernel is read from its end.
#[derive(Clone, Copy)]
pub struct WeightOrder {
    output: usize,
    channel: usize,
    is_turned: bool,
}

/// The last rows of an image, where a whole vector would reach past its end. Apart, so that the whole vectors do not become
/// a call to copy memory.
#[cold]
#[inline(never)]
fn copy_row<T: Real>(values: &[T], targets: &mut [T]) {
    targets[..values.len()].copy_from_slice(values);
}

/// Walks channel by channel, then to the next column of the kernel.
struct RunWeights {
    next: usize,
    left: usize,
    channel: usize,
    channels: usize,
    /// Elements from one channel to the next.
    step: usize,
}

impl Iterator for RunWeights {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let weight = self.next;
        self.channel += 1;
        self.next += self.step;
        if self.channel == self.channels {
            self.channel = 0;
            self.next = self.next + 1 - self.channels * self.step;
        }
        Some(weight)
    }
}
