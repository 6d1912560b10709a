use super::super::testing::{ROUNDING, assert_close, numbers, rounded, same_for_any_threads, tolerance};
use super::*;
use crate::random::from_bf16;

const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-3, moments: Moments::Fp32 };
const RMS_PROP: Optimizer = Optimizer::RmsProp { decay: 0.9, epsilon: 1e-3, moments: Moments::Fp32 };

/// N, I, O; the last three have several blocks.
const SHAPES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (3, 17, 33),
    (5, 65, 3),
    (16, 33, 17),
    (2, 8, 65),
    (5, 24, 5),
    (5, 512, 1030),
    (1, 65, 3000),
    (7, 1003, 259),
];

/// Everything that a rank update writes; `m` is empty for RMSProp.
#[derive(Clone, Debug, PartialEq)]
struct Values<T> {
    w: Vec<T>,
    m: Vec<T>,
    v: Vec<T>,
    dx: Vec<T>,
}

struct Case<T> {
    d: LinearDims,
    x: Vec<T>,
    dy: Vec<T>,
    scalars: [T; scalar::COUNT],
    before: Values<T>,
}

impl<T: Real> Case<T> {
    fn new((n, i, o): (usize, usize, usize)) -> Self {
        let [rows, inputs, outputs] = [n, i, o].map(|len| len as u32);
        let mut scalars = [T::ZERO; scalar::COUNT];
        scalars[scalar::LEARNING_RATE] = T::of(0.01);
        scalars[scalar::CORRECTION1] = T::of(0.271);
        scalars[scalar::CORRECTION2] = T::of(0.00299);
        let v = numbers::<T>(i * o, 5).into_iter().map(T::abs).collect();
        Self {
            d: LinearDims { samples: 1, rows, inputs, outputs, shared_input: 0, bias: 0 },
            x: numbers(n * i, 1),
            dy: numbers(n * o, 2),
            scalars,
            before: Values { w: numbers(i * o, 3), m: numbers(i * o, 4), v, dx: numbers(n * i, 6) },
        }
    }

    fn run(&self, optimizer: Optimizer, dx: bool, add: bool) -> Values<T> {
        let mut s = self.before.clone();
        self.run_as(optimizer, add, (&mut s.w, dx.then_some(&mut s.dx)), (&mut s.m, &mut s.v), &Plain);
        s
    }

    fn run_as<F: Format<T>>(
        &self,
        optimizer: Optimizer,
        add: bool,
        (w, dx): (&mut [T], Option<&mut Vec<T>>),
        (m, v): (&mut [F::Element], &mut [F::Element]),
        format: &F,
    ) {
        let mut partial = vec![T::of(f64::NAN); self.d.rank_update_scratch()];
        let gradient = dx.map(|dx| Gradient { dx, add, partial: &mut partial });
        let data = Data { d: self.d, x: &self.x, dy: &self.dy };
        data.apply(optimizer, &self.scalars, State { w, m, v, format }, gradient);
    }

