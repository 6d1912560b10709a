//! Gradient of a weight, optimiser step and gradient to the input in one pass over the weight and its moments.
//!
//! With few rows N the gradient dw[o, i] = sum_n dy[n, o] x[n, i] costs less to form again than to store and read: each
//! element of w and of the moments is read and written once, and dw never exists.

use super::lanes::{LANES, Vectorised, add_scaled, padded, vectorised};
use super::matmul::SMALL;
use super::memory::with_scratch;
use super::update_rule::{Adam, RmsProp};
use super::{Io, Real};
use crate::call::*;

/// Rows of w at once: their x and dx groups are loaded and stored once for all.
const OUTPUTS: usize = 4;

/// x [1, N, I], dy [1, N, O], scalars -> w, m (Adam), v; then, if `input_gradient`, dx [1, N, I] and scratch
pub fn rank_update<T: Real>(io: &Io<T>, d: &LinearDims, optimizer: Optimizer, input_gradient: bool) {
    let moments = optimizer.moments();
    let gradient = input_gradient.then(|| Gradient {
        dx: io.write(moments + 1),
        add: io.adds(moments + 1),
        partial: io.write(moments + 2),
    });
    let data = Data { d: *d, x: io.read(0), dy: io.read(1) };
    let m = if moments == 2 { io.write(1) } else { &mut [] };
    data.apply(optimizer, io.read(2), State { w: io.write(0), m, v: io.write(moments) }, gradient);
}

/// A weight [O, I] with its moments; m is empty for RMSProp.
struct State<'a, T> {
    w: &'a mut [T],
    m: &'a mut [T],
    v: &'a mut [T],
}

/// Where the gradient of x goes: dx [N, I], and the sums of each block of rows of w, [blocks, N, I].
struct Gradient<'a, T> {
    dx: &'a mut [T],
    add: bool,
    partial: &'a mut [T],
}

/// What all blocks read.
#[derive(Clone, Copy)]
struct Data<'a, T> {
    d: LinearDims,
    x: &'a [T],
    dy: &'a [T],
}

/// Rows of w from `first`, with their moments, and their part of the gradient of x (empty when it is not wanted).
struct Rows<'a, T, const M: usize> {
    first: usize,
    w: &'a mut [T],
    moments: [&'a mut [T]; M],
    partial: &'a mut [T],
}

