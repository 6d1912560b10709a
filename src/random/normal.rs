//! Normal numbers in f32, vectorised: blocks of counters, plain loops that the compiler turns into SIMD code, logarithm,
//! sine and cosine as polynomials (fitted at Chebyshev nodes; relative error below 5e-9 before rounding).

use super::{Stream, philox4x32_10};
use crate::vectors::{BROAD, PORTABLE, Vectorised, vectorised};

/// Counters of a block; four elements each.
pub(super) const LANES: usize = 64;

/// (ln(1 + f) - f + f^2 / 2) / f^3 for 1 + f in [sqrt(1/2), sqrt(2)], lowest power first.
const LOG: [f32; 9] = [
    0.333_333_3,
    -0.249_999_97,
    0.200_007_16,
    -0.166_678_02,
    0.142_490_58,
    -0.124_256_87,
    0.116_854_2,
    -0.114_797_34,
    0.069_716_11,
];
/// sin(2 pi x) / x in x^2, for |x| <= 1/8.
const SIN: [f32; 4] = [std::f32::consts::TAU, -41.341_66, 81.592_54, -75.401_61];
/// cos(2 pi x) in x^2, for |x| <= 1/8.
const COS: [f32; 5] = [1.0, -19.739_209, 64.939_316, -85.442_84, 59.220_17];

/// Bits of sqrt(1/2).
const ROOT_HALF: u32 = 0x3f35_04f3;
/// sqrt(1/2) * 2^24, rounded up: from here on, u - 1 is exact where u is not.
const NEAR_ONE: u32 = 11_863_284;

/// Fills `out` with the normals of counters `block`, `block` + 1, ...
pub fn fill(stream: &Stream, block: u32, out: &mut [f32]) {
    vectorised(Normals { stream, block, out });
}

struct Normals<'a> {
    stream: &'a Stream,
    block: u32,
    out: &'a mut [f32],
}

impl Vectorised for Normals<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const W: usize>(self) {
        fill_blocks::<W>(self.stream, self.block, self.out);
    }
}

#[inline(always)]
fn fill_blocks<const W: usize>(stream: &Stream, block: u32, out: &mut [f32]) {
    let mut bits = [[0u32; LANES]; 4];
    let mut normals = [[0f32; LANES]; 4];
    for (i, out) in out.chunks_mut(4 * LANES).enumerate() {
        // Whole SIMD registers of counters; what a ragged tail does not need is dropped.
        let counters = out.len().div_ceil(4).next_multiple_of(BROAD);
        random_words(stream, block.wrapping_add((i * LANES) as u32), counters, &mut bits);
        let [b0, b1, b2, b3] = &bits;
        let [n0, n1, n2, n3] = &mut normals;
        box_muller::<W>(&b0[..counters], &b1[..counters], &mut n0[..counters], &mut n1[..counters]);
        box_muller::<W>(&b2[..counters], &b3[..counters], &mut n2[..counters], &mut n3[..counters]);
        interleave(&normals, out);
    }
}

/// The four words of `counters` counters from `block` on, one array a lane.
#[inline(always)]
pub(super) fn random_words(stream: &Stream, block: u32, counters: usize, bits: &mut [[u32; LANES]; 4]) {
    let [b0, b1, b2, b3] = bits;
    let words = b0[..counters].iter_mut().zip(&mut b1[..counters]).zip(&mut b2[..counters]).zip(&mut b3[..counters]);
    for (i, (((w0, w1), w2), w3)) in words.enumerate() {
        let counter = [block.wrapping_add(i as u32), stream.stream, stream.step, 0];
        [*w0, *w1, *w2, *w3] = philox4x32_10(counter, stream.key);
    }
}

#[inline(always)]
fn box_muller<const W: usize>(b0: &[u32], b1: &[u32], n0: &mut [f32], n1: &mut [f32]) {
    for (((&b0, &b1), n0), n1) in b0.iter().zip(b1).zip(n0).zip(n1) {
        let radius = (-2.0 * ln_uniform::<W>(b0 >> 8)).sqrt();
        let (sin, cos) = sin_cos_turns::<W>(b1 >> 8);
        *n0 = radius * cos;
        *n1 = radius * sin;
    }
}

/// The elements of the counters in their order: lane 0 to 3 of each.
#[inline(always)]
pub(super) fn interleave<T: Copy>(lanes: &[[T; LANES]; 4], out: &mut [T]) {
    let [n0, n1, n2, n3] = lanes;
    let (quads, tail) = out.as_chunks_mut::<4>();
    for ((((quad, n0), n1), n2), n3) in quads.iter_mut().zip(n0).zip(n1).zip(n2).zip(n3) {
        *quad = [*n0, *n1, *n2, *n3];
    }
    let last = quads.len();
    for (out, n) in tail.iter_mut().zip(lanes) {
        *out = n[last];
    }
}

/// a * b + c, fused where the instruction exists (elsewhere it would be a slow library call).
#[inline(always)]
pub(super) fn multiply_add<const W: usize>(a: f32, b: f32, c: f32) -> f32 {
    if W > PORTABLE { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn polynomial<const W: usize, const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    let mut value = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        value = multiply_add::<W>(value, x, coefficients[i]);
    }
    value
}

/// ln((k + 1/2) / 2^24), k < 2^24. Close to 1 the fraction minus 1 is taken from k exactly.
#[inline(always)]
fn ln_uniform<const W: usize>(k: u32) -> f32 {
    let integer = k as i32 as f32;
    let bits = (integer + 0.5).to_bits();
    let exponent = (bits.wrapping_sub(ROOT_HALF) as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32)) - 1.0;
    let exact = ((integer - 16_777_216.0) + 0.5) * super::SPACING as f32;
    let f = if k >= NEAR_ONE { exact } else { mantissa };
    let series = multiply_add::<W>(polynomial::<W, 9>(&LOG, f), f, -0.5);
    let log1p = multiply_add::<W>(series, f * f, f);
    multiply_add::<W>((exponent - 24) as f32, std::f32::consts::LN_2, log1p)
}

/// Sine and cosine of 2 pi (k + 1/2) / 2^24, k < 2^24. The quarter turn is split off in integers, exactly.
#[inline(always)]
fn sin_cos_turns<const W: usize>(k: u32) -> (f32, f32) {
    let quarter = (k + (1 << 21)) >> 22;
    let rest = k as i32 - (quarter << 22) as i32;
    let x = (rest as f32 + 0.5) * super::SPACING as f32;
    let square = x * x;
    let sin = x * polynomial::<W, 4>(&SIN, square);
    let cos = polynomial::<W, 5>(&COS, square);
    let (a, b) = if quarter & 1 == 0 { (sin, cos) } else { (cos, sin) };
    let sin_sign = (quarter & 2) << 30;
    let cos_sign = ((quarter + 1) & 2) << 30;
    (f32::from_bits(a.to_bits() ^ sin_sign), f32::from_bits(b.to_bits() ^ cos_sign))
}
