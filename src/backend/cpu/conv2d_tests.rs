//! Convolutions against plain f64 loops, on shapes with ragged tails, strides and one-sided padding.

use super::super::StridedMut;
use super::super::conv2d_grad::{grad_input_slices, grad_weight_slices};
use super::super::test_support::{close, in_pools, pattern};
use super::*;

/// Naive results in f64, weights and outputs contiguous over samples.
pub struct Reference {
    pub y: Vec<f64>,
    pub dx: Vec<f64>,
    pub dw: Vec<f64>,
}

pub fn dims(numbers: [u32; 10], shared_input: u32, bias: u32) -> Conv2dDims {
    let [samples, batch, channels, outputs, size, kernel, stride, pad, out_height, out_width] = numbers;
    let (height, width) = (size, size + 1);
    #[rustfmt::skip]
    let d = Conv2dDims {
        samples, batch, channels, height, width, outputs, kernel, stride, pad, out_height, out_width, shared_input, bias,
    };
    d
}

/// Samples, batch, channels, outputs, height (the width is one more), kernel, stride, pad, output height and width.
fn shapes() -> Vec<Conv2dDims> {
    vec![
        dims([1, 1, 1, 1, 1, 1, 1, 0, 1, 2], 0, 0),
        dims([1, 3, 1, 20, 9, 5, 1, 0, 5, 6], 0, 1),
        dims([2, 3, 1, 20, 8, 4, 1, 0, 5, 6], 0, 1),
        dims([2, 5, 3, 17, 6, 3, 1, 1, 6, 7], 1, 1),
        dims([5, 4, 17, 33, 5, 3, 2, 1, 3, 3], 0, 0),
        dims([2, 3, 16, 9, 6, 3, 2, 0, 3, 3], 0, 1),
        dims([1, 33, 5, 3, 7, 5, 1, 2, 7, 8], 0, 1),
        dims([5, 2, 16, 65, 3, 3, 1, 1, 3, 4], 1, 0),
        dims([3, 17, 33, 16, 3, 1, 2, 0, 2, 2], 0, 1),
        dims([1, 65, 16, 16, 12, 3, 1, 1, 12, 13], 0, 1),
    ]
}

/// Visits (y, x, w) index triples of the sum that defines the convolution.
fn visit_terms(d: &Conv2dDims, mut visit: impl FnMut(usize, usize, usize)) {
    let [s_, n_, c_, h_, w_] = [d.samples, d.batch, d.channels, d.height, d.width].map(|v| v as usize);
    let [o_, k_, stride, pad] = [d.outputs, d.kernel, d.stride, d.pad].map(|v| v as usize);
    let (p_, q_) = (d.out_height as usize, d.out_width as usize);
    for s in 0..s_ {
        let xs = if d.shared_input != 0 { 0 } else { s };
        for (n, o, p, q) in indices(n_, o_, p_, q_) {
            for (c, i, j, _) in indices(c_, k_, k_, 1) {
                let (row, column) = ((p * stride + i).wrapping_sub(pad), (q * stride + j).wrapping_sub(pad));
                if row < h_ && column < w_ {
                    visit(
                        (((s * n_ + n) * o_ + o) * p_ + p) * q_ + q,
                        (((xs * n_ + n) * c_ + c) * h_ + row) * w_ + column,
                        (((s * o_ + o) * c_ + c) * k_ + i) * k_ + j,
                    );
                }
            }
        }
    }
}

