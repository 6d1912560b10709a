//! Gradient of a weight, optimiser step and gradient to the input in one pass over the weight and its moments.
//!
//! With few rows N the gradient dw[o, i] = sum_n dy[n, o] x[n, i] costs less to form again than to store and read: each
//! element of w and of the moments is read and written once, and dw never exists.

use super::lanes::multiply_add;
use super::matmul::{SMALL, prefetch};
use super::memory::with_scratch;
use super::moments::{Bf16, Format, Plain};
use super::update_rule::{Adam, RmsProp, Rule, halves};
use super::{Io, Real};
use crate::call::*;
use crate::vectors::{Vectorised, vectorised};

/// Rows of w at once: their x and dx groups are loaded and stored once for all.
const OUTPUTS: usize = 4;
/// Columns of w at once: its rows of w, the moments, x and dx fit the first-level cache together.
const GROUP: usize = 128;
/// Elements between a moment that is asked for and the one that is computed: memory answers while the processor works.
const AHEAD: usize = 512;
/// Rows of x that one loop combines.
const TERMS: usize = 5;

/// x [1, N, I], dy [1, N, O], scalars, words if the moments are bf16 -> w, m (Adam), v; then, if `input_gradient`,
/// dx [1, N, I] and scratch
pub fn rank_update<T: Real>(io: &Io<T>, d: &LinearDims, optimizer: Optimizer, input_gradient: bool) {
    match optimizer.moments() {
        Moments::Fp32 => with_format(io, d, optimizer, input_gradient, &Plain),
        Moments::Bf16 => with_format(io, d, optimizer, input_gradient, &Bf16::of_call(io, 3)),
    }
}

fn with_format<T: Real, F: Format<T>>(
    io: &Io<T>,
    d: &LinearDims,
    optimizer: Optimizer,
    input_gradient: bool,
    format: &F,
) {
    let count = optimizer.moment_count();
    let gradient = input_gradient.then(|| Gradient {
        dx: io.write(count + 1),
        add: io.adds(count + 1),
        partial: io.write(count + 2),
    });
    let data = Data { d: *d, x: io.read(0), dy: io.read(1) };
    let m = if count == 2 { io.write_as(1) } else { &mut [] };
    data.apply(optimizer, io.read(2), State { w: io.write(0), m, v: io.write_as(count), format }, gradient);
}

/// A weight [O, I] with its moments; m is empty for RMSProp.
struct State<'a, T, F: Format<T>> {
    w: &'a mut [T],
    m: &'a mut [F::Element],
    v: &'a mut [F::Element],
    format: &'a F,
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
struct Rows<'a, T, F: Format<T>, const M: usize> {
    first: usize,
    w: &'a mut [T],
    moments: [&'a mut [F::Element]; M],
    format: &'a F,
    partial: &'a mut [T],
}

