//! Register tiles: the two inner loops that all convolution kernels share, on plain slices that the compiler vectorises.
//!
//! A tile is `P` rows of `L` lanes that stay in vector registers while a sum runs. Widths suit 16 registers of 8 lanes.

use super::Real;
use pulp::{Arch, Simd, WithSimd};

/// Lanes of f32 in a 256-bit register: widths are multiples of it.
pub const LANES: usize = 8;
/// Registers across a tile with six rows: 6 x 2 sums leave room for the operands.
pub const NARROW: usize = 2;
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

/// sums[p][l] += sum_k rows[p][k] panel[k * L + l], with k over the elements of a row.
#[inline(always)]
pub fn dot_tile<T: Real, const FMA: bool, const P: usize, const L: usize>(
    sums: &mut [[T; L]; P],
    rows: [&[T]; P],
    panel: &[T],
) {
    let depth = rows[0].len();
    for (k, lanes) in panel.chunks_exact(L).take(depth).enumerate() {
        for p in 0..P {
            let value = rows[p][k];
            for l in 0..L {
                sums[p][l] = multiply_add::<T, FMA>(value, lanes[l], sums[p][l]);
            }
        }
    }
}

/// sums[p][l] += sum_e values[p][e] source[places[e] * scale + l], with e over the places.
#[inline(always)]
pub fn gather_tile<T: Real, const FMA: bool, const P: usize, const L: usize>(
    sums: &mut [[T; L]; P],
    values: [&[T]; P],
    places: &[u32],
    scale: usize,
    source: &[T],
) {
    for (e, &place) in places.iter().enumerate() {
        let lanes = &source[place as usize * scale..][..L];
        for p in 0..P {
            let value = values[p][e];
            for l in 0..L {
                sums[p][l] = multiply_add::<T, FMA>(value, lanes[l], sums[p][l]);
            }
        }
    }
}

/// True for not-a-number, the only value that differs from itself.
#[inline(always)]
#[allow(clippy::eq_op, reason = "partial_cmp does not vectorise")]
pub fn is_nan<T: Real>(value: T) -> bool {
    value != value
}

/// target[l] += sums[l]
#[inline(always)]
pub fn add_lanes<T: Real, const L: usize>(target: &mut [T], sums: &[T; L]) {
    let target = &mut target[..L];
    for l in 0..L {
        target[l] += sums[l];
    }
}

/// Work on blocks of lanes, whose number the compiler knows.
pub trait Tiled {
    /// Lanes `lane..lane + L` of run `run`, with fused multiply-adds if the hardware has them. To be inlined always.
    fn tile<const FMA: bool, const L: usize>(&mut self, run: usize, lane: usize);
}

/// Visits every block of at most [`NARROW`] registers of `runs` runs of `len` lanes, with the widest vectors of the machine.
pub fn for_each_narrow(runs: usize, len: usize, work: impl Tiled) {
    Arch::new().dispatch(Job::<_, false> { work, runs, len });
}

/// As [`for_each_narrow`], with blocks of at most [`WIDE`] registers.
pub fn for_each_wide(runs: usize, len: usize, work: impl Tiled) {
    Arch::new().dispatch(Job::<_, true> { work, runs, len });
}

struct Job<W, const IS_WIDE: bool> {
    work: W,
    runs: usize,
    len: usize,
}

impl<W: Tiled, const IS_WIDE: bool> Job<W, IS_WIDE> {
    #[inline(always)]
    fn visit<const FMA: bool>(mut self) {
        for run in 0..self.runs {
            for (lane, width) in blocks(self.len, if IS_WIDE { WIDE } else { NARROW }) {
                match width / LANES {
                    1 => self.work.tile::<FMA, 8>(run, lane),
                    2 => self.work.tile::<FMA, 16>(run, lane),
                    registers if IS_WIDE => self.visit_wide::<FMA>(run, lane, registers),
                    _ => {}
                }
            }
        }
    }

    #[inline(always)]
    fn visit_wide<const FMA: bool>(&mut self, run: usize, lane: usize, registers: usize) {
        match registers {
            3 => self.work.tile::<FMA, 24>(run, lane),
            4 => self.work.tile::<FMA, 32>(run, lane),
            5 => self.work.tile::<FMA, 40>(run, lane),
            6 => self.work.tile::<FMA, 48>(run, lane),
            7 => self.work.tile::<FMA, 56>(run, lane),
            8 => self.work.tile::<FMA, 64>(run, lane),
            9 => self.work.tile::<FMA, 72>(run, lane),
            10 => self.work.tile::<FMA, 80>(run, lane),
            11 => self.work.tile::<FMA, 88>(run, lane),
            12 => self.work.tile::<FMA, 96>(run, lane),
            _ => self.work.tile::<FMA, 104>(run, lane),
        }
    }
}

impl<W: Tiled, const IS_WIDE: bool> WithSimd for Job<W, IS_WIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if S::IS_SCALAR { self.visit::<false>() } else { self.visit::<true>() }
    }
}
