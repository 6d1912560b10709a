//! Register tiles: the two inner loops that all convolution kernels share, on plain slices that the compiler vectorises.
//!
//! A tile is `P` rows of `L` lanes that stay in vector registers while a sum runs. Widths suit 16 registers of 8 lanes.

use super::Real;

/// Lanes of f32 in a 256-bit register: widths are multiples of it.
pub const LANES: usize = 8;
/// Registers across a tile with four rows: 4 x 3 sums leave room for the operands.
pub const NARROW: usize = 3;
/// Registers across a tile with one row.
pub const WIDE: usize = 13;

/// Rounds a number of elements up to whole registers.
pub fn padded(len: usize) -> usize {
    len.next_multiple_of(LANES)
}

/// Splits `padded(len)` lanes into as few blocks of at most `registers` registers as possible, as even as possible:
/// (first lane, lanes) of each.
pub fn blocks(len: usize, registers: usize) -> impl Iterator<Item = (usize, usize)> {
    let units = padded(len) / LANES;
    let count = units.div_ceil(registers).max(1);
    let (base, longer) = (units / count, units % count);
    (0..count).map(move |i| {
        let start = i * base + i.min(longer);
        (start * LANES, (base + usize::from(i < longer)) * LANES)
    })
}

/// a * b + c, fused only where the hardware does it: elsewhere a fused one is a slow call.
#[inline(always)]
fn multiply_add<T: Real, const FMA: bool>(a: T, b: T, c: T) -> T {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// sums[p][l] += sum_k rows[p][k] panel[k * stride + l], with k over the elements of a row.
#[inline(always)]
pub fn dot_tile<T: Real, const FMA: bool, const P: usize, const L: usize>(
    sums: &mut [[T; L]; P],
    rows: [&[T]; P],
    panel: &[T],
    stride: usize,
) {
    let depth = rows[0].len();
    let rows = rows.map(|row| &row[..depth]);
    for k in 0..depth {
        let lanes = &panel[k * stride..][..L];
        for p in 0..P {
            let value = rows[p][k];
            for l in 0..L {
                sums[p][l] = multiply_add::<T, FMA>(value, lanes[l], sums[p][l]);
            }
        }
    }
}

/// sums[l] += sum_e values[e] source[offsets[e] + l].
#[inline(always)]
pub fn gather_tile<T: Real, const FMA: bool, const L: usize>(
    sums: &mut [T; L],
    values: &[T],
    offsets: &[u32],
    source: &[T],
) {
    for (&value, &offset) in values.iter().zip(offsets) {
        let lanes = &source[offset as usize..][..L];
        for l in 0..L {
            sums[l] = multiply_add::<T, FMA>(value, lanes[l], sums[l]);
        }
    }
}