impl<T: Real> Data<'_, T> {
    /// One step of the optimiser.
    fn apply<F: Format<T>>(
        self,
        optimizer: Optimizer,
        scalars: &[T],
        state: State<T, F>,
        gradient: Option<Gradient<T>>,
    ) {
        let State { w, m, v, format } = state;
        if let Some(rule) = Adam::new(optimizer, scalars) {
            self.update(Rows { first: 0, w, moments: [m, v], format, partial: &mut [] }, gradient, &rule);
        } else if let Some(rule) = RmsProp::new(optimizer, scalars) {
            self.update(Rows { first: 0, w, moments: [v], format, partial: &mut [] }, gradient, &rule);
        }
    }

    /// One step on every element of w [O, I].
    fn update<F: Format<T>, const M: usize>(
        self,
        rows: Rows<T, F, M>,
        gradient: Option<Gradient<T>>,
        rule: &impl Rule<T, M>,
    ) {
        let Some(Gradient { dx, add, partial }) = gradient else {
            return self.split(rows, rule);
        };
        self.split(Rows { partial: &mut *partial, ..rows }, rule);
        if !add {
            dx.fill(T::ZERO);
        }
        for block in partial.chunks_exact(dx.len()) {
            dx.iter_mut().zip(block).for_each(|(sum, part)| *sum += *part);
        }
    }

    /// Halves the rows until one block is left, which this thread computes; halves run in parallel when they are worth it.
    fn split<F: Format<T>, const M: usize>(self, rows: Rows<T, F, M>, rule: &impl Rule<T, M>) {
        let (inputs, block) = (self.d.inputs as usize, self.d.rank_update_rows());
        let len = rows.w.len();
        let blocks = (len / inputs).div_ceil(block);
        if blocks <= 1 {
            return self.block(rows, rule);
        }
        let (half, sums) = (blocks / 2, self.x.len());
        let (w0, w1) = rows.w.split_at_mut(half * block * inputs);
        let (m0, m1) = halves(rows.moments, half * block * inputs);
        let (p0, p1) = rows.partial.split_at_mut((half * sums).min(rows.partial.len()));
        let format = rows.format;
        let low = Rows { first: rows.first, w: w0, moments: m0, format, partial: p0 };
        let high = Rows { first: rows.first + half * block, w: w1, moments: m1, format, partial: p1 };
        if len * (self.d.rows as usize + 1) > SMALL {
            rayon::join(|| self.split(low, rule), || self.split(high, rule));
        } else {
            self.split(low, rule);
            self.split(high, rule);
        }
    }

    /// One block, with x and the sums of dx regrouped so that one group of columns of all N rows stands together:
    /// [ceil(I / GROUP), N, GROUP].
    fn block<F: Format<T>, const M: usize>(self, rows: Rows<T, F, M>, rule: &impl Rule<T, M>) {
        let (n, inputs) = (self.d.rows as usize, self.d.inputs as usize);
        let groups = inputs.div_ceil(GROUP);
        with_scratch::<T, _>(2 * groups * n * GROUP, |scratch| {
            scratch.fill(T::ZERO);
            let (x, dx) = scratch.as_chunks_mut::<GROUP>().0.split_at_mut(groups * n);
            for (i, row) in self.x.chunks_exact(inputs).enumerate() {
                for (group, part) in row.chunks(GROUP).enumerate() {
                    x[group * n + i][..part.len()].copy_from_slice(part);
                }
            }
            let Rows { first, w, moments, format, partial } = rows;
            let sum = !partial.is_empty();
            vectorised(Pass { data: self, x, dx: &mut *dx, first, w, moments, format, sum, rule });
            if partial.is_empty() {
                return;
            }
            for (i, row) in partial.chunks_exact_mut(inputs).enumerate() {
                for (group, part) in row.chunks_mut(GROUP).enumerate() {
                    part.copy_from_slice(&dx[group * n + i][..part.len()]);
                }
            }
        });
    }
}

/// The pass over one block of rows.
struct Pass<'a, T, U, F: Format<T>, const M: usize> {
    data: Data<'a, T>,
    x: &'a [[T; GROUP]],
    dx: &'a mut [[T; GROUP]],
    first: usize,
    w: &'a mut [T],
    moments: [&'a mut [F::Element]; M],
    format: &'a F,
    /// Whether dx is wanted.
    sum: bool,
    rule: &'a U,
}

impl<T: Real, U: Rule<T, M>, F: Format<T>, const M: usize> Vectorised for Pass<'_, T, U, F, M> {
    type Output = ();

    #[inline(always)]
    fn run<const W: usize>(mut self) {
        let outputs = self.w.len() / self.data.d.inputs as usize;
        let whole = outputs / OUTPUTS * OUTPUTS;
        for o in (0..whole).step_by(OUTPUTS) {
            self.rows::<W, OUTPUTS>(o);
        }
        for o in whole..outputs {
            self.rows::<W, 1>(o);
        }
    }
}

