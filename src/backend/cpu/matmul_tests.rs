use super::super::testing::{assert_close, numbers, tolerance};
use super::*;

/// Element (i, j) at i * row_stride + j * column_stride for all layouts that a caller may have.
fn layouts(rows: usize, columns: usize) -> [(usize, usize); 4] {
    [(columns, 1), (1, rows), (columns + 5, 1), (2 * columns, 2)]
}

fn element<T: Real>(x: Matrix<T>, i: usize, j: usize) -> f64 {
    x.data[i * x.row_stride + j * x.column_stride].f64()
}

fn check<T: Real>() {
    for (m, n, k) in [(1, 1, 1), (6, 16, 8), (7, 17, 33), (65, 3, 300), (33, 65, 513), (200, 40, 17)] {
        for (layout, (a_strides, b_strides)) in layouts(m, k).into_iter().zip(layouts(k, n)).enumerate() {
            for add in [false, true] {
                let a_data = numbers::<T>(3 * m * k + 5 * m, 1);
                let b_data = numbers::<T>(3 * k * n + 5 * k, 2);
                let a = Matrix { data: &a_data, row_stride: a_strides.0, column_stride: a_strides.1 };
                let b = Matrix { data: &b_data, row_stride: b_strides.0, column_stride: b_strides.1 };
                let mut c = numbers::<T>(m * (n + 2), 3);
                let mut expected: Vec<f64> = c.iter().map(|c| c.f64()).collect();
                for i in 0..m {
                    for j in 0..n {
                        let sum: f64 = (0..k).map(|l| element(a, i, l) * element(b, l, j)).sum();
                        let former = if add { expected[i * (n + 2) + j] } else { 0.0 };
                        expected[i * (n + 2) + j] = former + sum;
                    }
                }
                gemm((m, n, k), &mut c, n + 2, add, a, b);
                assert_close(&format!("{m} x {n} x {k}, layout {layout}, add {add}"), &c, &expected, tolerance::<T>());
            }
        }
    }
}

#[test]
fn gemm_agrees_with_sums_of_products_for_all_layouts() {
    check::<f32>();
    check::<f64>();
}

#[test]
#[should_panic(expected = "writes outside its result")]
fn gemm_refuses_a_result_that_is_too_short() {
    let x = [1.0f32; 4];
    gemm((2, 2, 2), &mut [0.0; 3], 2, false, Matrix::rows(&x, 2), Matrix::rows(&x, 2));
}