impl<T: Real> Data<'_, T> {
    /// One step of the optimiser.
    fn apply(self, optimizer: Optimizer, scalars: &[T], state: State<T>, gradient: Option<Gradient<T>>) {
        let State { w, m, v } = state;
        if let Some(rule) = Adam::new(optimizer, scalars) {
            let step = |w: &mut T, [m, v]: [&mut T; 2], g: T| rule.step(w, m, v, g);
            self.update(w, [m, v], gradient, step);
        } else if let Some(rule) = RmsProp::new(optimizer, scalars) {
            let step = |w: &mut T, [v]: [&mut T; 1], g: T| rule.step(w, v, g);
            self.update(w, [v], gradient, step);
        }
    }

    /// One optimiser step `step(w, moments, g)` on every element of w [O, I].
    fn update<const M: usize>(
        self,
        w: &mut [T],
        moments: [&mut [T]; M],
        gradient: Option<Gradient<T>>,
        step: impl Fn(&mut T, [&mut T; M], T) + Sync,
    ) {
        let Some(Gradient { dx, add, partial }) = gradient else {
            return self.split(Rows { first: 0, w, moments, partial: &mut [] }, &step);
        };
        self.split(Rows { first: 0, w, moments, partial: &mut *partial }, &step);
        if !add {
            dx.fill(T::ZERO);
        }
        for block in partial.chunks_exact(dx.len()) {
            dx.iter_mut().zip(block).for_each(|(sum, part)| *sum += *part);
        }
    }

    /// Halves the rows until one block is left, which this thread computes; halves run in parallel when they are worth it.
    fn split<const M: usize>(self, rows: Rows<T, M>, step: &(impl Fn(&mut T, [&mut T; M], T) + Sync)) {
        let (inputs, block) = (self.d.inputs as usize, self.d.rank_update_rows());
        let len = rows.w.len();
        let blocks = (len / inputs).div_ceil(block);
        if blocks <= 1 {
            return self.block(rows, step);
        }
        let (half, sums) = (blocks / 2, self.x.len());
        let (w0, w1) = rows.w.split_at_mut(half * block * inputs);
        let (m0, m1) = halves(rows.moments, half * block * inputs);
        let (p0, p1) = rows.partial.split_at_mut((half * sums).min(rows.partial.len()));
        let low = Rows { first: rows.first, w: w0, moments: m0, partial: p0 };
        let high = Rows { first: rows.first + half * block, w: w1, moments: m1, partial: p1 };
        if len * (self.d.rows as usize + 1) > SMALL {
            rayon::join(|| self.split(low, step), || self.split(high, step));
        } else {
            self.split(low, step);
            self.split(high, step);
        }
    }

    /// One block, with x and the sums of dx regrouped so that the lanes of all N rows stand together: [I / LANES, N, LANES].
    fn block<const M: usize>(self, rows: Rows<T, M>, step: &impl Fn(&mut T, [&mut T; M], T)) {
        let (n, inputs) = (self.d.rows as usize, self.d.inputs as usize);
        let groups = inputs.div_ceil(LANES);
        with_scratch::<T, _>(2 * groups * n * LANES, |scratch| {
            let (x, dx) = scratch.as_chunks_mut::<LANES>().0.split_at_mut(groups * n);
            for (i, row) in self.x.chunks_exact(inputs).enumerate() {
                for (group, lanes) in row.chunks(LANES).enumerate() {
                    x[group * n + i] = padded(lanes);
                }
            }
            dx.fill([T::ZERO; LANES]);
            let Rows { first, w, moments, partial } = rows;
            vectorised(Pass { data: self, x, dx: &mut *dx, first, w, moments, sum: !partial.is_empty(), step });
            if partial.is_empty() {
                return;
            }
            for (i, row) in partial.chunks_exact_mut(inputs).enumerate() {
                for (group, lanes) in row.chunks_mut(LANES).enumerate() {
                    lanes.copy_from_slice(&dx[group * n + i][..lanes.len()]);
                }
            }
        });
    }
}

/// All slices cut at the same element.
fn halves<T, const M: usize>(slices: [&mut [T]; M], middle: usize) -> ([&mut [T]; M], [&mut [T]; M]) {
    let mut pairs = slices.map(|slice| slice.split_at_mut(middle));
    let low = std::array::from_fn(|i| std::mem::take(&mut pairs[i].0));
    (low, std::array::from_fn(|i| std::mem::take(&mut pairs[i].1)))
}

/// The pass over one block of rows.
struct Pass<'a, T, F, const M: usize> {
    data: Data<'a, T>,
    x: &'a [[T; LANES]],
    dx: &'a mut [[T; LANES]],
    first: usize,
    w: &'a mut [T],
    moments: [&'a mut [T]; M],
    /// Whether dx is wanted.
    sum: bool,
    step: &'a F,
}

impl<T: Real, F: Fn(&mut T, [&mut T; M], T), const M: usize> Vectorised for Pass<'_, T, F, M> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        if self.sum { self.all::<FMA, true>() } else { self.all::<FMA, false>() }
    }
}

