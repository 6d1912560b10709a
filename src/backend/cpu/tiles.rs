//! Register tiles: the two inner loops that all convolution kernels share, on plain slices that the compiler vectorises.
//!
//! A tile is `P` rows of `L` lanes that stay in vector registers while a sum runs. With 16 registers of 8 lanes it holds
//! 6 x 2 sums, which leave room for the operands, or 8 x 1; with 32 registers of 16 lanes 8 x 3: more rows
//! than 8 would need more pointers than there are general registers.

use super::Real;
use super::lanes::multiply_add;
use crate::vectors::{self, BROAD, Vectorised, vectorised};

/// How many registers a block of lanes spans at most.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// What leaves room for several rows: 2, of 16 lanes 3.
    Narrow,
    /// 13, for tiles of one row.
    Wide,
}

impl Span {
    fn registers(self, lanes: usize) -> usize {
        match self {
            Self::Narrow if lanes == BROAD => 3,
            Self::Narrow => 2,
            Self::Wide => 13,
        }
    }
}

/// Rounds a number of elements up to whole registers of the set in use.
pub fn padded(len: usize) -> usize {
    len.next_multiple_of(vectors::lanes())
}

/// Splits `len` lanes, rounded up to whole registers, into as few blocks as possible, as even as possible: (first lane,
/// lanes) of each.
pub fn blocks(len: usize, span: Span) -> impl Iterator<Item = (usize, usize)> {
    blocks_of(vectors::lanes(), len, span)
}

#[inline(always)]
fn blocks_of(lanes: usize, len: usize, span: Span) -> impl Iterator<Item = (usize, usize)> {
    let units = len.div_ceil(lanes);
    let count = units.div_ceil(span.registers(lanes)).max(1);
    let (base, longer) = (units / count, units % count);
    (0..count).map(move |i| {
        let start = i * base + i.min(longer);
        (start * lanes, (base + usize::from(i < longer)) * lanes)
    })
}

/// sums[p][l] += sum_k rows[p][k] panel[k * L + l], with k over the elements of a row.
#[inline(always)]
pub fn dot_tile<T: Real, const W: usize, const P: usize, const L: usize>(
    sums: &mut [[T; L]; P],
    rows: [&[T]; P],
    panel: &[T],
) {
    let depth = rows[0].len();
    for (k, lanes) in panel.chunks_exact(L).take(depth).enumerate() {
        for p in 0..P {
            let value = rows[p][k];
            for l in 0..L {
                sums[p][l] = multiply_add::<T, W>(value, lanes[l], sums[p][l]);
            }
        }
    }
}

/// sums[p][l] += sum_e values[p][e] source[places[e] * scale + l], with e over the places.
#[inline(always)]
pub fn gather_tile<T: Real, const W: usize, const P: usize, const L: usize>(
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
                sums[p][l] = multiply_add::<T, W>(value, lanes[l], sums[p][l]);
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
    /// Lanes `lane..lane + L` of run `run`, with `P` rows to a tile. `W` as in [`Vectorised::run`]. To be inlined always.
    fn tile<const W: usize, const P: usize, const L: usize>(&mut self, run: usize, lane: usize);
}

/// Visits every block of `runs` runs of `len` lanes.
pub fn for_each_block(span: Span, runs: usize, len: usize, work: impl Tiled) {
    match span {
        Span::Narrow => vectorised(NarrowBlocks { work, runs, len }),
        Span::Wide => vectorised(WideBlocks { work, runs, len }),
    }
}

struct NarrowBlocks<T> {
    work: T,
    runs: usize,
    len: usize,
}

impl<T: Tiled> Vectorised for NarrowBlocks<T> {
    type Output = ();

    #[inline(always)]
    fn run<const W: usize>(mut self) {
        let lanes = if W == BROAD { BROAD } else { vectors::NARROW };
        for run in 0..self.runs {
            for (lane, width) in blocks_of(lanes, self.len, Span::Narrow) {
                match (width / lanes, W) {
                    (1, BROAD) => self.work.tile::<W, 8, 16>(run, lane),
                    (2, BROAD) => self.work.tile::<W, 8, 32>(run, lane),
                    (_, BROAD) => self.work.tile::<W, 8, 48>(run, lane),
                    (1, _) => self.work.tile::<W, 8, 8>(run, lane),
                    _ => self.work.tile::<W, 6, 16>(run, lane),
                }
            }
        }
    }
}

struct WideBlocks<T> {
    work: T,
    runs: usize,
    len: usize,
}

impl<T: Tiled> Vectorised for WideBlocks<T> {
    type Output = ();

    #[inline(always)]
    fn run<const W: usize>(mut self) {
        let lanes = if W == BROAD { BROAD } else { vectors::NARROW };
        for run in 0..self.runs {
            for (lane, width) in blocks_of(lanes, self.len, Span::Wide) {
                if W == BROAD {
                    self.broad::<W>(run, lane, width / BROAD);
                } else {
                    self.narrow::<W>(run, lane, width / vectors::NARROW);
                }
            }
        }
    }
}

impl<T: Tiled> WideBlocks<T> {
    #[inline(always)]
    fn broad<const W: usize>(&mut self, run: usize, lane: usize, registers: usize) {
        match registers {
            1 => self.work.tile::<W, 1, 16>(run, lane),
            2 => self.work.tile::<W, 1, 32>(run, lane),
            3 => self.work.tile::<W, 1, 48>(run, lane),
            4 => self.work.tile::<W, 1, 64>(run, lane),
            5 => self.work.tile::<W, 1, 80>(run, lane),
            6 => self.work.tile::<W, 1, 96>(run, lane),
            7 => self.work.tile::<W, 1, 112>(run, lane),
            8 => self.work.tile::<W, 1, 128>(run, lane),
            9 => self.work.tile::<W, 1, 144>(run, lane),
            10 => self.work.tile::<W, 1, 160>(run, lane),
            11 => self.work.tile::<W, 1, 176>(run, lane),
            12 => self.work.tile::<W, 1, 192>(run, lane),
            _ => self.work.tile::<W, 1, 208>(run, lane),
        }
    }

    #[inline(always)]
    fn narrow<const W: usize>(&mut self, run: usize, lane: usize, registers: usize) {
        match registers {
            1 => self.work.tile::<W, 1, 8>(run, lane),
            2 => self.work.tile::<W, 1, 16>(run, lane),
            3 => self.work.tile::<W, 1, 24>(run, lane),
            4 => self.work.tile::<W, 1, 32>(run, lane),
            5 => self.work.tile::<W, 1, 40>(run, lane),
            6 => self.work.tile::<W, 1, 48>(run, lane),
            7 => self.work.tile::<W, 1, 56>(run, lane),
            8 => self.work.tile::<W, 1, 64>(run, lane),
            9 => self.work.tile::<W, 1, 72>(run, lane),
            10 => self.work.tile::<W, 1, 80>(run, lane),
            11 => self.work.tile::<W, 1, 88>(run, lane),
            12 => self.work.tile::<W, 1, 96>(run, lane),
            _ => self.work.tile::<W, 1, 104>(run, lane),
        }
    }
}
