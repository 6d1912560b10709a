//! conv2d: y[s,n,o,p,q] = f(b[s,o] + sum_{c,i,j} x[s,n,c,p*stride+i-pad,q*stride+j-pad] w[s,o,c,i,j]), per-sample weights.

use super::linear::activation_gradient;
use super::{axes, mismatch};
use crate::Result;
use crate::call::{BiasDims, Conv2dDims, Dtype, Kind, Unary, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// How the borders are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// No padding: output side = (side - kernel) / stride + 1.
    Valid,
    /// Output side = ceil(side / stride); zeros are split evenly, the odd one goes below and right (as in TensorFlow).
    Same,
}

/// x [S or 1, N, C, H, W], w [S, O, C, K, K], optional b [S, O] -> y [S, N, O, H', W'] (axes S N C H W).
///
/// # Errors
/// When axes or sizes do not fit, the stride is zero or the kernel is larger than a valid input.
pub fn conv2d(
    g: &mut Graph,
    name: &str,
    (x, w, b): (TensorId, TensorId, Option<TensorId>),
    stride: usize,
    padding: Padding,
) -> Result<TensorId> {
    let [x_samples, batch, channels, height, width] = axes(g, "conv2d", name, "x", x, "SNCHW")?;
    let [samples, outputs, w_channels, kernel, kernel_width] = axes(g, "conv2d", name, "w", w, "SOCKK")?;
    let fits = w_channels == channels && kernel == kernel_width && (x_samples == samples || x_samples == 1);
    if !fits || stride == 0 || (padding == Padding::Valid && kernel > height.min(width)) {
        let expected = format!("[S={x_samples}, O, C={channels}, K, K] with K at most the side of x {}", g.shape(x));
        return Err(mismatch(g, "conv2d", name, "w", w, &expected));
    }
    if let Some(b) = b
        && g.shape(b) != &Shape::new(&[('S', samples), ('O', outputs)])
    {
        return Err(mismatch(g, "conv2d", name, "b", b, &format!("[S={samples}, O={outputs}]")));
    }
    let (out_height, out_width, pad) = match padding {
        Padding::Valid => ((height - kernel) / stride + 1, (width - kernel) / stride + 1, 0),
        Padding::Same => {
            let (out_height, out_width) = (height.div_ceil(stride), width.div_ceil(stride));
            let zeros = |side: usize, out: usize| ((out - 1) * stride + kernel).saturating_sub(side);
            let pad = zeros(height, out_height) / 2;
            if pad != zeros(width, out_width) / 2 {
                return Err(mismatch(
                    g,
                    "conv2d",
                    name,
                    "x",
                    x,
                    "with H and W that need the same padding (square images)",
                ));
            }
            (out_height, out_width, pad)
        }
    };
    let dims = Conv2dDims {
        samples: samples as u32,
        batch: batch as u32,
        channels: channels as u32,
        height: height as u32,
        width: width as u32,
        outputs: outputs as u32,
        kernel: kernel as u32,
        stride: stride as u32,
        pad: pad as u32,
        out_height: out_height as u32,
        out_width: out_width as u32,
        shared_input: u32::from(x_samples == 1 && samples > 1),
        bias: u32::from(b.is_some()),
    };
    let shape = Shape::new(&[('S', samples), ('N', batch), ('C', outputs), ('H', out_height), ('W', out_width)]);
    let inputs: Vec<TensorId> = [Some(x), Some(w), b].into_iter().flatten().collect();
    Ok(g.node(Op::Conv2d(dims, Unary::Identity), name, &inputs, &[("", shape, Dtype::Real)])?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &Conv2dDims, f: Unary) {
    let reads = e.values(&node.inputs);
    let y = e.value(node.outputs[0]);
    e.call(Kind::Conv2dForward(*d, f), &reads, &[(y, Write::Set)]);
}

/// dw[s,o,c,i,j] = sum over n, p, q of x dz; dx is the transposed convolution of dz; db = sum of dz.
pub(super) fn backward(e: &mut Emit, node: &Node, d: &Conv2dDims, f: Unary) {
    let (x, w) = (node.inputs[0], node.inputs[1]);
    let Some(dz) = activation_gradient(e, node, f) else { return };
    if let Some(&b) = node.inputs.get(2)
        && e.wants(b)
    {
        let db = e.gradient_target(b);
        let inner = d.out_height * d.out_width;
        let dims = BiasDims { samples: d.samples, rows: d.batch, channels: d.outputs, inner };
        e.call(Kind::BiasGrad(dims), &[dz], &[db]);
    }
    let (x_value, w_value) = (e.value(x), e.value(w));
    if e.wants(w) {
        let dw = e.gradient_target(w);
        let partials = e.scratch(&format!("partials.{}", node.name), Dtype::Real, d.grad_weight_partials());
        e.call(Kind::Conv2dGradWeight(*d), &[x_value, dz], &[dw, (partials, Write::Set)]);
    }
    if e.wants(x) {
        let dx = e.gradient_target(x);
        e.call(Kind::Conv2dGradInput(*d), &[dz, w_value], &[dx]);
    }
}
