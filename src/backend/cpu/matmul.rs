//! Matrix products on slices, over the `gemm` crate.

use super::Real;

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
    assert!(a.holds(m, k) && b.holds(k, n), "matrix product reads outside an operand");
    assert!(m == 0 || n == 0 || (m - 1) * c_stride + n <= c.len(), "matrix product writes outside its result");
    // SAFETY: all elements that the strides reach lie inside the slices, as just checked; c is exclusive.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_stride as isize,
            add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
