//! How the input patches of a convolution lie in scratch, so that every kernel reads them as contiguous runs.
//!
//! *Interleaved*: the zero-padded image as [H, W, C]. The patch of one output pixel is K runs (its rows) of K*C elements,
//! and no element is stored twice. *Columns*: one run of C*K*K elements per output pixel (im2col), for so few channels
//! that runs of K*C would not fill a vector register.

use super::Real;
use super::lanes::{LANES, turned};
use super::tiles::padded;
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
    pub columns: bool,
    /// Lanes of a run, rounded up to whole registers.
    pub run_lanes: usize,
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

    /// Lays one image x [C, H, W] out in `scratch`, whose padding must be zero already: it stays zero from image to image.
    /// What lies beyond a run of columns may become anything of the image: it is read only into sums that are dropped.
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
            vectors::dispatch(
                #[inline(always)]
                || self.load_plain_columns(x, scratch),
            );
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

    /// Columns of one channel without stride and padding: each row of a patch as one whole vector, whose surplus the patch's next
    /// row overwrites; the last row's, which fills lanes that no sum uses, must end before the next patch.
    #[inline(always)]
    fn load_plain_columns<T: Real>(&self, x: &[T], scratch: &mut [T]) {
        for row in 0..self.out_height {
            for i in 0..self.kernel {
                let values = &x[(row + i) * self.width..];
                let patches = &mut scratch[self.offset(row, 0) + i * self.kernel..];
                let fits = i * self.kernel + LANES <= self.pixel_step;
                let whole = if fits { (values.len() + 1).saturating_sub(LANES).min(self.out_width) } else { 0 };
                for column in 0..whole {
                    let target = &mut patches[column * self.pixel_step..][..LANES];
                    target.copy_from_slice(&values[column..][..LANES]);
                }
                for column in whole..self.out_width {
                    copy_row(&values[column..][..self.kernel], &mut patches[column * self.pixel_step..]);
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

    /// Images that a task works on at once: enough to fill register tiles on small maps, few enough to stay in the cache.
    pub fn group(&self, most: usize, elements: usize) -> usize {
        (elements / self.scratch()).clamp(1, most)
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

/// The last rows of an image, where a whole vector would reach past its end. Apart, so that the whole vectors do not become
/// a call to copy memory.
#[cold]
#[inline(never)]
fn copy_row<T: Real>(values: &[T], targets: &mut [T]) {
    targets[..values.len()].copy_from_slice(values);
}
