//! The gradient of a normalisation of each plane by itself where planes are short: up to 64 planes at a time, a lane for each.

use super::Real;
use super::elementwise::store;
use super::lanes::{LANES, turned};
use super::memory::with_scratch;
use super::norm::Line;
use crate::vectors;

/// Elements of a plane below which lanes run across planes.
pub const SHORT: usize = 16;
/// Planes at a time: enough that loops over lanes repay their start, few enough that all elements stay in the fastest cache.
const PLANES: usize = 64;

/// Some planes, a lane each.
#[derive(Clone, Copy)]
struct Block {
    inner: usize,
    /// First plane, and planes; lanes beyond are zero.
    first: usize,
    count: usize,
    lanes: usize,
}

impl Block {
    /// Cuts planes of `inner` elements into blocks.
    fn all(planes: usize, inner: usize) -> impl Iterator<Item = Self> {
        (0..planes).step_by(PLANES).map(move |first| {
            let count = PLANES.min(planes - first);
            Self { inner, first, count, lanes: count.next_multiple_of(LANES) }
        })
    }

    /// The block's planes of an array [planes, inner].
    fn of(self, inner: usize) -> std::ops::Range<usize> {
        self.first * inner..(self.first + self.count) * inner
    }

    /// to [inner, lanes] = x [count, inner], transposed; zeros beyond `count`.
    fn load<T: Real>(self, x: &[T], to: &mut [T]) {
        let (whole_elements, whole_planes) = (self.inner / LANES * LANES, self.count / LANES * LANES);
        vectors::dispatch(
            #[inline(always)]
            || {
                for plane in (0..whole_planes).step_by(LANES) {
                    for i in (0..whole_elements).step_by(LANES) {
                        let block = turned(&x[plane * self.inner + i..], self.inner);
                        for (j, row) in block.iter().enumerate() {
                            to[(i + j) * self.lanes + plane..][..LANES].copy_from_slice(row);
                        }
                    }
                }
            },
        );
        for (i, to) in to.chunks_exact_mut(self.lanes).enumerate() {
            let first = if i < whole_elements { whole_planes } else { 0 };
            to[first..].fill(T::ZERO);
            for (plane, to) in to.iter_mut().enumerate().take(self.count).skip(first) {
                *to = x[plane * self.inner + i];
            }
        }
    }

    /// y [count, inner] = or += from [inner, lanes], transposed.
    fn unload<T: Real, const ADD: bool>(self, from: &[T], y: &mut [T]) {
        let (whole_elements, whole_planes) = (self.inner / LANES * LANES, self.count / LANES * LANES);
        vectors::dispatch(
            #[inline(always)]
            || {
                for plane in (0..whole_planes).step_by(LANES) {
                    for i in (0..whole_elements).step_by(LANES) {
                        let block = turned(&from[i * self.lanes + plane..], self.lanes);
                        for (l, row) in block.iter().enumerate() {
                            let y = &mut y[(plane + l) * self.inner + i..][..LANES];
                            y.iter_mut().zip(row).for_each(|(y, value)| store(ADD, y, *value));
                        }
                    }
                }
            },
        );
        for (i, from) in from.chunks_exact(self.lanes).enumerate() {
            let first = if i < whole_elements { whole_planes } else { 0 };
            for (plane, value) in from.iter().enumerate().take(self.count).skip(first) {
                store(ADD, &mut y[plane * self.inner + i], *value);
            }
        }
    }
}

/// What is done to the planes of a block, a lane each: y = scale (x - mean) + beta with scale = gamma inverse. Lanes beyond the
/// block's planes are zero.
struct Lines<'a, T> {
    mean: &'a mut [T],
    inverse: &'a mut [T],
    scale: &'a mut [T],
    beta: &'a mut [T],
    relu: bool,
}

impl<'a, T: Real> Lines<'a, T> {
    /// Room for the lines in scratch [4, lanes].
    fn new(scratch: &'a mut [T], lanes: usize) -> Self {
        scratch.fill(T::ZERO);
        let (mean, rest) = scratch.split_at_mut(lanes);
        let (inverse, rest) = rest.split_at_mut(lanes);
        let (scale, beta) = rest.split_at_mut(lanes);
        Self { mean, inverse, scale, beta, relu: false }
    }