fn indices(a: usize, b: usize, c: usize, d: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

pub struct Case<T> {
    pub x: Vec<T>,
    pub w: Vec<T>,
    pub b: Vec<T>,
    pub dy: Vec<T>,
    /// Elements of one sample's weights, and from one sample to the next.
    pub weights: usize,
    pub stride: usize,
}

impl<T: Real> Case<T> {
    pub fn new(d: &Conv2dDims) -> Self {
        let samples = d.samples as usize;
        let inputs = if d.shared_input != 0 { 1 } else { samples } * d.batch as usize;
        let weights = (d.outputs * d.channels * d.kernel * d.kernel) as usize;
        let stride = weights + 7;
        Self {
            x: pattern(inputs * (d.channels * d.height * d.width) as usize, 1),
            w: pattern(samples * stride, 2),
            b: pattern(samples * d.outputs as usize, 3),
            dy: pattern(samples * (d.batch * d.outputs * d.out_height * d.out_width) as usize, 4),
            weights,
            stride,
        }
    }

    pub fn strided<'a>(&self, slice: &'a [T]) -> Strided<'a, T> {
        Strided::from_slice(slice, slice.len() / self.stride, self.weights, self.stride)
    }

    pub fn bias(&self, d: &Conv2dDims) -> Strided<'_, T> {
        let outputs = d.outputs as usize;
        Strided::from_slice(&self.b, d.samples as usize, outputs, outputs)
    }

    pub fn reference(&self, d: &Conv2dDims) -> Reference {
        let pixels = (d.out_height * d.out_width) as usize;
        let bias = |i: usize| {
            let per_sample = self.dy.len() / d.samples as usize;
            self.b[i / per_sample * d.outputs as usize + i / pixels % d.outputs as usize].f64()
        };
        let y = (0..self.dy.len()).map(|i| if d.bias != 0 { bias(i) } else { 0.0 }).collect();
        let mut sums = Reference { y, dx: vec![0.0; self.x.len()], dw: vec![0.0; d.samples as usize * self.weights] };
        visit_terms(d, |y, x, w| {
            let weight = self.w[w / self.weights * self.stride + w % self.weights].f64();
            sums.y[y] += weight * self.x[x].f64();
            sums.dx[x] += weight * self.dy[y].f64();
            sums.dw[w] += self.dy[y].f64() * self.x[x].f64();
        });
        sums
    }

    fn forward(&self, d: &Conv2dDims, function: Unary) -> Vec<T> {
        let mut y = vec![T::of(f64::NAN); self.dy.len()];
        let bias = self.bias(d);
        let bias = (d.bias != 0).then_some(&bias);
        forward_slices(d, function, &self.x, &self.strided(&self.w), bias, &mut y);
        y
    }

    fn grad_input(&self, d: &Conv2dDims, start: Option<T>) -> Vec<T> {
        let mut dx = vec![start.unwrap_or(T::of(f64::NAN)); self.x.len()];
        grad_input_slices(d, &self.dy, &self.strided(&self.w), &mut dx, start.is_some());
        dx
    }

    fn grad_weight(&self, d: &Conv2dDims, start: Option<T>) -> Vec<T> {
        let mut dw = vec![start.unwrap_or(T::of(f64::NAN)); self.w.len()];
        let mut partials = vec![T::of(f64::NAN); d.grad_weight_partials()];
        let target = StridedMut::from_slice(&mut dw, d.samples as usize, self.weights, self.stride);
        grad_weight_slices(d, &self.x, &self.dy, target, start.is_some(), &mut partials);
        dw.chunks(self.stride).flat_map(|block| block[..self.weights].to_vec()).collect()
    }
}

fn check_against_loops<T: Real>(tolerance: f64) {
    for d in &shapes() {
        let case = Case::<T>::new(d);
        let expected = case.reference(d);
        let relu: Vec<f64> = expected.y.iter().map(|y| y.max(0.0)).collect();
        close(&case.forward(d, Unary::Identity), &expected.y, 0.0, tolerance, "y");
        close(&case.forward(d, Unary::Relu), &relu, 0.0, tolerance, "relu(y)");
        for start in [None, Some(T::of(0.5))] {
            let shift = start.map_or(0.0, T::f64);
            close(&case.grad_input(d, start), &expected.dx, shift, tolerance, "dx");
            close(&case.grad_weight(d, start), &expected.dw, shift, tolerance, "dw");
        }
    }
}

#[test]
fn equals_plain_loops_in_f32() {
    check_against_loops::<f32>(1e-5);
}

#[test]
fn equals_plain_loops_in_f64() {
    check_against_loops::<f64>(1e-12);
}

#[test]
fn same_bits_for_any_number_of_threads() {
    for d in &shapes() {
        let case = Case::<f32>::new(d);
        in_pools(|| [case.forward(d, Unary::Tanh), case.grad_input(d, None), case.grad_weight(d, None)].concat());
    }
}

#[test]
fn activations_follow_their_definitions() {
    let at = |function, x| activation::<f64>(function, x);
    assert_eq!(at(Unary::LeakyRelu(0.25), -2.0), -0.5);
    assert_eq!(at(Unary::Relu, -2.0), 0.0);
    assert_eq!(at(Unary::Affine(2.0, 1.0), 3.0), 7.0);
    assert_eq!(at(Unary::Square, -3.0), 9.0);
    assert_eq!([-2.0, 0.0, 5.0].map(|x| at(Unary::Sign, x)), [-1.0, 0.0, 1.0]);
    assert_eq!(at(Unary::Sigmoid, 0.0), 0.5);
    assert!(at(Unary::Relu, f64::NAN).is_nan(), "not-a-number must stay visible");
}
