//! Element by element: functions of one tensor and of two, constants, sums.

use super::{Io, Real, Strided, StridedMut};
use crate::call::{ScaleGroup, Unary};
use crate::vectors;
use rayon::prelude::*;
use std::ops::Range;

/// Elements of one parallel chunk.
const CHUNK: usize = 1 << 14;
/// Partial sums of a long sum.
const PARTS: usize = 64;
/// Independent accumulators of one sum: fills several SIMD registers of f64.
const LANES: usize = 32;

pub fn unary_forward<T: Real>(io: &Io<T>, function: Unary) {
    apply(function, io.adds(0), io.read(0), io.write(0));
}

pub fn unary_grad<T: Real>(io: &Io<T>, function: Unary) {
    apply_grad(function, io.adds(0), io.read(0), io.read(1), io.write(0));
}

pub fn add_forward<T: Real>(io: &Io<T>, beta: f32) {
    let beta = T::of(beta.into());
    map2(io.adds(0), io.read(0), io.read(1), io.write(0), move |a, b| a + beta * b);
}

pub fn multiply<T: Real>(io: &Io<T>) {
    map2(io.adds(0), io.read(0), io.read(1), io.write(0), |a, b| a * b);
}

pub fn scale<T: Real>(io: &Io<T>, factor: f32) {
    scale_blocks(io.adds(0), io.strided(0), io.strided_mut(0), T::of(factor.into()));
}

/// For each part x -> y = factor * x
pub fn scale_group<T: Real>(io: &Io<T>, group: &ScaleGroup) {
    for (part, factor) in group.factors.iter().enumerate().take(group.parts as usize) {
        scale_blocks(io.adds(part), io.strided(part), io.strided_mut(part), T::of((*factor).into()));
    }
}

pub fn scale_by_scalar<T: Real>(io: &Io<T>, factor: f32) {
    let parts = io.writes();
    let factor = T::of(factor.into()) * io.read(parts)[0];
    for part in 0..parts {
        scale_blocks(io.adds(part), io.strided(part), io.strided_mut(part), factor);
    }
}

pub fn fill<T: Real>(io: &Io<T>, value: f32) {
    let value = T::of(value.into());
    let add = io.adds(0);
    io.strided_mut(0).blocks().for_each(|y| map0(add, y, value));
}

pub fn sum<T: Real>(io: &Io<T>) {
    store(io.adds(0), &mut io.write(0)[0], T::of(sum_of(io.read(0), |x| x.f64())));
}

pub fn sum_grad<T: Real>(io: &Io<T>) {
    map0(io.adds(0), io.write(0), io.read(0)[0]);
}

pub fn half_squared_norm<T: Real>(io: &Io<T>) {
    let part = |part: usize| -> f64 {
        let x = io.strided::<T>(part);
        (0..x.count).map(|s| sum_of(x.block(s), |x| x.f64() * x.f64())).sum()
    };
    let total: f64 = (0..io.reads()).map(part).sum();
    store(io.adds(0), &mut io.write(0)[0], T::of(0.5 * total));
}

/// to = value, or to += value.
#[inline(always)]
pub fn store<T: Real>(add: bool, to: &mut T, value: T) {
    *to = if add { *to + value } else { value };
}

/// y = f(x). NaN stays NaN.
fn apply<T: Real>(function: Unary, add: bool, x: &[T], y: &mut [T]) {
    let zero = T::ZERO;
    match function {
        Unary::Identity => map(add, x, y, |x| x),
        Unary::Relu => map(add, x, y, move |x| if x <= zero { zero } else { x }),
        Unary::LeakyRelu(slope) => {
            let slope = T::of(slope.into());
            map(add, x, y, move |x| if x > zero { x } else { slope * x });
        }
        Unary::Tanh => map(add, x, y, T::tanh),
        Unary::Sigmoid => map(add, x, y, |x| T::ONE / (T::ONE + (-x).exp())),
        Unary::Exp => map(add, x, y, T::exp),
        Unary::Log => map(add, x, y, T::ln),
        Unary::Sign => map(add, x, y, sign),
        Unary::Affine(a, b) => {
            let (a, b) = (T::of(a.into()), T::of(b.into()));
            map(add, x, y, move |x| a * x + b);
        }
        Unary::Square => map(add, x, y, |x| x * x),
        Unary::Softplus => map(add, x, y, softplus),
    }
}

