//! Matrix products on slices: one product on the calling thread, or many in parallel tiles.

use super::{Real, StridedMut, gemm};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Multiply-adds below which work stays on the calling thread: about 10 us, the cost of waking others.
pub const SMALL: usize = 1 << 19;
/// Multiply-adds below which a tile is not split further.
const SMALL_TILE: usize = 1 << 20;
/// Tiles that a product is split into while they are not small, so that threads of unequal speed end together.
const TILES: usize = 8;
/// Largest tile: its share of both operands fits the second-level cache at the usual depths.
const TILE_ROWS: usize = 384;
const TILE_COLUMNS: usize = 512;

/// A matrix in a slice: element (i, j) at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    pub data: &'a [T],
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Row-major with `columns` elements a row.
    pub fn rows(data: &'a [T], columns: usize) -> Self {
        Self { data, row_stride: columns, column_stride: 1 }
    }

    /// The transpose of a row-major matrix with `columns` elements a row.
    pub fn transposed(data: &'a [T], columns: usize) -> Self {
        Self { data, row_stride: 1, column_stride: columns }
    }

    /// The transpose.
    pub fn turned(self) -> Self {
        Self { data: self.data, row_stride: self.column_stride, column_stride: self.row_stride }
    }

    /// Without the first rows and columns.
    pub fn from(self, row: usize, column: usize) -> Self {
        Self { data: &self.data[row * self.row_stride + column * self.column_stride..], ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.data.len()
    }
}

/// c [m, n] (row-major, rows `c_stride` apart) = or += a [m, k] b [k, n], on the calling thread.
pub fn gemm<T: Real>(
    (m, n, k): (usize, usize, usize),
    c: &mut [T],
    c_stride: usize,
    add: bool,
    a: Matrix<T>,
    b: Matrix<T>,
) {
    assert!(m == 0 || n == 0 || (m - 1) * c_stride + n <= c.len(), "matrix product writes outside its result");
    assert!(a.holds(m, k) && b.holds(k, n), "matrix product reads outside an operand");
    let mut c = Tile { pointer: c.as_mut_ptr(), stride: c_stride, rows: m, columns: n, life: PhantomData };
    gemm::gemm(&mut c, k, add, a, b);
}

/// Asks memory for the cache line of element `at` of x, if there is one.
#[inline(always)]
pub fn prefetch<T>(x: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = x.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch accesses nothing; the address is that of a live element.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (x, at);
}

/// A rectangle of a row-major matrix that one thread writes.
pub struct Tile<'a, T> {
    pointer: *mut T,
    stride: usize,
    pub rows: usize,
    pub columns: usize,
    life: PhantomData<&'a mut [T]>,
}

impl<T: Real> Tile<'_, T> {
    /// Row `i` of the tile.
    pub fn row(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.rows);
        // SAFETY: the tile's rows are valid and its own (`gemm`, `par_tiles`); the borrow of self keeps one row at a time.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(i * self.stride), self.columns) }
    }
}

/// How `blocks` row-major matrices [rows, columns] are cut into tiles.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    pub blocks: usize,
    pub rows: usize,
    pub columns: usize,
    pub tile_rows: usize,
    pub tile_columns: usize,
}

/// Runs `work(block, first row, first column, tile)` on every tile of the blocks of `c`, on the threads of the pool or, when
/// `parallel` is false, on this one.
pub fn par_tiles<T: Real>(
    t: Tiling,
    parallel: bool,
    c: StridedMut<T>,
    work: impl Fn(usize, usize, usize, Tile<T>) + Sync,
) {
    assert!(c.count == t.blocks && c.len == t.rows * t.columns, "tiles of a matrix of another size");
    let (down, across) = (t.rows.div_ceil(t.tile_rows), t.columns.div_ceil(t.tile_columns));
    let run = |index: usize| {
        let (block, place) = (index / (down * across), index % (down * across));
        let (row, column) = (place / across * t.tile_rows, place % across * t.tile_columns);
        // SAFETY: row and column lie inside block `block`, which lies inside the view.
        let pointer = unsafe { c.as_ptr().add(block * c.stride + row * t.columns + column) };
        let (rows, columns) = (t.tile_rows.min(t.rows - row), t.tile_columns.min(t.columns - column));
        // Tiles are disjoint, each index is run once, and `c`, which is consumed, is the only view of the elements.
        work(block, row, column, Tile { pointer, stride: t.columns, rows, columns, life: PhantomData });
    };
    let count = t.blocks * down * across;
    if parallel { (0..count).into_par_iter().for_each(run) } else { (0..count).for_each(run) }
}

/// `blocks` products C_b [m, n] = or += sum over `terms` t of A_bt [m, k] B_bt [k, n].
#[derive(Clone, Copy, Debug)]
pub struct Products {
    pub blocks: usize,
    pub terms: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub add: bool,
}

impl Products {
    fn multiply_adds(&self) -> usize {
        self.blocks * self.terms * self.m * self.n * self.k
    }

    /// Halves the longer side of a tile until there are enough tiles or they are small. Sides are multiples of 96, which
    /// both sides of every register tile (6 x 16, 12 x 32) divide.
    fn tiling(&self) -> Tiling {
        let even = |len: usize, tile: usize| len.div_ceil(len.div_ceil(tile)).next_multiple_of(96);
        let (mut rows, mut columns) = (even(self.m, TILE_ROWS), even(self.n, TILE_COLUMNS));
        while self.blocks * self.m.div_ceil(rows) * self.n.div_ceil(columns) < TILES
            && rows * columns * self.k * self.terms > 2 * SMALL_TILE
            && rows.max(columns) > 96
        {
            let longer = if rows > columns { &mut rows } else { &mut columns };
            *longer = (*longer / 2).next_multiple_of(96);
        }
        Tiling { blocks: self.blocks, rows: self.m, columns: self.n, tile_rows: rows, tile_columns: columns }
    }
}

/// All products in parallel tiles, the same bits for any number of threads. `a(block, term)` and `b(block, term)` give the
/// operands; `finish(block, first column, row segment)` is applied to each stored piece of a row.
pub fn par_gemm<'a, T: Real>(
    p: Products,
    c: StridedMut<T>,
    a: impl Fn(usize, usize) -> Matrix<'a, T> + Sync,
    b: impl Fn(usize, usize) -> Matrix<'a, T> + Sync,
    finish: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    par_tiles(p.tiling(), p.multiply_adds() > SMALL, c, |block, row, column, mut tile| {
        for term in 0..p.terms {
            let (a, b) = (a(block, term).from(row, 0), b(block, term).from(0, column));
            gemm::gemm(&mut tile, p.k, p.add || term > 0, a, b);
        }
        for i in 0..tile.rows {
            finish(block, column, tile.row(i));
        }
    });
}

#[cfg(test)]
#[path = "matmul_tests.rs"]
mod tests;
