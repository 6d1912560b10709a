//! Normalisation of planes (s, n, c) of `inner` elements, and its gradient. Statistics of a batch are those of its planes, joined
//! in their order.

use super::elementwise::store;
use super::lanes::{LANES, total};
use super::memory::with_scratch;
use super::norm_lanes::{self, SHORT};
use super::{Io, Real};
use crate::call::NormDims;
use crate::vectors;
use rayon::prelude::*;

/// Elements of one task: below this, waking another thread costs more than the work.
const TASK: usize = 1 << 13;

pub fn forward<T: Real>(io: &Io<T>, d: &NormDims) {
    let affine = Affine { d, gamma: io.read(1), beta: io.read(2) };
    forward_slices(&affine, io.read(0), io.write(0), io.write(1));
}

pub fn grad<T: Real>(io: &Io<T>, d: &NormDims) {
    let affine = Affine { d, gamma: io.read(2), beta: io.read(3) };
    let (groups, sets) = (d.groups_of_samples(), if d.shared == 1 { 1 } else { d.samples as usize });
    let (planes, sums) = io.write(3).split_at_mut(2 * d.planes());
    let (inputs, dx) = ((io.read(0), io.read(1), io.read(4)), io.write(0));
    if io.adds(0) {
        grad_slices::<T, true>(&affine, inputs, dx, planes, sums);
    } else {
        grad_slices::<T, false>(&affine, inputs, dx, planes, sums);
    }
    // Sums of each (s, c), first of dz, then of dz u: over the samples where they share gamma and beta.
    for (write, sums) in [(2, &sums[..groups]), (1, &sums[groups..])] {
        let (add, gradient) = (io.adds(write), io.write(write));
        for (c, gradient) in gradient.iter_mut().enumerate() {
            store(add, gradient, sums.iter().skip(c).step_by(sets * d.channels as usize).copied().sum());
        }
    }
}

/// gamma and beta, and which of them belongs to a plane.
struct Affine<'a, T> {
    d: &'a NormDims,
    gamma: &'a [T],
    beta: &'a [T],
}

/// What is done to the elements of a plane: u = inverse (x - mean), y = gamma u + beta, and ReLU.
#[derive(Clone, Copy)]
pub struct Line<T> {
    pub mean: T,
    pub inverse: T,
    pub gamma: T,
    pub beta: T,
    pub relu: bool,
}

impl<T: Real> Affine<'_, T> {
    /// Index of the group (s, c) of a plane.
    #[inline(always)]
    fn group(&self, plane: usize) -> usize {
        let (batch, channels) = (self.d.batch as usize, self.d.channels as usize);
        plane / (batch * channels) * channels + plane % channels
    }

    /// Index of the statistics of a plane.
    #[inline(always)]
    fn statistics(&self, plane: usize) -> usize {
        if self.d.per_image == 1 { plane } else { self.group(plane) }
    }

    #[inline(always)]
    fn line(&self, plane: usize, mean: T, inverse: T) -> Line<T> {
        let channels = self.d.channels as usize;
        let at = if self.d.shared == 1 { plane % channels } else { self.group(plane) };
        Line { mean, inverse, gamma: self.gamma[at], beta: self.beta[at], relu: self.d.relu == 1 }
    }

    /// 1 / sqrt(variance + epsilon), given the sum of squared deviations.
    #[inline(always)]
    fn inverse(&self, squares: T) -> T {
        let elements = T::of(self.d.group_elements().into());
        T::ONE / (squares / elements + T::of(self.d.epsilon.into())).sqrt()
    }

    fn inner(&self) -> usize {
        self.d.inner as usize
    }

    /// Planes of one task.
    fn planes_per_task(&self) -> usize {
        (TASK / self.inner()).max(1)
    }
}

/// y and the statistics.
fn forward_slices<T: Real>(affine: &Affine<T>, x: &[T], y: &mut [T], statistics: &mut [T]) {
    let (inner, per_task) = (affine.inner(), affine.planes_per_task());
    let (means, rest) = statistics.split_at_mut(affine.d.groups());
    let (inverses, planes) = rest.split_at_mut(affine.d.groups());
    let tasks = y.par_chunks_mut(per_task * inner).zip(x.par_chunks(per_task * inner)).enumerate();
    if affine.d.per_image == 1 {
        let statistics = means.par_chunks_mut(per_task).zip(inverses.par_chunks_mut(per_task));
        tasks.zip(statistics).for_each(|((task, (y, x)), (means, inverses))| {
            vectors::dispatch(
                #[inline(always)]
                || {
                    let planes = y.chunks_exact_mut(inner).zip(x.chunks_exact(inner));
                    let planes = planes.zip(means.iter_mut().zip(inverses.iter_mut())).enumerate();
                    for (i, ((y, x), (mean, inverse))) in planes {
                        let squares;
                        (*mean, squares) = moments(x);
                        *inverse = affine.inverse(squares);
                        normalise(x, y, affine.line(task * per_task + i, *mean, *inverse));
                    }
                },
            );
        });
        return;
    }
    plane_moments(affine, x, planes);
    join_moments(affine, planes, means, inverses);
    tasks.for_each(|(task, (y, x))| {
        vectors::dispatch(
            #[inline(always)]
            || {
                for (i, (y, x)) in y.chunks_exact_mut(inner).zip(x.chunks_exact(inner)).enumerate() {
                    let plane = task * per_task + i;
                    let at = affine.group(plane);
                    normalise(x, y, affine.line(plane, means[at], inverses[at]));
                }
            },
        );
    });
}

