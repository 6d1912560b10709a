use super::super::testing::{assert_close, numbers, same_for_any_threads, tolerance};
use super::*;

/// S, N, I, O
type Shape = (usize, usize, usize, usize);

const SHAPES: [Shape; 14] = [
    (1, 1, 1, 1),
    (1, 3, 17, 33),
    (2, 5, 9, 64),
    (5, 1, 65, 3),
    (1, 4, 8, 1),
    (3, 16, 33, 17),
    (2, 7, 64, 2101),
    (1, 17, 3, 1),
    (2, 33, 65, 17),
    (5, 20, 16, 5),
    (1, 100, 130, 75),
    (1, 401, 64, 530),
    (3, 65, 100, 33),
    (1, 30, 17, 1100),
];

fn sizes((samples, rows, inputs, outputs): Shape, shared_input: bool) -> Sizes {
    Sizes { samples, rows, inputs, outputs, shared_input }
}

fn f64s<T: Real>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.f64()).collect()
}

/// S blocks of `len` elements with gaps of 3 between them.
fn gapped(samples: usize, len: usize) -> usize {
    samples * (len + 3)
}

fn strided<T: Real>(data: &[T], d: Sizes, len: usize) -> Strided<'_, T> {
    Strided::from_slice(data, d.samples, len, len + 3)
}

struct Case<T> {
    d: Sizes,
    x: Vec<T>,
    w: Vec<T>,
    b: Vec<T>,
    dy: Vec<T>,
}

impl<T: Real> Case<T> {
    fn new(d: Sizes) -> Self {
        let x_samples = if d.shared_input { 1 } else { d.samples };
        Self {
            d,
            x: numbers(x_samples * d.rows * d.inputs, 1),
            w: numbers(gapped(d.samples, d.outputs * d.inputs), 2),
            b: numbers(gapped(d.samples, d.outputs), 3),
            dy: numbers(d.samples * d.rows * d.outputs, 4),
        }
    }

    /// Calls `visit(index in x, index in w, index in y, index in b)` for every product.
    fn products(&self, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let d = self.d;
        for s in 0..d.samples {
            let x_sample = if d.shared_input { 0 } else { s };
            for n in 0..d.rows {
                for o in 0..d.outputs {
                    for i in 0..d.inputs {
                        let w = s * (d.outputs * d.inputs + 3) + o * d.inputs + i;
                        let y = (s * d.rows + n) * d.outputs + o;
                        visit((x_sample * d.rows + n) * d.inputs + i, w, y, s * (d.outputs + 3) + o);
                    }
                }
            }
        }
    }

    fn forward(&self, form: Form, bias: bool, function: Unary) -> Vec<T> {
        let d = self.d;
        let bias = bias.then(|| strided(&self.b, d, d.outputs));
        let mut y = vec![T::of(f64::NAN); self.dy.len()];
        let w = strided(&self.w, d, d.outputs * d.inputs);
        match form {
            Form::Skinny => skinny::forward(d, function, &self.x, w, bias, &mut y),
            Form::Tiled => forward_slices(d, function, &self.x, w, bias, &mut y),
        }
        y
    }

    fn expected_forward(&self, bias: bool, function: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut y = vec![0.0; self.dy.len()];
        self.products(|x, w, out, b| {
            let first = y[out] == 0.0 && bias;
            y[out] += self.x[x].f64() * self.w[w].f64() + if first { self.b[b].f64() } else { 0.0 };
        });
        y.into_iter().map(function).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Skinny,
    Tiled,
}

fn all_cases<T: Real>(check: impl Fn(&str, Case<T>)) {
    for shape in SHAPES {
        for shared in [false, true] {
            check(&format!("{shape:?}, shared input {shared}"), Case::new(sizes(shape, shared)));
        }
    }
}

fn check_forward<T: Real>() {
    all_cases::<T>(|what, case| {
        let leaky = |y: f64| if y > 0.0 { y } else { f64::from(0.2f32) * y };
        for form in [Form::Skinny, Form::Tiled] {
            let y = same_for_any_threads(|| case.forward(form, true, Unary::LeakyRelu(0.2)));
            assert_close(&format!("{what} {form:?}"), &y, &case.expected_forward(true, leaky), tolerance::<T>());
            let y = case.forward(form, false, Unary::Identity);
            assert_close(
                &format!("{what} {form:?}, no bias"),
                &y,
                &case.expected_forward(false, |y| y),
                tolerance::<T>(),
            );
        }
    });
}

#[test]
fn forward_agrees_with_sums_of_products() {
    check_forward::<f32>();
    check_forward::<f64>();
}

#[test]
fn forward_applies_each_function() {
    let case = Case::<f64>::new(sizes((2, 3, 17, 5), false));
    type Reference = fn(f64) -> f64;
    let cases: [(Unary, Reference); 6] = [
        (Unary::Relu, |y| y.max(0.0)),
        (Unary::Tanh, f64::tanh),
        (Unary::Sigmoid, |y| 1.0 / (1.0 + (-y).exp())),
        (Unary::Exp, f64::exp),
        (Unary::Affine(2.0, -1.0), |y| 2.0 * y - 1.0),
        (Unary::Square, |y| y * y),
    ];
    for (function, reference) in cases {
        for form in [Form::Skinny, Form::Tiled] {
            let y = case.forward(form, true, function);
            assert_close(&format!("{function:?} {form:?}"), &y, &case.expected_forward(true, reference), 1e-12);
        }
    }
}

fn check_grad_input<T: Real>() {
    all_cases::<T>(|what, case| {
        let d = case.d;
        for add in [false, true] {
            let former = numbers::<T>(case.x.len(), 5);
            let mut expected = if add { f64s(&former) } else { vec![0.0; former.len()] };
            case.products(|x, w, y, _| expected[x] += case.dy[y].f64() * case.w[w].f64());
            let dx = same_for_any_threads(|| {
                let mut dx = former.clone();
                grad_input_slices(d, &case.dy, strided(&case.w, d, d.outputs * d.inputs), &mut dx, add);
                dx
            });
            assert_close(&format!("{what}, add {add}"), &dx, &expected, tolerance::<T>());
        }
    });
}

#[test]
fn grad_input_agrees_with_sums_of_products() {
    check_grad_input::<f32>();
    check_grad_input::<f64>();
}

fn check_grad_weight<T: Real>() {
    all_cases::<T>(|what, case| {
        let (d, len) = (case.d, case.d.outputs * case.d.inputs);
        for add in [false, true] {
            let former = numbers::<T>(case.w.len(), 6);
            // The gaps between samples keep what stood there.
            let mut expected = f64s(&former);
            if !add {
                expected.chunks_mut(len + 3).for_each(|block| block[..len].fill(0.0));
            }
            case.products(|x, w, y, _| expected[w] += case.dy[y].f64() * case.x[x].f64());
            let dw = same_for_any_threads(|| {
                let mut dw = former.clone();
                let blocks = StridedMut::from_slice(&mut dw, d.samples, len, len + 3);
                grad_weight_slices(d, &case.x, &case.dy, blocks, add);
                dw
            });
            assert_close(&format!("{what}, add {add}"), &dw, &expected, tolerance::<T>());
        }
    });
}

#[test]
fn grad_weight_agrees_with_sums_of_products() {
    check_grad_weight::<f32>();
    check_grad_weight::<f64>();
}
