//! One matrix product on the calling thread: both operands packed into panels, a register tile of sums over each pair.
//!
//! The loops follow Goto & van de Geijn (2008): a panel of b stays in the first-level cache while panels of a, which stay in
//! the second, pass it. Panels stand in memory that the thread keeps, so that a step allocates nothing.

use super::Real;
use super::lanes::multiply_add;
use super::matmul::{Matrix, Tile};
use super::memory::{Line, with_lines};
use crate::vectors::{BROAD, Vectorised, vectorised};
use std::cell::RefCell;

/// Rows and columns of the largest register tile, multiples of those of every other: of 16 registers of 8 f32 6 x 2 hold sums
/// and 3 the operands, of 32 registers of 16 f32 12 x 2 and 3.
const MOST_ROWS: usize = 12;
const MOST_COLUMNS: usize = 32;
/// Depth of a panel: 16 KiB of b and 6 KiB of a in f32 share the first-level cache; twice as much of the largest tile, for
/// which 32 KiB are too few and 48 enough.
const DEPTH: usize = 256;
/// Rows of a that are packed at once, a multiple of [`MOST_ROWS`]: 96 KiB of f32.
const BLOCK_ROWS: usize = 96;
/// Columns that are copied side by side.
const COPIED: usize = 8;

thread_local! {
    static PANELS: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `len` elements that this thread keeps for panels.
fn with_panels<T: Real>(len: usize, work: impl FnOnce(&mut [T])) {
    PANELS.with(|lines| with_lines(lines, len, work));
}

/// c = or += a [rows, k] b [k, columns]
pub fn gemm<T: Real>(c: &mut Tile<T>, k: usize, add: bool, a: Matrix<T>, b: Matrix<T>) {
    let depth = DEPTH.min(k);
    let b_len = c.columns.next_multiple_of(MOST_COLUMNS) * depth;
    let a_len = BLOCK_ROWS.min(c.rows.next_multiple_of(MOST_ROWS)) * depth;
    with_panels(b_len + a_len, |panels| {
        let (b_panels, a_panels) = panels.split_at_mut(b_len);
        vectorised(Product { c, k, add, a, b, a_panels, b_panels });
    });
}

struct Product<'a, 'b, T> {
    c: &'a mut Tile<'b, T>,
    k: usize,
    add: bool,
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
    a_panels: &'a mut [T],
    b_panels: &'a mut [T],
}

impl<T: Real> Vectorised for Product<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const W: usize>(self) {
        if W == BROAD { self.in_tiles::<W, 12, 32>() } else { self.in_tiles::<W, 6, 16>() }
    }
}

impl<T: Real> Product<'_, '_, T> {
    /// The product in register tiles of R rows and C columns.
    #[inline(always)]
    fn in_tiles<const W: usize, const R: usize, const C: usize>(self) {
        let (rows, columns) = (self.c.rows, self.c.columns);
        for first in (0..self.k).step_by(DEPTH) {
            let depth = DEPTH.min(self.k - first);
            let add = self.add || first > 0;
            let b_panels = &mut self.b_panels[..columns.next_multiple_of(C) * depth];
            pack::<T, C>(b_panels, self.b.from(first, 0).turned(), columns, depth);
            for row in (0..rows).step_by(BLOCK_ROWS) {
                let count = BLOCK_ROWS.min(rows - row);
                let a_panels = &mut self.a_panels[..count.next_multiple_of(R) * depth];
                pack::<T, R>(a_panels, self.a.from(row, first), count, depth);
                for (j, b) in b_panels.chunks_exact(C * depth).enumerate() {
                    for (i, a) in a_panels.chunks_exact(R * depth).enumerate() {
                        let sums = products::<T, W, R, C>(a, b);
                        store(self.c, add, row + i * R, j * C, &sums);
                    }
                }
            }
        }
    }
}

