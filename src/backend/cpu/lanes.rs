//! Fixed-width groups of elements that the compiler keeps in vector registers.

use super::Real;
use crate::vectors::PORTABLE;

/// Elements of one group: a 256-bit register of f32.
pub const LANES: usize = 8;

/// a * b + c, fused only where the hardware does it (`Vectorised::run`): elsewhere a fused one is a slow call.
#[inline(always)]
pub fn multiply_add<T: Real, const W: usize>(a: T, b: T, c: T) -> T {
    if W > PORTABLE { a.mul_add(b, c) } else { a * b + c }
}

/// sum[l] += x[l] * y[l]
#[inline(always)]
pub fn add_product<T: Real, const W: usize>(sum: &mut [T; LANES], x: &[T; LANES], y: &[T; LANES]) {
    for l in 0..LANES {
        sum[l] = multiply_add::<T, W>(x[l], y[l], sum[l]);
    }
}

/// Sum of the lanes, in pairs.
#[inline(always)]
pub fn total<T: Real>(x: &[T; LANES]) -> T {
    ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
}

/// Up to `LANES` elements, followed by zeros.
#[inline(always)]
pub fn padded<T: Real>(x: &[T]) -> [T; LANES] {
    let mut lanes = [T::ZERO; LANES];
    lanes[..x.len()].copy_from_slice(x);
    lanes
}
