//! The fused convolution, pool and ReLU against a plain convolution that is pooled afterwards.

use super::super::conv2d::tests::{Case, dims};
use super::super::test_support::{close, in_pools, pattern};
use super::*;

fn shapes() -> Vec<Conv2dDims> {
    vec![
        dims([1, 1, 1, 1, 3, 2, 1, 0, 2, 3], 0, 0),
        dims([1, 17, 1, 20, 9, 5, 1, 0, 5, 6], 0, 1),
        dims([1, 3, 1, 20, 8, 4, 1, 0, 5, 6], 0, 1),
        dims([5, 3, 1, 20, 12, 5, 1, 0, 8, 9], 1, 1),
        dims([2, 33, 20, 50, 8, 5, 1, 0, 4, 5], 0, 1),
        dims([2, 5, 33, 17, 7, 3, 2, 1, 4, 4], 0, 1),
        dims([3, 4, 3, 65, 6, 3, 1, 1, 6, 7], 1, 0),
        dims([1, 65, 20, 9, 9, 5, 1, 2, 9, 10], 0, 1),
    ]
}

/// Inputs, and the expected results that follow from the convolution before the pool.
struct Pooled<T> {
    case: Case<T>,
    dy: Vec<T>,
    y: Vec<f64>,
    argmax: Vec<u8>,
    dx: Vec<f64>,
    dw: Vec<f64>,
    db: Vec<f64>,
}

/// Place and value of the maximum of one window after ReLU.
fn pool_window(window: [f64; 4]) -> (u8, f64) {
    let best = (0..4).fold(0, |best, i| if window[i] > window[best] { i } else { best });
    if window[best] > 0.0 { (best as u8, window[best]) } else { (CLOSED, 0.0) }
}

impl<T: Real> Pooled<T> {
    fn new(d: &Conv2dDims) -> Self {
        let mut case = Case::<T>::new(d);
        let conv = case.reference(d).y;
        let (height, width) = (d.out_height as usize, d.out_width as usize);
        let (rows, columns) = (height / 2, width / 2);
        let planes = conv.len() / (height * width);
        let dy: Vec<T> = pattern(planes * rows * columns, 9);
        let (mut y, mut argmax) = (Vec::new(), Vec::new());
        let mut db = vec![0.0; case.b.len()];
        case.dy.fill(T::ZERO);
        for (i, &slope) in dy.iter().enumerate() {
            let (plane, row, column) = (i / (rows * columns), i / columns % rows, i % columns);
            let at = |place: usize| (plane * height + 2 * row + place / 2) * width + 2 * column + place % 2;
            let (place, value) = pool_window([0, 1, 2, 3].map(|place| conv[at(place)]));
            y.push(value);
            argmax.push(place);
            if place != CLOSED {
                case.dy[at(place.into())] = slope;
                let outputs = d.outputs as usize;
                db[plane / (outputs * d.batch as usize) * outputs + plane % outputs] += slope.f64();
            }
        }
        let gradients = case.reference(d);
        Self { case, dy, y, argmax, dx: gradients.dx, dw: gradients.dw, db }
    }

    fn forward(&self, d: &Conv2dDims) -> (Vec<T>, Vec<u8>) {
        let (mut y, mut argmax) = (vec![T::of(f64::NAN); self.y.len()], vec![9; self.y.len()]);
        let bias = self.case.bias(d);
        let bias = (d.bias != 0).then_some(&bias);
        forward_slices(d, &self.case.x, &self.case.strided(&self.case.w), bias, &mut y, &mut argmax);
        (y, argmax)
    }

    fn grad_input(&self, d: &Conv2dDims, start: Option<T>) -> Vec<T> {
        let mut dx = vec![start.unwrap_or(T::of(f64::NAN)); self.dx.len()];
        let w = self.case.strided(&self.case.w);
        grad_input_slices(d, (&self.dy, &self.argmax), &w, &mut dx, start.is_some());
        dx
    }

    /// dw and db; `starts` are their former contents.
    fn grad_weight(&self, d: &Conv2dDims, starts: [Option<T>; 2]) -> [Vec<T>; 2] {
        let [start_dw, start_db] = starts.map(|start| start.unwrap_or(T::of(f64::NAN)));
        let (mut dw, mut db) = (vec![start_dw; self.case.w.len()], vec![start_db; self.db.len()]);
        let mut partials = vec![T::of(f64::NAN); d.grad_weight_partials()];
        let samples = d.samples as usize;
        let gradients = [
            (StridedMut::from_slice(&mut dw, samples, self.case.weights, self.case.stride), starts[0].is_some()),
            (StridedMut::from_slice(&mut db, samples, d.outputs as usize, d.outputs as usize), starts[1].is_some()),
        ];
        grad_weight_slices(d, &self.case.x, (&self.dy, &self.argmax), gradients, &mut partials);
        [dw.chunks(self.case.stride).flat_map(|block| block[..self.case.weights].to_vec()).collect(), db]
    }
}

fn check_against_pooled_convolution<T: Real>(tolerance: f64) {
    for d in &shapes() {
        let pooled = Pooled::<T>::new(d);
        let (y, argmax) = pooled.forward(d);
        close(&y, &pooled.y, 0.0, tolerance, "y");
        assert_eq!(argmax, pooled.argmax);
        assert!(argmax.contains(&CLOSED) || argmax.len() < 9, "the shape must show closed windows");
        for (start, other) in [(None, Some(T::of(0.25))), (Some(T::of(0.5)), None)] {
            let shift = |start: Option<T>| start.map_or(0.0, T::f64);
            close(&pooled.grad_input(d, start), &pooled.dx, shift(start), tolerance, "dx");
            let [dw, db] = pooled.grad_weight(d, [start, other]);
            close(&dw, &pooled.dw, shift(start), tolerance, "dw");
            close(&db, &pooled.db, shift(other), tolerance, "db");
        }
    }
}

#[test]
fn equals_pooled_convolution_in_f32() {
    check_against_pooled_convolution::<f32>(1e-5);
}

#[test]
fn equals_pooled_convolution_in_f64() {
    check_against_pooled_convolution::<f64>(1e-12);
}

#[test]
fn same_bits_for_any_number_of_threads() {
    for d in &shapes() {
        let pooled = Pooled::<f32>::new(d);
        in_pools(|| {
            let [dw, db] = pooled.grad_weight(d, [None, None]);
            [pooled.forward(d).0, pooled.grad_input(d, None), dw, db].concat()
        });
    }
}

#[test]
fn first_of_equals_wins_and_not_a_number_stays_visible() {
    let (best, place) =
        pool(&[[1.0, 3.0, -1.0, 2.0], [1.0, 1.0, -2.0, f64::NAN], [0.0, 3.0, 0.0, 5.0], [1.0; 4].map(|v| v - 1.0)]);
    assert_eq!((best[0], place[0]), (1.0, 0));
    assert_eq!((best[1], place[1]), (3.0, 0));
    assert_eq!((best[2], place[2]), (0.0, CLOSED));
    assert!(best[3].is_nan() && place[3] == 1, "found {} at {}", best[3], place[3]);
}