/// Packs x [count, depth] into panels of P rows, each [depth, P], the last filled up with zeros.
#[inline(always)]
fn pack<T: Real, const P: usize>(panels: &mut [T], x: Matrix<T>, count: usize, depth: usize) {
    let whole = count / P;
    let (panels, last) = panels.split_at_mut(whole * P * depth);
    if x.row_stride == 1 {
        pack_columns::<T, P>(panels, x, whole, depth);
    } else {
        for (i, panel) in panels.chunks_exact_mut(P * depth).enumerate() {
            pack_rows(panel.as_chunks_mut::<P>().0, x.from(i * P, 0));
        }
    }
    if !last.is_empty() {
        pack_last::<T, P>(last, x.from(whole * P, 0), count - whole * P);
    }
}

/// Copies columns that each stand together in memory into `count` panels, a few columns at a time so that reads run on.
#[inline(always)]
fn pack_columns<T: Real, const P: usize>(panels: &mut [T], x: Matrix<T>, count: usize, depth: usize) {
    for first in (0..depth).step_by(COPIED) {
        let end = depth.min(first + COPIED);
        for i in 0..count {
            let panel = panels[i * P * depth..][first * P..end * P].as_chunks_mut::<P>().0;
            for (k, lanes) in panel.iter_mut().enumerate() {
                lanes.copy_from_slice(&x.data[(first + k) * x.column_stride + i * P..][..P]);
            }
        }
    }
}

/// Packs fewer than P rows into one panel.
#[inline(always)]
fn pack_last<T: Real, const P: usize>(panel: &mut [T], x: Matrix<T>, count: usize) {
    for (k, lanes) in panel.as_chunks_mut::<P>().0.iter_mut().enumerate() {
        *lanes = [T::ZERO; P];
        for (i, lane) in lanes[..count].iter_mut().enumerate() {
            *lane = x.data[i * x.row_stride + k * x.column_stride];
        }
    }
}

/// Turns P rows into a panel [depth, P].
#[inline(always)]
fn pack_rows<T: Real, const P: usize>(panel: &mut [[T; P]], x: Matrix<T>) {
    if x.column_stride != 1 {
        return pack_last::<T, P>(panel.as_flattened_mut(), x, P);
    }
    let depth = panel.len();
    let rows: [&[T]; P] = std::array::from_fn(|i| &x.data[i * x.row_stride..][..depth]);
    for (k, lanes) in panel.iter_mut().enumerate() {
        for i in 0..P {
            lanes[i] = rows[i][k];
        }
    }
}

/// sums[i][j] = sum_k a[k][i] b[k][j]
#[inline(always)]
fn products<T: Real, const W: usize, const R: usize, const C: usize>(a: &[T], b: &[T]) -> [[T; C]; R] {
    let mut sums = [[T::ZERO; C]; R];
    for (a, b) in a.as_chunks::<R>().0.iter().zip(b.as_chunks::<C>().0) {
        for i in 0..R {
            for j in 0..C {
                sums[i][j] = multiply_add::<T, W>(a[i], b[j], sums[i][j]);
            }
        }
    }
    sums
}

/// Stores the part of a register tile that lies inside c.
#[inline(always)]
fn store<T: Real, const R: usize, const C: usize>(
    c: &mut Tile<T>,
    add: bool,
    row: usize,
    column: usize,
    sums: &[[T; C]; R],
) {
    let width = C.min(c.columns - column);
    for (i, sums) in sums.iter().enumerate().take(c.rows - row) {
        let c = &mut c.row(row + i)[column..column + width];
        match (c.as_chunks_mut::<C>().0, add) {
            ([c], true) => (0..C).for_each(|j| c[j] += sums[j]),
            ([c], false) => *c = *sums,
            (_, true) => c.iter_mut().zip(sums).for_each(|(c, sum)| *c += *sum),
            (_, false) => c.copy_from_slice(&sums[..width]),
        }
    }
}