/// Means, then sums of squared deviations of all planes.
fn plane_moments<T: Real>(affine: &Affine<T>, x: &[T], moments_of_planes: &mut [T]) {
    let (inner, per_task) = (affine.inner(), affine.planes_per_task());
    let (means, squares) = moments_of_planes.split_at_mut(affine.d.planes());
    let tasks = means.par_chunks_mut(per_task).zip(squares.par_chunks_mut(per_task));
    tasks.zip(x.par_chunks(per_task * inner)).for_each(|((means, squares), x)| {
        vectors::dispatch(
            #[inline(always)]
            || {
                for ((mean, squares), x) in means.iter_mut().zip(squares.iter_mut()).zip(x.chunks_exact(inner)) {
                    (*mean, *squares) = moments(x);
                }
            },
        );
    });
}

/// Statistics of each (s, c) from those of its planes: the planes' squared deviations, and those of their means.
fn join_moments<T: Real>(affine: &Affine<T>, planes: &[T], means: &mut [T], inverses: &mut [T]) {
    let (batch, channels) = (affine.d.batch as usize, affine.d.channels as usize);
    let (plane_means, plane_squares) = planes.split_at(affine.d.planes());
    let inner = T::of(affine.d.inner.into());
    let samples = means.chunks_exact_mut(channels).zip(inverses.chunks_exact_mut(channels)).enumerate();
    for (s, (means, inverses)) in samples {
        let plane_means = &plane_means[s * batch * channels..][..batch * channels];
        let plane_squares = &plane_squares[s * batch * channels..][..batch * channels];
        sum_rows(plane_means, means);
        means.iter_mut().for_each(|mean| *mean /= T::of(affine.d.batch.into()));
        inverses.fill(T::ZERO);
        for (plane_means, plane_squares) in plane_means.chunks_exact(channels).zip(plane_squares.chunks_exact(channels))
        {
            let planes = plane_means.iter().zip(plane_squares);
            for ((total, mean), (&plane_mean, &squares)) in inverses.iter_mut().zip(&*means).zip(planes) {
                let apart = plane_mean - *mean;
                *total += squares + inner * apart * apart;
            }
        }
        inverses.iter_mut().for_each(|inverse| *inverse = affine.inverse(*inverse));
    }
}

/// to [C] = sum of the rows [C].
fn sum_rows<T: Real>(rows: &[T], to: &mut [T]) {
    to.fill(T::ZERO);
    for row in rows.chunks_exact(to.len()) {
        to.iter_mut().zip(row).for_each(|(to, &value)| *to += value);
    }
}

/// dx, and the sums of dz and of dz u: of each plane into `planes`, of each (s, c) into `sums`.
fn grad_slices<T: Real, const ADD: bool>(
    affine: &Affine<T>,
    (x, dy, statistics): (&[T], &[T], &[T]),
    dx: &mut [T],
    planes: &mut [T],
    sums: &mut [T],
) {
    let (inner, per_task) = (affine.inner(), affine.planes_per_task());
    let inputs = || x.par_chunks(per_task * inner).zip(dy.par_chunks(per_task * inner)).enumerate();
    let count = T::of(affine.d.group_elements().into());
    let per_image = affine.d.per_image == 1;
    let line = |plane: usize| {
        let at = affine.statistics(plane);
        affine.line(plane, statistics[at], statistics[affine.d.groups() + at])
    };
    let (plane_dz, plane_dzu) = planes.split_at_mut(affine.d.planes());
    let tasks = dx.par_chunks_mut(per_task * inner);
    let partials = plane_dz.par_chunks_mut(per_task).zip(plane_dzu.par_chunks_mut(per_task));
    inputs().zip(tasks.zip(partials)).for_each(|((task, (x, dy)), (dx, (of_dz, of_dzu)))| {
        if per_image && inner < SHORT {
            let line = |i: usize| line(task * per_task + i);
            return norm_lanes::grad::<T, ADD>(inner, (x, dy), dx, (of_dz, of_dzu), line);
        }
        with_planes(
            inner,
            #[inline(always)]
            |apart, dz| {
                let planes = x.chunks_exact(inner).zip(dy.chunks_exact(inner)).zip(dx.chunks_exact_mut(inner));
                let partials = of_dz.iter_mut().zip(of_dzu.iter_mut());
                for (i, (((x, dy), dx), (of_dz, of_dzu))) in planes.zip(partials).enumerate() {
                    let line = line(task * per_task + i);
                    open_plane(x, dy, line, (apart, dz));
                    (*of_dz, *of_dzu) = slopes(apart, dz, line);
                    if per_image {
                        spread::<T, ADD>(apart, dz, dx, line, (*of_dz / count, *of_dzu / count));
                    }
                }
            },
        );
    });
    let (batch, channels) = (affine.d.batch as usize, affine.d.channels as usize);
    let (sums_dz, sums_dzu) = sums.split_at_mut(affine.d.groups_of_samples());
    for (planes, sums) in [(&*plane_dz, &mut *sums_dz), (&*plane_dzu, &mut *sums_dzu)] {
        let samples = planes.chunks_exact(batch * channels).zip(sums.chunks_exact_mut(channels));
        samples.for_each(|(rows, to)| sum_rows(rows, to));
    }
    if per_image {
        return;
    }
    inputs().zip(dx.par_chunks_mut(per_task * inner)).for_each(|((task, (x, dy)), dx)| {
        with_planes(
            inner,
            #[inline(always)]
            |apart, dz| {
                let planes = x.chunks_exact(inner).zip(dy.chunks_exact(inner)).zip(dx.chunks_exact_mut(inner));
                for (i, ((x, dy), dx)) in planes.enumerate() {
                    let plane = task * per_task + i;
                    let (at, line) = (affine.group(plane), line(plane));
                    open_plane(x, dy, line, (apart, dz));
                    spread::<T, ADD>(apart, dz, dx, line, (sums_dz[at] / count, sums_dzu[at] / count));
                }
            },
        );
    });
}

