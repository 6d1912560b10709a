//! Linear map of few rows: w [O, I] is read once, in order, for all rows at once. Bound by memory when w is large.

use super::lanes::{LANES, add_product, padded, total};
use super::linear::{Sizes, finish};
use super::matmul::{SMALL, Tile, Tiling, par_tiles, prefetch};
use super::{Real, Strided, StridedMut};
use crate::call::Unary;
use crate::vectors::{Vectorised, vectorised};

/// Rows of x up to which this form is taken.
pub const MOST_ROWS: usize = 16;
/// Rows of x whose sums stay in registers at once: 5 x 2 sums, 2 weights and 1 input of 16 registers.
const ROWS: usize = 5;
/// Rows of w at once.
const OUTPUTS: usize = 2;
/// Elements of w between one that is asked for and the one that is computed: 8 KiB of f32, about 0.5 us of work.
const AHEAD: usize = 2048;
/// Columns of y that one tile holds at most: 4 KiB of f32, one page, so that threads seldom write to the same one.
const TILE_COLUMNS: usize = 1024;
/// Multiply-adds below which a tile is not made narrower.
const SMALL_TILE: usize = 1 << 19;

/// x [S or 1, N, I], w [S]-strided [O, I], bias [S]-strided [O] -> y [S, N, O]
pub fn forward<T: Real>(d: Sizes, function: Unary, x: &[T], w: Strided<T>, bias: Option<Strided<T>>, y: &mut [T]) {
    let len = d.rows * d.outputs;
    let columns = (SMALL_TILE / (d.rows * d.inputs)).clamp(16, TILE_COLUMNS).next_multiple_of(16);
    let tiling =
        Tiling { blocks: d.samples, rows: d.rows, columns: d.outputs, tile_rows: d.rows, tile_columns: columns };
    let parallel = d.samples * len * d.inputs > SMALL;
    par_tiles(tiling, parallel, StridedMut::from_slice(y, d.samples, len, len), |s, _, first, mut tile| {
        let w = &w.block(s)[first * d.inputs..];
        vectorised(Dots { x: d.input_of(x, s), w, inputs: d.inputs, tile: &mut tile });
        let bias = bias.map(|b| &b.block(s)[first..]);
        for n in 0..tile.rows {
            finish(tile.row(n), bias, function);
        }
    });
}

/// tile[n, o] = sum_i x[n, i] w[o, i]; w may go on after the rows of the tile
struct Dots<'a, 'b, T> {
    x: &'a [T],
    w: &'a [T],
    inputs: usize,
    tile: &'a mut Tile<'b, T>,
}

impl<T: Real> Vectorised for Dots<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const W: usize>(mut self) {
        let pairs = self.tile.columns / OUTPUTS * OUTPUTS;
        for o in (0..pairs).step_by(OUTPUTS) {
            self.all_rows::<W, OUTPUTS>(o);
        }
        for o in pairs..self.tile.columns {
            self.all_rows::<W, 1>(o);
        }
    }
}

impl<T: Real> Dots<'_, '_, T> {
    /// Columns o .. o + C of the tile.
    #[inline(always)]
    fn all_rows<const W: usize, const C: usize>(&mut self, o: usize) {
        for n in (0..self.tile.rows).step_by(ROWS) {
            match self.tile.rows - n {
                1 => self.few_rows::<W, C, 1>(n, o),
                2 => self.few_rows::<W, C, 2>(n, o),
                3 => self.few_rows::<W, C, 3>(n, o),
                4 => self.few_rows::<W, C, 4>(n, o),
                _ => self.few_rows::<W, C, ROWS>(n, o),
            }
        }
    }

    /// Rows n .. n + R of columns o .. o + C.
    #[inline(always)]
    fn few_rows<const W: usize, const C: usize, const R: usize>(&mut self, n: usize, o: usize) {
        let len = self.inputs;
        let x: [&[T]; R] = std::array::from_fn(|r| &self.x[(n + r) * len..][..len]);
        let w: [&[T]; C] = std::array::from_fn(|c| &self.w[(o + c) * len..][..len]);
        // The first rows of x ask for what comes later in w; to the others w is in the cache.
        let later = if n == 0 { self.w.get(o * len + AHEAD..).unwrap_or_default() } else { &[] };
        let sums = dots::<T, W, R, C>(len, x, w, later);
        for (r, sums) in sums.iter().enumerate() {
            self.tile.row(n + r)[o..o + C].copy_from_slice(sums);
        }
    }
}

/// sums[r][c] = x[r] . w[c], all of `len` elements; meanwhile memory is asked for `later`.
#[inline(always)]
fn dots<T: Real, const W: usize, const R: usize, const C: usize>(
    len: usize,
    x: [&[T]; R],
    w: [&[T]; C],
    later: &[T],
) -> [[T; C]; R] {
    let whole = len / LANES;
    let xs: [_; R] = std::array::from_fn(|r| &x[r].as_chunks::<LANES>().0[..whole]);
    let ws: [_; C] = std::array::from_fn(|c| &w[c].as_chunks::<LANES>().0[..whole]);
    let mut sums = [[[T::ZERO; LANES]; C]; R];
    for i in 0..whole {
        prefetch(later, i * C * LANES);
        for r in 0..R {
            for c in 0..C {
                add_product::<T, W>(&mut sums[r][c], &xs[r][i], &ws[c][i]);
            }
        }
    }
    if whole * LANES < len {
        for r in 0..R {
            for c in 0..C {
                let (x, w) = (padded(&x[r][whole * LANES..]), padded(&w[c][whole * LANES..]));
                add_product::<T, W>(&mut sums[r][c], &x, &w);
            }
        }
    }
    let mut totals = [[T::ZERO; C]; R];
    for (totals, sums) in totals.iter_mut().zip(&sums) {
        for (total_of, lanes) in totals.iter_mut().zip(sums) {
            *total_of = total(lanes);
        }
    }
    totals
}
