//! e^x of many elements, vectorised in f32.

use super::Real;
use super::lanes::multiply_add;
use crate::vectors::{Vectorised, vectorised};

/// x = e^x, in f64 by the standard library; in f32 within 2e-7 of the value, 0 below -87 and infinite from 88 on.
pub fn exponentials<T: Real>(x: &mut [T]) {
    if size_of::<T>() == size_of::<f32>() {
        vectorised(Exponentials(bytemuck::cast_slice_mut(x)));
    } else {
        x.iter_mut().for_each(|x| *x = x.exp());
    }
}

struct Exponentials<'a>(&'a mut [f32]);

impl Vectorised for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const W: usize>(self) {
        self.0.iter_mut().for_each(|x| *x = exponential::<W>(*x));
    }
}

/// 1.5 * 2^23: added to a small number, leaves the nearest integer in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;
/// ln 2 in two parts, the first with zeros at its end, so that its small multiples are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// 1 / k!, k from 0 on.
const SERIES: [f32; 8] = [1.0, 1.0, 0.5, 0.166_666_67, 0.041_666_668, 0.008_333_334, 0.001_388_888_9, 1.984_127e-4];

/// 2^n e^r with x = n ln 2 + r, |r| <= ln 2 / 2, by the series of e^r: its rest is below 6e-9. NaN stays NaN.
#[inline(always)]
fn exponential<const W: usize>(x: f32) -> f32 {
    let shifted = multiply_add::<f32, W>(x, std::f32::consts::LOG2_E, ROUNDING);
    let n = shifted - ROUNDING;
    let r = multiply_add::<f32, W>(n, -LN_2[1], multiply_add::<f32, W>(n, -LN_2[0], x));
    let mut value = SERIES[7];
    for k in (0..7).rev() {
        value = multiply_add::<f32, W>(value, r, SERIES[k]);
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let value = value * power;
    let value = if x < -87.0 { 0.0 } else { value };
    if x >= 88.0 { f32::INFINITY } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_agree_with_the_standard_library() {
        let mut x: Vec<f32> = (-87_000..88_000).map(|k| k as f32 / 1000.0).collect();
        let expected: Vec<f64> = x.iter().map(|&x| f64::from(x).exp()).collect();
        exponentials(&mut x);
        for (i, (found, expected)) in x.iter().zip(expected).enumerate() {
            assert!((f64::from(*found) / expected - 1.0).abs() <= 2e-7, "element {i}: {found}, not {expected}");
        }
        let mut ends = [f32::NEG_INFINITY, -87.5, 88.0, f32::INFINITY, f32::NAN];
        exponentials(&mut ends);
        assert_eq!(ends[..4], [0.0, 0.0, f32::INFINITY, f32::INFINITY]);
        assert!(ends[4].is_nan());
    }
}
