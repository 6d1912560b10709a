//! Convolution with weights per sample, and its gradients.

use super::launch::Arguments;
use super::lowering::{Function, Lowering, Out};
use super::{conv2d_tensor, conv2d_tensor_weight};
use crate::call::*;
use bytemuck::{Pod, Zeroable};

/// `Correlation` of kernels/conv2d.cuh: what a forward convolution and the gradient of its input have in common.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Correlation {
    pub samples: u32,
    pub shared: u32,
    pub summed: u32,
    pub batch: u32,
    pub channels: u32,
    pub height: u32,
    pub width: u32,
    pub outputs: u32,
    pub kernel: u32,
    pub stride: u32,
    pub pad: u32,
    pub dilation: u32,
    pub out_height: u32,
    pub out_width: u32,
    pub flipped: u32,
    pub bias: u32,
    pub images: u32,
    pub rows: u32,
    pub bands: u32,
    pub region_height: u32,
    pub region_width: u32,
    pub chunk: u32,
    pub groups: u32,
}

/// Outputs of one thread of the fp32 kernels, and pixels.
const OUTPUTS: u32 = 8;
const PIXELS: u32 = 4;
/// Warps of a block of the fp32 kernels.
const WARPS: u32 = 8;
/// Shared memory that a block stages into if it can, so that two or more share a multiprocessor; and the most there is.
const STAGED_BYTES: u32 = 48 << 10;
const SHARED_BYTES: u32 = 227 << 10;

impl Correlation {
    /// The convolution itself.
    pub fn forward(d: &Conv2dDims) -> Self {
        Self {
            samples: d.samples,
            shared: d.shared_input,
            summed: 1,
            batch: d.batch,
            channels: d.channels,
            height: d.height,
            width: d.width,
            outputs: d.outputs,
            kernel: d.kernel,
            stride: d.stride,
            pad: d.pad,
            dilation: 1,
            out_height: d.out_height,
            out_width: d.out_width,
            bias: d.bias,
            ..Self::zeroed()
        }
    }

    /// The convolution with a result of one place per 2x2 window.
    pub fn windows(d: &Conv2dDims) -> Self {
        Self { out_height: d.out_height / 2, out_width: d.out_width / 2, ..Self::forward(d) }
    }

    /// The gradient of its input, from a gradient of the output stored as [height, width].
    pub fn backward(d: &Conv2dDims, height: u32, width: u32) -> Self {
        Self {
            samples: d.samples,
            summed: if d.shared_input != 0 { d.samples } else { 1 },
            batch: d.batch,
            channels: d.outputs,
            height,
            width,
            outputs: d.channels,
            kernel: d.kernel,
            stride: 1,
            pad: d.kernel - 1 - d.pad,
            dilation: d.stride,
            out_height: d.height,
            out_width: d.width,
            flipped: 1,
            ..Self::zeroed()
        }
    }

    /// Samples that the grid spans.
    pub fn grid_samples(&self) -> u32 {
        if self.summed > 1 { 1 } else { self.samples }
    }

    /// Cuts the result into tiles of about `slots` places; `scale` pixels of a place along each axis.
    pub fn cut(&mut self, slots: u32, scale: u32) {
        let area = self.out_height * self.out_width;
        if area <= slots {
            self.tile((slots / area).min(self.batch), self.out_height, scale);
        } else {
            self.tile(1, (slots / self.out_width).clamp(1, self.out_height), scale);
        }
    }

    /// Tiles of `images` images, or of `rows` rows of one.
    pub fn tile(&mut self, images: u32, rows: u32, scale: u32) {
        self.images = images;
        self.rows = rows;
        self.bands = self.out_height.div_ceil(rows);
        self.region_height = (rows * scale - 1) * self.stride + self.kernel;
        self.region_width = (self.out_width * scale - 1) * self.stride + self.kernel;
    }

    /// Tiles of all images.
    pub fn tiles(&self) -> u32 {
        self.batch.div_ceil(self.images) * self.bands
    }
}

/// Parts of nearly equal size, none above `most`: the size.
pub fn balanced(total: u32, most: u32) -> u32 {
    total.div_ceil(total.div_ceil(most))
}

/// Appends a launch of an fp32 correlation; `arguments` follow its dims.
pub fn launch_exact(
    l: &mut Lowering,
    kernel: &'static str,
    mut d: Correlation,
    scale: u32,
    arguments: impl FnOnce(Correlation) -> Arguments,
) {
    let tiles = d.outputs.div_ceil(OUTPUTS);
    d.groups = balanced(tiles, WARPS);
    let lanes = WARPS / d.groups * 32;
    d.cut(if scale == 2 { lanes } else { lanes * PIXELS }, scale);
    let region = d.images * d.region_height * d.region_width;
    let channel_bytes = 4 * (region + d.kernel * d.kernel * (d.groups * OUTPUTS + 4));
    assert!(channel_bytes <= SHARED_BYTES, "one channel of a tile stands in shared memory");
    d.chunk = balanced(d.channels, (STAGED_BYTES / channel_bytes).max(1));
    let grid = [d.tiles(), tiles.div_ceil(d.groups), d.grid_samples()];
    l.launch_shared(kernel, grid, [lanes * d.groups, 1, 1], d.chunk * channel_bytes, arguments(d));
}

pub fn forward(l: &mut Lowering, d: &Conv2dDims, function: Unary) {
    if conv2d_tensor::forward(l, d, function) {
        return;
    }
    let (x, w, b, y) = (l.read(0), l.read(1), l.read_if(d.bias != 0, 2), l.write(0));
    launch_exact(l, "conv2d", Correlation::forward(d), 1, |c| {
        Arguments::new().with(c).with(Function::from(function)).with(x).with(w).with(b).with(y)
    });
}