/// Runs `work` with scratch for two planes, compiled for the vector instructions in use.
fn with_planes<T: Real>(inner: usize, mut work: impl FnMut(&mut [T], &mut [T])) {
    with_scratch(2 * inner, |scratch: &mut [T]| {
        let (apart, dz) = scratch.split_at_mut(inner);
        vectors::dispatch(
            #[inline(always)]
            || work(apart, dz),
        );
    });
}

/// Sum over the elements of a plane, by lanes.
#[inline(always)]
fn lane_sum<T: Real>(x: &[T], term: impl Fn(T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane += term(x));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &x)| *lane += term(x));
    total(&lanes)
}

/// Mean and sum of squared deviations of a plane.
#[inline(always)]
fn moments<T: Real>(x: &[T]) -> (T, T) {
    let mean = lane_sum(x, |x| x) / T::of(x.len() as f64);
    (mean, lane_sum(x, |x| (x - mean) * (x - mean)))
}

impl<T: Real> Line<T> {
    /// y before the ReLU, given x - mean.
    #[inline(always)]
    fn at(&self, apart: T) -> T {
        self.gamma * self.inverse * apart + self.beta
    }
}

#[inline(always)]
fn normalise<T: Real>(x: &[T], y: &mut [T], line: Line<T>) {
    let pairs = y.iter_mut().zip(x);
    if line.relu {
        pairs.for_each(|(y, &x)| {
            let z = line.at(x - line.mean);
            *y = if z <= T::ZERO { T::ZERO } else { z };
        });
    } else {
        pairs.for_each(|(y, &x)| *y = line.at(x - line.mean));
    }
}

/// x - mean and dz of a plane, each in a loop that becomes vector instructions.
#[inline(always)]
fn open_plane<T: Real>(x: &[T], dy: &[T], line: Line<T>, (apart, dz): (&mut [T], &mut [T])) {
    apart.iter_mut().zip(x).for_each(|(apart, &x)| *apart = x - line.mean);
    let pairs = dz.iter_mut().zip(dy.iter().zip(&*apart));
    if line.relu {
        pairs.for_each(|(dz, (&dy, &apart))| *dz = if line.at(apart) <= T::ZERO { T::ZERO } else { dy });
    } else {
        pairs.for_each(|(dz, (&dy, _))| *dz = dy);
    }
}

/// Sums of dz and of dz u over a plane.
#[inline(always)]
fn slopes<T: Real>(apart: &[T], dz: &[T], line: Line<T>) -> (T, T) {
    let mut lanes = [T::ZERO; LANES];
    let ((chunks, rest), (dz_chunks, dz_rest)) = (apart.as_chunks::<LANES>(), dz.as_chunks::<LANES>());
    for (apart, dz) in chunks.iter().zip(dz_chunks) {
        lanes.iter_mut().zip(apart.iter().zip(dz)).for_each(|(lane, (&apart, &dz))| *lane += dz * apart);
    }
    lanes.iter_mut().zip(rest.iter().zip(dz_rest)).for_each(|(lane, (&apart, &dz))| *lane += dz * apart);
    (lane_sum(dz, |dz| dz), total(&lanes) * line.inverse)
}

/// dx (+)= gamma inverse (dz - mean of dz - u * mean of dz u)
#[inline(always)]
fn spread<T: Real, const ADD: bool>(apart: &[T], dz: &[T], dx: &mut [T], line: Line<T>, (mean_dz, mean_dzu): (T, T)) {
    let (factor, tilt) = (line.gamma * line.inverse, line.inverse * mean_dzu);
    for ((dx, &apart), &dz) in dx.iter_mut().zip(apart).zip(dz) {
        store(ADD, dx, factor * (dz - mean_dz - tilt * apart));
    }
}

#[cfg(test)]
mod tests;