    fn set(&mut self, l: usize, line: Line<T>) {
        (self.mean[l], self.inverse[l], self.relu) = (line.mean, line.inverse, line.relu);
        (self.scale[l], self.beta[l]) = (line.gamma * line.inverse, line.beta);
    }
}

/// dx of planes x, dy [planes, inner], and the sums of dz and of dz u of each.
pub fn grad<T: Real, const ADD: bool>(
    inner: usize,
    (x, dy): (&[T], &[T]),
    dx: &mut [T],
    (of_dz, of_dzu): (&mut [T], &mut [T]),
    line: impl Fn(usize) -> Line<T>,
) {
    let elements = T::of(inner as f64);
    for block in Block::all(of_dz.len(), inner) {
        let lanes = block.lanes;
        with_scratch((2 * inner + 6) * lanes, |scratch: &mut [T]| {
            let (apart, scratch) = scratch.split_at_mut(inner * lanes);
            let (dz, scratch) = scratch.split_at_mut(inner * lanes);
            let (sums, scratch) = scratch.split_at_mut(2 * lanes);
            let (sum_dz, sum_dzu) = sums.split_at_mut(lanes);
            let mut lines = Lines::new(scratch, lanes);
            (0..block.count).for_each(|l| lines.set(l, line(block.first + l)));
            block.load(&x[block.of(inner)], apart);
            block.load(&dy[block.of(inner)], dz);
            vectors::dispatch(
                #[inline(always)]
                || {
                    if lines.relu {
                        open::<T, true>(apart, dz, &lines, (sum_dz, sum_dzu));
                    } else {
                        open::<T, false>(apart, dz, &lines, (sum_dz, sum_dzu));
                    }
                },
            );
            of_dz[block.of(1)].copy_from_slice(&sum_dz[..block.count]);
            of_dzu[block.of(1)].copy_from_slice(&sum_dzu[..block.count]);
            vectors::dispatch(
                #[inline(always)]
                || {
                    sum_dz.iter_mut().chain(&mut *sum_dzu).for_each(|sum| *sum /= elements);
                    spread(apart, dz, &lines, (sum_dz, sum_dzu));
                },
            );
            block.unload::<T, ADD>(dz, &mut dx[block.of(inner)]);
        });
    }
}

/// x [inner, lanes] becomes x - mean, dy becomes dz; the sums of dz and of dz u of each lane.
#[inline(always)]
fn open<T: Real, const RELU: bool>(
    x: &mut [T],
    dy: &mut [T],
    lines: &Lines<T>,
    (sums, products): (&mut [T], &mut [T]),
) {
    let lanes = lines.mean.len();
    sums.fill(T::ZERO);
    products.fill(T::ZERO);
    for (x, dy) in x.chunks_exact_mut(lanes).zip(dy.chunks_exact_mut(lanes)) {
        x.iter_mut().zip(&*lines.mean).for_each(|(x, mean)| *x -= *mean);
        if RELU {
            for ((dy, x), (scale, beta)) in dy.iter_mut().zip(&*x).zip(lines.scale.iter().zip(&*lines.beta)) {
                *dy = if *scale * *x + *beta <= T::ZERO { T::ZERO } else { *dy };
            }
        }
        for ((sum, product), (dy, x)) in sums.iter_mut().zip(&mut *products).zip(dy.iter().zip(&*x)) {
            *sum += *dy;
            *product += *dy * *x;
        }
    }
    products.iter_mut().zip(&*lines.inverse).for_each(|(product, inverse)| *product *= *inverse);
}

/// dz [inner, lanes] = gamma inverse (dz - mean of dz - u * mean of dz u)
#[inline(always)]
fn spread<T: Real>(apart: &[T], dz: &mut [T], lines: &Lines<T>, (mean_dz, mean_dzu): (&[T], &mut [T])) {
    let lanes = lines.mean.len();
    let tilt = mean_dzu;
    tilt.iter_mut().zip(&*lines.inverse).for_each(|(tilt, inverse)| *tilt *= *inverse);
    for (dz, apart) in dz.chunks_exact_mut(lanes).zip(apart.chunks_exact(lanes)) {
        let known = apart.iter().zip(&*lines.scale).zip(mean_dz.iter().zip(&*tilt));
        for (dz, ((apart, scale), (mean_dz, tilt))) in dz.iter_mut().zip(known) {
            *dz = *scale * (*dz - *mean_dz - *tilt * *apart);
        }
    }
}