impl<T: Real, U: Rule<T, M>, F: Format<T>, const M: usize> Pass<'_, T, U, F, M> {
    /// Rows o .. o + R of the block.
    #[inline(always)]
    fn rows<const W: usize, const R: usize>(&mut self, o: usize) {
        let LinearDims { rows, inputs, outputs, .. } = self.data.d;
        let (n, inputs, outputs) = (rows as usize, inputs as usize, outputs as usize);
        let mut dy = [[T::ZERO; R]; LinearDims::MOST_RANK];
        for (dy, row) in dy.iter_mut().zip(self.data.dy.chunks_exact(outputs)) {
            dy.copy_from_slice(&row[self.first + o..][..R]);
        }
        let dy = &dy[..n];
        if self.sum {
            self.add_input_gradient::<W, R>(o, dy);
        }
        // Row by row, so that the moments are read and written strictly in order.
        for r in 0..R {
            for (group, x) in self.x.chunks_exact(n).enumerate() {
                let column = group * GROUP;
                let first = (o + r) * inputs + column;
                let len = GROUP.min(inputs - column);
                for line in (0..len).step_by(64 / size_of::<T>()) {
                    prefetch(self.w, first + R * inputs + line);
                    self.moments.iter().for_each(|moment| prefetch(moment, first + AHEAD + line));
                }
                let g = gradient::<T, W, R>(dy, x, r);
                let moments = self.moments.each_mut().map(|moment| &mut moment[first..first + len]);
                let w = &mut self.w[first..first + len];
                self.format.step_all(self.rule, self.first * inputs + first, w, moments, &g[..len]);
            }
        }
    }

    /// dx[n][i] += sum_r dy[n][r] w[o + r][i]
    #[inline(always)]
    fn add_input_gradient<const W: usize, const R: usize>(&mut self, o: usize, dy: &[[T; R]]) {
        let inputs = self.data.d.inputs as usize;
        for (group, dx) in self.dx.chunks_exact_mut(dy.len()).enumerate() {
            let column = group * GROUP;
            let w = &self.w[o * inputs + column..];
            if column + GROUP <= inputs {
                let rows = std::array::from_fn(|r| &w[r * inputs..][..GROUP].as_chunks().0[0]);
                add_combinations::<T, W, R>(dx, dy, rows);
            } else {
                let mut padded = [[T::ZERO; GROUP]; R];
                for (r, row) in padded.iter_mut().enumerate() {
                    row[..inputs - column].copy_from_slice(&w[r * inputs..][..inputs - column]);
                }
                add_combinations::<T, W, R>(dx, dy, padded.each_ref());
            }
        }
    }
}

/// g[i] = sum_n dy[n][r] x[n][i]
#[inline(always)]
fn gradient<T: Real, const W: usize, const R: usize>(dy: &[[T; R]], x: &[[T; GROUP]], r: usize) -> [T; GROUP] {
    let mut g = [T::ZERO; GROUP];
    let mut parts = dy.chunks(TERMS).zip(x.chunks(TERMS));
    if let Some((dy, x)) = parts.next() {
        add_terms::<T, W, true, R>(&mut g, dy, x, r);
    }
    for (dy, x) in parts {
        add_terms::<T, W, false, R>(&mut g, dy, x, r);
    }
    g
}

/// Up to `TERMS` terms of [`gradient`].
#[inline(always)]
fn add_terms<T: Real, const W: usize, const SET: bool, const R: usize>(
    g: &mut [T; GROUP],
    dy: &[[T; R]],
    x: &[[T; GROUP]],
    r: usize,
) {
    match (dy, x) {
        ([a], [p]) => combine::<T, W, SET, 1>(g, [a[r]], [p]),
        ([a, b], [p, q]) => combine::<T, W, SET, 2>(g, [a[r], b[r]], [p, q]),
        ([a, b, c], [p, q, s]) => combine::<T, W, SET, 3>(g, [a[r], b[r], c[r]], [p, q, s]),
        ([a, b, c, d], [p, q, s, t]) => combine::<T, W, SET, 4>(g, [a[r], b[r], c[r], d[r]], [p, q, s, t]),
        ([a, b, c, d, e], [p, q, s, t, u]) => {
            combine::<T, W, SET, 5>(g, [a[r], b[r], c[r], d[r], e[r]], [p, q, s, t, u]);
        }
        _ => {}
    }
}

/// dx[n][i] += sum_r dy[n][r] w[r][i]
#[inline(always)]
fn add_combinations<T: Real, const W: usize, const R: usize>(
    dx: &mut [[T; GROUP]],
    dy: &[[T; R]],
    w: [&[T; GROUP]; R],
) {
    for (dx, dy) in dx.iter_mut().zip(dy) {
        combine::<T, W, false, R>(dx, *dy, w);
    }
}

/// sums[i] = (SET) or += sum_k factors[k] rows[k][i]
#[inline(always)]
fn combine<T: Real, const W: usize, const SET: bool, const K: usize>(
    sums: &mut [T; GROUP],
    factors: [T; K],
    rows: [&[T; GROUP]; K],
) {
    for i in 0..GROUP {
        let mut sum = if SET { T::ZERO } else { sums[i] };
        for k in 0..K {
            sum = multiply_add::<T, W>(factors[k], rows[k][i], sum);
        }
        sums[i] = sum;
    }
}

#[cfg(test)]
#[path = "rank_update_tests.rs"]
mod tests;