/// dx = dy * f'. `source` is y where `gradient_from_output` holds, else x.
pub fn apply_grad<T: Real>(function: Unary, add: bool, source: &[T], dy: &[T], dx: &mut [T]) {
    let (zero, one) = (T::ZERO, T::ONE);
    match function {
        Unary::Identity => map(add, dy, dx, |dy| dy),
        Unary::Relu => map2(add, source, dy, dx, move |y, dy| if y <= zero { zero } else { dy }),
        Unary::LeakyRelu(slope) => {
            let slope = T::of(slope.into());
            map2(add, source, dy, dx, move |y, dy| if y > zero { dy } else { slope * dy });
        }
        Unary::Tanh => map2(add, source, dy, dx, move |y, dy| dy * (one - y * y)),
        Unary::Sigmoid => map2(add, source, dy, dx, move |y, dy| dy * y * (one - y)),
        Unary::Exp => map2(add, source, dy, dx, |y, dy| dy * y),
        Unary::Log => map2(add, source, dy, dx, |x, dy| dy / x),
        Unary::Sign => unreachable!("the graph refuses a gradient through sign"),
        Unary::Affine(a, _) => {
            let a = T::of(a.into());
            map(add, dy, dx, move |dy| a * dy);
        }
        Unary::Square => map2(add, source, dy, dx, |x, dy| (x + x) * dy),
        Unary::Softplus => map2(add, source, dy, dx, |x, dy| dy / (T::ONE + (-x).exp())),
    }
}

/// ln(1 + e^x), without overflow.
pub fn softplus<T: Real>(x: T) -> T {
    x.max(T::ZERO) + (T::ONE + (-x.abs()).exp()).ln()
}

/// -1, 0 or 1; NaN stays NaN.
fn sign<T: Real>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else {
        x
    }
}

/// y = factor * x, block by block.
fn scale_blocks<T: Real>(add: bool, x: Strided<T>, y: StridedMut<T>, factor: T) {
    y.blocks().enumerate().for_each(|(s, y)| map(add, x.block(s), y, move |x| factor * x));
}

/// y = or += value everywhere.
fn map0<T: Real>(add: bool, y: &mut [T], value: T) {
    in_chunks(
        y,
        #[inline(always)]
        |_, y| {
            if add {
                y.iter_mut().for_each(|y| *y += value);
            } else {
                y.fill(value);
            }
        },
    );
}

/// y = or += f(x).
fn map<T: Real>(add: bool, x: &[T], y: &mut [T], f: impl Fn(T) -> T + Sync) {
    assert_eq!(x.len(), y.len());
    in_chunks(
        y,
        #[inline(always)]
        |start, y| {
            let pairs = y.iter_mut().zip(&x[start..]);
            if add {
                pairs.for_each(|(y, &x)| *y += f(x));
            } else {
                pairs.for_each(|(y, &x)| *y = f(x));
            }
        },
    );
}

/// y = or += f(a, b).
fn map2<T: Real>(add: bool, a: &[T], b: &[T], y: &mut [T], f: impl Fn(T, T) -> T + Sync) {
    assert!(a.len() == y.len() && b.len() == y.len());
    in_chunks(
        y,
        #[inline(always)]
        |start, y| {
            let triples = y.iter_mut().zip(&a[start..]).zip(&b[start..]);
            if add {
                triples.for_each(|((y, &a), &b)| *y += f(a, b));
            } else {
                triples.for_each(|((y, &a), &b)| *y = f(a, b));
            }
        },
    );
}

/// Calls `work`, compiled for the vector instructions in use, with chunks of y and their first index; in parallel when y is long.
fn in_chunks<T: Real>(y: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
    let run = |(i, y): (usize, &mut [T])| {
        vectors::dispatch(
            #[inline(always)]
            || work(i * CHUNK, y),
        )
    };
    if y.len() <= 2 * CHUNK {
        y.chunks_mut(CHUNK).enumerate().for_each(run);
    } else {
        y.par_chunks_mut(CHUNK).enumerate().for_each(run);
    }
}

/// Sum of f(x) in f64, in an order that depends on the length alone.
fn sum_of<T: Real>(x: &[T], f: impl Fn(T) -> f64 + Sync) -> f64 {
    let [total] = sum_in_parts(x.len(), CHUNK, |range| {
        [vectors::dispatch(
            #[inline(always)]
            || {
                let (chunks, tail) = x[range.clone()].as_chunks::<LANES>();
                let mut lanes = [0.0; LANES];
                for chunk in chunks {
                    lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane += f(x));
                }
                lanes.iter().sum::<f64>() + tail.iter().map(|&x| f(x)).sum::<f64>()
            },
        )]
    });
    total
}

/// K sums over 0..len: `part` gives those of a range, and at most 64 ranges, multiples of `grain` long, are added in order.
/// The ranges depend on `len` and `grain` alone. Runs on this thread when one grain holds all.
pub fn sum_in_parts<const K: usize>(
    len: usize,
    grain: usize,
    part: impl Fn(Range<usize>) -> [f64; K] + Sync,
) -> [f64; K] {
    let size = len.div_ceil(PARTS).next_multiple_of(grain);
    if len <= size {
        return part(0..len);
    }
    let mut partial = [[0.0; K]; PARTS];
    let used = len.div_ceil(size);
    partial[..used].par_iter_mut().enumerate().for_each(|(i, sums)| {
        *sums = part(i * size..(i * size + size).min(len));
    });
    let mut total = [0.0; K];
    for sums in &partial[..used] {
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    total
}

#[cfg(test)]
mod tests;
