//! Standardised crops of colour images: at random places for training, of the centre for evaluation.

use super::{axes, mismatch};
use crate::call::{AugmentDims, Dtype, Kind, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};
use crate::{Error, Result};

/// Interval of the random contrast factors (arXiv 1711.01297's input pipeline, that of TensorFlow's CIFAR-10 tutorial).
const CONTRAST: [f32; 2] = [0.2, 1.8];

/// How images are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Rows and columns of zeros around the image before a random crop.
    pub pad: usize,
    /// Height and width of the crop, pixels.
    pub side: usize,
}

/// x [S, N, C, H, W] in [0, 1] -> y [S, N, C, side, side], each image with mean 0 and standard deviation 1.
///
/// `random`: after zero padding, a crop at a random place, flipped left to right half the time, its deviations from the
/// mean of each channel times a random contrast factor; the same for a given seed, step and row. Else the centre. The pipeline's
/// random brightness adds one number to all pixels, which subtracting the mean takes away again: it is left out.
///
/// # Errors
/// When the images have more than [`AugmentDims::MOST_CHANNELS`] channels or are smaller than the crop.
pub fn augment(g: &mut Graph, name: &str, x: TensorId, crop: Crop, random: bool) -> Result<TensorId> {
    let [samples, batch, channels, height, width] = axes(g, "augment", name, "x", x, "SNCHW")?;
    if channels > AugmentDims::MOST_CHANNELS {
        let expected = format!("with at most {} channels", AugmentDims::MOST_CHANNELS);
        return Err(mismatch(g, "augment", name, "x", x, &expected));
    }
    if crop.side == 0 || crop.side > height.min(width) {
        return Err(Error::input(format!(
            "augment {name}: expected images of at least {0}x{0} pixels, found {height}x{width}; train without --augment",
            crop.side
        )));
    }
    let dims = AugmentDims {
        batch: (samples * batch) as u32,
        channels: channels as u32,
        height: height as u32,
        width: width as u32,
        side: crop.side as u32,
        pad: crop.pad as u32,
        random: u32::from(random),
        stream: g.store.stream(name)?,
        contrast_low: CONTRAST[0],
        contrast_width: CONTRAST[1] - CONTRAST[0],
    };
    let shape = Shape::new(&[('S', samples), ('N', batch), ('C', channels), ('H', crop.side), ('W', crop.side)]);
    Ok(g.node(Op::Augment(dims), name, &[x], &[("", shape, Dtype::Real)])?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &AugmentDims) {
    let reads = [e.value(node.inputs[0]), e.words()];
    let y = e.value(node.outputs[0]);
    e.call(Kind::Augment(*d), &reads, &[(y, Write::Set)]);
}
