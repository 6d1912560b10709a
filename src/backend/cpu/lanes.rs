//! Fixed-width groups of elements that the compiler keeps in vector registers.

use super::Real;
use crate::vectors::{self, PORTABLE};
#[cfg(target_arch = "x86_64")]
use {pulp::x86::V3, std::arch::x86_64::__m256};

/// Selectors of shuffles: the first or last two of each four lanes of both registers; low or high halves of both.
#[cfg(target_arch = "x86_64")]
const FIRSTS: i32 = 0x44;
#[cfg(target_arch = "x86_64")]
const LASTS: i32 = 0xee;
#[cfg(target_arch = "x86_64")]
const LOW_HALVES: i32 = 0x20;
#[cfg(target_arch = "x86_64")]
const HIGH_HALVES: i32 = 0x31;

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

/// The square block whose row i starts at x[i * stride], transposed. To be called in code with vectors.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "iterator adaptors are not inlined into the vector code")]
pub fn turned<T: Real>(x: &[T], stride: usize) -> [[T; LANES]; LANES] {
    let mut rows = [[T::ZERO; LANES]; LANES];
    for i in 0..LANES {
        rows[i].copy_from_slice(&x[i * stride..][..LANES]);
    }
    #[cfg(target_arch = "x86_64")]
    if size_of::<T>() == size_of::<f32>()
        && let Some(simd) = vectors::avx2()
    {
        return bytemuck::cast(turned_in_registers(simd, bytemuck::cast(rows)));
    }
    let mut columns = [[T::ZERO; LANES]; LANES];
    for i in 0..LANES {
        for j in 0..LANES {
            columns[j][i] = rows[i][j];
        }
    }
    columns
}

/// The transpose by shuffles of registers, which the compiler does not find by itself.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn turned_in_registers(simd: V3, [a, b, c, d, e, f, g, h]: [__m256; LANES]) -> [__m256; LANES] {
    let v = simd.avx;
    // Pairs of rows, then fours of the upper and of the lower rows, then all eight.
    let (ab, cd) = (v._mm256_unpacklo_ps(a, b), v._mm256_unpacklo_ps(c, d));
    let (ef, gh) = (v._mm256_unpacklo_ps(e, f), v._mm256_unpacklo_ps(g, h));
    let (ab_high, cd_high) = (v._mm256_unpackhi_ps(a, b), v._mm256_unpackhi_ps(c, d));
    let (ef_high, gh_high) = (v._mm256_unpackhi_ps(e, f), v._mm256_unpackhi_ps(g, h));
    let (upper0, lower0) = (v._mm256_shuffle_ps::<FIRSTS>(ab, cd), v._mm256_shuffle_ps::<FIRSTS>(ef, gh));
    let (upper1, lower1) = (v._mm256_shuffle_ps::<LASTS>(ab, cd), v._mm256_shuffle_ps::<LASTS>(ef, gh));
    let (upper2, lower2) =
        (v._mm256_shuffle_ps::<FIRSTS>(ab_high, cd_high), v._mm256_shuffle_ps::<FIRSTS>(ef_high, gh_high));
    let (upper3, lower3) =
        (v._mm256_shuffle_ps::<LASTS>(ab_high, cd_high), v._mm256_shuffle_ps::<LASTS>(ef_high, gh_high));
    [
        v._mm256_permute2f128_ps::<LOW_HALVES>(upper0, lower0),
        v._mm256_permute2f128_ps::<LOW_HALVES>(upper1, lower1),
        v._mm256_permute2f128_ps::<LOW_HALVES>(upper2, lower2),
        v._mm256_permute2f128_ps::<LOW_HALVES>(upper3, lower3),
        v._mm256_permute2f128_ps::<HIGH_HALVES>(upper0, lower0),
        v._mm256_permute2f128_ps::<HIGH_HALVES>(upper1, lower1),
        v._mm256_permute2f128_ps::<HIGH_HALVES>(upper2, lower2),
        v._mm256_permute2f128_ps::<HIGH_HALVES>(upper3, lower3),
    ]
}

/// Up to `LANES` elements, followed by zeros.
#[inline(always)]
pub fn padded<T: Real>(x: &[T]) -> [T; LANES] {
    let mut lanes = [T::ZERO; LANES];
    lanes[..x.len()].copy_from_slice(x);
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_transpose<T: Real>() {
        let stride = LANES + 3;
        let x: Vec<T> = (0..LANES * stride).map(|i| T::of(i as f64)).collect();
        let block = vectors::dispatch(
            #[inline(always)]
            || turned(&x, stride),
        );
        for (j, row) in block.iter().enumerate() {
            for (i, value) in row.iter().enumerate() {
                assert_eq!(*value, x[i * stride + j]);
            }
        }
    }

    #[test]
    fn blocks_are_transposed() {
        check_transpose::<f32>();
        check_transpose::<f64>();
    }
}