    /// The update as it is written in the literature, in f64, with a stored gradient.
    fn expected(&self, optimizer: Optimizer, want_dx: bool, add: bool) -> Values<f64> {
        let double = |x: &[T]| -> Vec<f64> { x.iter().map(|x| x.f64()).collect() };
        let b = &self.before;
        let mut s = Values { w: double(&b.w), m: double(&b.m), v: double(&b.v), dx: double(&b.dx) };
        if want_dx && !add {
            s.dx.fill(0.0);
        }
        let [n, i, o] = [self.d.rows, self.d.inputs, self.d.outputs].map(|len| len as usize);
        let [rate, c1, c2] =
            [scalar::LEARNING_RATE, scalar::CORRECTION1, scalar::CORRECTION2].map(|k| self.scalars[k].f64());
        for at in 0..o * i {
            let (row, column) = (at / i, at % i);
            let g: f64 = (0..n).map(|n| self.dy[n * o + row].f64() * self.x[n * i + column].f64()).sum();
            if want_dx {
                for n in 0..n {
                    s.dx[n * i + column] += self.dy[n * o + row].f64() * self.before.w[at].f64();
                }
            }
            match optimizer {
                Optimizer::Adam { beta1, beta2, epsilon, .. } => {
                    let [beta1, beta2, epsilon] = [beta1, beta2, epsilon].map(f64::from);
                    s.m[at] = beta1 * s.m[at] + (1.0 - beta1) * g;
                    s.v[at] = beta2 * s.v[at] + (1.0 - beta2) * g.powi(2);
                    s.w[at] -= rate * (s.m[at] / c1) / ((s.v[at] / c2).sqrt() + epsilon);
                }
                Optimizer::RmsProp { decay, epsilon, .. } => {
                    s.v[at] = f64::from(decay) * s.v[at] + (1.0 - f64::from(decay)) * g.powi(2);
                    s.w[at] -= rate * g / (s.v[at] + f64::from(epsilon)).sqrt();
                }
            }
        }
        s
    }
}

fn check<T: Real>() {
    for shape in SHAPES {
        let case = Case::<T>::new(shape);
        for (optimizer, dx, add) in [
            (ADAM, true, false),
            (ADAM, true, true),
            (ADAM, false, false),
            (RMS_PROP, true, false),
            (RMS_PROP, true, true),
            (RMS_PROP, false, false),
        ] {
            let got = same_for_any_threads(|| case.run(optimizer, dx, add));
            let expected = case.expected(optimizer, dx, add);
            let what = format!("{shape:?} {optimizer:?} dx {dx} add {add}");
            assert_close(&format!("{what}: w"), &got.w, &expected.w, tolerance::<T>());
            assert_close(&format!("{what}: m"), &got.m, &expected.m, tolerance::<T>());
            assert_close(&format!("{what}: v"), &got.v, &expected.v, tolerance::<T>());
            assert_close(&format!("{what}: dx"), &got.dx, &expected.dx, tolerance::<T>());
        }
    }
}

#[test]
fn rank_update_is_the_optimiser_step_on_the_stored_gradient() {
    check::<f32>();
    check::<f64>();
}

/// Weights, input gradient and both moments after a step on moments that bf16 holds: the step's own, then rounded.
fn check_bf16<T: Real>() {
    for (shape, first) in SHAPES.into_iter().zip([0, 1, 2, 3, 16, 17, 4, 5, 6]) {
        let mut case = Case::<T>::new(shape);
        let (m, v) = (rounded(&case.before.m, 0, 0), rounded(&case.before.v, 0, 0));
        let values = |bits: &[u16]| bits.iter().map(|&bits| T::of(from_bf16(bits).into())).collect();
        (case.before.m, case.before.v) = (values(&m), values(&v));
        for optimizer in [ADAM, RMS_PROP] {
            let expected = case.run(optimizer, true, false);
            let (w, dx, found_m, found_v) = same_for_any_threads(|| {
                let (mut w, mut dx) = (case.before.w.clone(), case.before.dx.clone());
                let (mut m, mut v) = (m.clone(), v.clone());
                let format = Bf16::new(ROUNDING, first);
                case.run_as(optimizer, false, (&mut w, Some(&mut dx)), (&mut m, &mut v), &format);
                (w, dx, m, v)
            });
            let what = format!("{shape:?} {optimizer:?}");
            assert!(w == expected.w && dx == expected.dx, "{what}: weights are updated with moments before rounding");
            assert!(found_v == rounded(&expected.v, first, 16), "{what}: v");
            let expected_m = if optimizer == ADAM { rounded(&expected.m, first, 0) } else { m.clone() };
            assert!(found_m == expected_m, "{what}: m");
        }
    }
}

#[test]
fn bf16_moments_are_those_of_the_same_step_rounded() {
    check_bf16::<f32>();
    check_bf16::<f64>();
}