pub fn grad_input(l: &mut Lowering, d: &Conv2dDims) {
    let (dy, w, dx) = (l.read(0), l.read(1), l.write(0));
    let correlation = Correlation::backward(d, d.out_height, d.out_width);
    if conv2d_tensor::grad_input(l, correlation, l.read_if(false, 0), w) {
        return;
    }
    launch_exact(l, "conv2d_grad_input", correlation, 1, |c| Arguments::new().with(c).with(dy).with(w).with(dx));
}

pub fn grad_weight(l: &mut Lowering, d: &Conv2dDims) {
    let (x, dy, dw) = (l.read(0), l.read(1), l.write(0));
    if conv2d_tensor_weight::grad_weight(l, d, [d.out_height, d.out_width], l.read_if(false, 0), l.write_if(false, 0)) {
        return;
    }
    let cut = WeightGradient::new(d, d.out_height, d.out_width);
    let target = cut.target(l, dw);
    cut.launch(l, "conv2d_grad_weight", Arguments::new().with(cut).with(x).with(dy).with(target));
    if cut.chunks() > 1 {
        let elements = d.samples * cut.filters();
        let arguments = Arguments::new().with(cut.chunks()).with(elements).with(target.data).with(dw);
        l.launch_elements("conv2d_sum_chunks", elements, arguments);
    }
}

/// `WeightGradient` of kernels/conv2d_weight.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct WeightGradient {
    pub geometry: Correlation,
    pub chunk_images: u32,
    pub channel_blocks: u32,
    pub taps: u32,
    pub dy_height: u32,
    pub dy_width: u32,
}

/// Threads of a block of a weight gradient, its groups of outputs, its shared memory, blocks that fill any GPU.
const WEIGHT_THREADS: u32 = 256;
const WEIGHT_GROUPS: u32 = 4;
const WEIGHT_BYTES: u32 = 64 << 10;
const BLOCKS: u32 = 264;

impl WeightGradient {
    /// The cut into blocks, from a gradient of the output stored as [height, width].
    pub fn new(d: &Conv2dDims, dy_height: u32, dy_width: u32) -> Self {
        let mut geometry = Correlation::forward(d);
        let taps = if matches!(d.kernel, 3 | 5) { d.kernel } else { 1 };
        let lines = d.kernel * d.kernel / taps;
        geometry.groups = balanced(d.outputs.div_ceil(OUTPUTS), WEIGHT_GROUPS.min(WEIGHT_THREADS / lines).max(1));
        geometry.chunk = balanced(d.channels, (WEIGHT_THREADS / (geometry.groups * lines)).max(1));
        let mut cut = Self {
            geometry,
            chunk_images: 1,
            channel_blocks: d.channels.div_ceil(geometry.chunk),
            taps,
            dy_height,
            dy_width,
        };
        let mut rows = d.out_height;
        cut.geometry.tile(1, rows, 1);
        while rows > 1 && cut.staged_bytes() > WEIGHT_BYTES {
            rows = rows.div_ceil(2);
            cut.geometry.tile(1, rows, 1);
        }
        let chunks = (BLOCKS / (cut.blocks() * d.samples)).clamp(1, d.batch);
        cut.chunk_images = d.batch.div_ceil(chunks);
        cut
    }

    /// Offsets of a tile's pixels.
    fn offset_bytes(&self) -> u32 {
        4 * (self.geometry.rows * self.geometry.out_width).next_multiple_of(4)
    }

    /// Offsets, gradients and region of a tile.
    fn staged_bytes(&self) -> u32 {
        let g = &self.geometry;
        let gradients = g.rows * g.out_width * (g.groups * OUTPUTS + 4);
        self.offset_bytes() + 4 * (gradients + g.chunk * g.region_height * g.region_width)
    }

    /// Channel blocks times output blocks.
    fn blocks(&self) -> u32 {
        self.channel_blocks * self.geometry.outputs.div_ceil(self.geometry.groups * OUTPUTS)
    }

    pub fn chunks(&self) -> u32 {
        self.geometry.batch.div_ceil(self.chunk_images)
    }

    /// Elements of the filters of one sample.
    pub fn filters(&self) -> u32 {
        self.geometry.outputs * self.geometry.channels * self.geometry.kernel * self.geometry.kernel
    }

    /// Where the chunks' gradients go: scratch, or dw itself when there is one chunk.
    pub fn target(&self, l: &mut Lowering, dw: Out) -> Out {
        if self.chunks() == 1 {
            return dw;
        }
        let count = self.chunks() as usize * self.geometry.samples as usize * self.filters() as usize;
        Out { data: l.scratch::<f32>(count), len: self.filters(), stride: self.filters(), add: 0, unused: 0 }
    }

    /// Appends the launch; `arguments` are complete.
    pub fn launch(&self, l: &mut Lowering, kernel: &'static str, arguments: Arguments) {
        let g = &self.geometry;
        let units = g.groups * g.chunk * (g.kernel * g.kernel / self.taps);
        assert!(units <= WEIGHT_THREADS, "a block has a thread for each of its taps");
        let sums = 4 * OUTPUTS * self.taps * units * (WEIGHT_THREADS / units);
        let bytes = self.staged_bytes().max(self.offset_bytes() + sums);
        assert!(bytes <= SHARED_BYTES, "one row of a tile stands in shared memory");
        l.launch_shared(kernel, [self.blocks(), self.chunks(), g.samples], [WEIGHT_THREADS, 1, 1], bytes, arguments);
    }
}