impl<T: Real, F: Fn(&mut T, [&mut T; M], T), const M: usize> Pass<'_, T, F, M> {
    #[inline(always)]
    fn all<const FMA: bool, const DX: bool>(mut self) {
        let outputs = self.w.len() / self.data.d.inputs as usize;
        let whole = outputs / OUTPUTS * OUTPUTS;
        for o in (0..whole).step_by(OUTPUTS) {
            self.rows::<FMA, DX, OUTPUTS>(o);
        }
        for o in whole..outputs {
            self.rows::<FMA, DX, 1>(o);
        }
    }

    /// Rows o .. o + R of the block.
    #[inline(always)]
    fn rows<const FMA: bool, const DX: bool, const R: usize>(&mut self, o: usize) {
        let LinearDims { rows, inputs, outputs, .. } = self.data.d;
        let (n, inputs, outputs) = (rows as usize, inputs as usize, outputs as usize);
        let mut dy = [[T::ZERO; R]; LinearDims::MOST_RANK];
        for (dy, row) in dy.iter_mut().zip(self.data.dy.chunks_exact(outputs)) {
            dy.copy_from_slice(&row[self.first + o..][..R]);
        }
        let dy = &dy[..n];
        let span = o * inputs..(o + R) * inputs;
        let w = split_rows::<T, R>(&mut self.w[span.clone()], inputs);
        let moments = self.moments.each_mut().map(|m| split_rows::<T, R>(&mut m[span.clone()], inputs));
        let step = self.step;
        let groups = self.x.chunks_exact(n).zip(self.dx.chunks_exact_mut(n));
        for (i, (x, dx)) in groups.enumerate() {
            if (i + 1) * LANES <= inputs {
                let mut lanes = w.each_ref().map(|row| row.0[i]);
                let g = gradients::<T, FMA, DX, R>(dy, x, dx, &lanes);
                for r in 0..R {
                    let mut state = moments.each_ref().map(|rows| rows[r].0[i]);
                    apply(step, &mut lanes[r], &mut state, &g[r]);
                    w[r].0[i] = lanes[r];
                    for k in 0..M {
                        moments[k][r].0[i] = state[k];
                    }
                }
            } else {
                let mut lanes = w.each_ref().map(|row| padded(row.1));
                let g = gradients::<T, FMA, DX, R>(dy, x, dx, &lanes);
                for r in 0..R {
                    let mut state = moments.each_ref().map(|rows| padded(rows[r].1));
                    apply(step, &mut lanes[r], &mut state, &g[r]);
                    let tail = w[r].1.len();
                    w[r].1.copy_from_slice(&lanes[r][..tail]);
                    for k in 0..M {
                        moments[k][r].1.copy_from_slice(&state[k][..tail]);
                    }
                }
            }
        }
    }
}

/// The lanes of a row, and what is left.
type Row<'a, T> = (&'a mut [[T; LANES]], &'a mut [T]);

/// R rows of `len` elements.
#[inline(always)]
fn split_rows<T: Real, const R: usize>(slice: &mut [T], len: usize) -> [Row<'_, T>; R] {
    let mut rows = slice.chunks_exact_mut(len);
    std::array::from_fn(|_| rows.next().unwrap_or_default().as_chunks_mut::<LANES>())
}

/// g[r] = sum_n dy[n][r] x[n]; dx[n] += sum_r dy[n][r] w[r]
#[inline(always)]
fn gradients<T: Real, const FMA: bool, const DX: bool, const R: usize>(
    dy: &[[T; R]],
    x: &[[T; LANES]],
    dx: &mut [[T; LANES]],
    w: &[[T; LANES]; R],
) -> [[T; LANES]; R] {
    let mut g = [[T::ZERO; LANES]; R];
    for ((dy, x), dx) in dy.iter().zip(x).zip(dx) {
        for r in 0..R {
            add_scaled::<T, FMA>(&mut g[r], dy[r], x);
        }
        if DX {
            let mut sum = *dx;
            for r in 0..R {
                add_scaled::<T, FMA>(&mut sum, dy[r], &w[r]);
            }
            *dx = sum;
        }
    }
    g
}

/// The optimiser step on each lane.
#[inline(always)]
fn apply<T: Real, const M: usize>(
    step: &impl Fn(&mut T, [&mut T; M], T),
    w: &mut [T; LANES],
    moments: &mut [[T; LANES]; M],
    g: &[T; LANES],
) {
    for l in 0..LANES {
        step(&mut w[l], moments.each_mut().map(|m| &mut m[l]), g[l]);
    }
}

#[cfg(test)]
#[path = "rank_update_tests.rs"]
mod tests;
