//! Max and average pooling over windows that may overlap or leave a remainder, and their gradients.

use super::memory::with_scratch;
use super::tiles::is_nan;
use super::{Io, Real};
use crate::call::*;
use crate::vectors;
use rayon::prelude::*;

/// Input elements of one task: below this, waking another thread costs more than the work.
const TASK: usize = 1 << 15;

pub fn max_forward<T: Real>(io: &Io<T>, d: &Pool2dDims) {
    max_forward_slices(d, io.read(0), io.write(0), io.write_as(1));
}

pub fn max_grad<T: Real>(io: &Io<T>, d: &Pool2dDims) {
    max_grad_slices(d, io.read(0), io.read_as(1), io.write(0), io.adds(0));
}

pub fn avg_forward<T: Real>(io: &Io<T>, d: &Pool2dDims) {
    avg_forward_slices(d, io.read(0), io.write(0));
}

pub fn avg_grad<T: Real>(io: &Io<T>, d: &Pool2dDims) {
    avg_grad_slices(d, io.read(0), io.write(0), io.adds(0));
}

/// Elements of one image before and after the pool, and images of one task.
struct Sizes {
    image: usize,
    pooled: usize,
    images: usize,
}

impl Sizes {
    fn new(d: &Pool2dDims) -> Self {
        let image = (d.height * d.width) as usize;
        Self { image, pooled: (d.out_height * d.out_width) as usize, images: (TASK / image).max(1) }
    }
}

/// Place in [H, W] of the first element of output pixel `pixel`'s window.
#[inline(always)]
fn window_start(d: &Pool2dDims, pixel: usize) -> usize {
    let (row, column) = (pixel / d.out_width as usize, pixel % d.out_width as usize);
    (row * d.width as usize + column) * d.stride as usize
}

/// The rows of the window that starts at `start`.
#[inline(always)]
fn window_rows<'a, T>(d: &Pool2dDims, image: &'a [T], start: usize) -> impl Iterator<Item = (usize, &'a [T])> {
    let (kernel, width) = (d.kernel as usize, d.width as usize);
    (0..kernel).map(move |i| (start + i * width, &image[start + i * width..][..kernel]))
}

/// y and argmax; the first of equals wins, and not-a-number wins over numbers.
fn max_forward_slices<T: Real>(d: &Pool2dDims, x: &[T], y: &mut [T], argmax: &mut [u32]) {
    let sizes = Sizes::new(d);
    let outputs = y.par_chunks_mut(sizes.images * sizes.pooled);
    let outputs = outputs.zip(argmax.par_chunks_mut(sizes.images * sizes.pooled));
    outputs.zip(x.par_chunks(sizes.images * sizes.image)).for_each(|((y, argmax), x)| {
        let outputs = y.chunks_exact_mut(sizes.pooled).zip(argmax.chunks_exact_mut(sizes.pooled));
        for (image, (y, argmax)) in x.chunks_exact(sizes.image).zip(outputs) {
            for (pixel, (y, argmax)) in y.iter_mut().zip(argmax).enumerate() {
                (*y, *argmax) = window_max(d, image, window_start(d, pixel));
            }
        }
    });
}

#[inline(always)]
fn window_max<T: Real>(d: &Pool2dDims, image: &[T], start: usize) -> (T, u32) {
    let (mut best, mut place) = (image[start], start);
    for (first, row) in window_rows(d, image, start) {
        for (j, &value) in row.iter().enumerate() {
            if value > best || (is_nan(value) && !is_nan(best)) {
                (best, place) = (value, first + j);
            }
        }
    }
    (best, place as u32)
}

/// dx (+)= dy at the maxima.
fn max_grad_slices<T: Real>(d: &Pool2dDims, dy: &[T], argmax: &[u32], dx: &mut [T], add: bool) {
    for_each_gradient(d, dy, dx, add, |image, dy, dx| {
        let argmax = &argmax[image * dy.len()..][..dy.len()];
        for (place, value) in argmax.iter().zip(dy) {
            dx[*place as usize] += *value;
        }
    });
}

/// Elements along one side of the window at `place` of an output: K, or what is left of the input at its end.
#[inline(always)]
fn window_side(d: &Pool2dDims, place: usize, side: u32) -> usize {
    (side as usize - place * d.stride as usize).min(d.kernel as usize)
}

/// One over the elements of each window of a row whose windows have `rows` rows: of those with K columns, and of the last.
fn shares<T: Real>(d: &Pool2dDims, rows: usize) -> (T, T) {
    let last = window_side(d, d.out_width as usize - 1, d.width);
    let share = |columns: usize| T::ONE / T::of((rows * columns) as f64);
    (share(d.kernel as usize), share(last))
}

/// y = mean of the window: the sum of its rows, then of their columns.
fn avg_forward_slices<T: Real>(d: &Pool2dDims, x: &[T], y: &mut [T]) {
    let sizes = Sizes::new(d);
    let (width, stride) = (d.width as usize, d.stride as usize);
    let outputs = y.par_chunks_mut(sizes.images * sizes.pooled);
    outputs.zip(x.par_chunks(sizes.images * sizes.image)).for_each(|(y, x)| {
        with_line(
            d,
            #[inline(always)]
            |line: &mut [T]| {
                for (image, y) in x.chunks_exact(sizes.image).zip(y.chunks_exact_mut(sizes.pooled)) {
                    for (place, y) in y.chunks_exact_mut(d.out_width as usize).enumerate() {
                        let rows = window_side(d, place, d.height);
                        let (first, others) = image[place * stride * width..][..rows * width].split_at(width);
                        line.copy_from_slice(first);
                        for row in others.chunks_exact(width) {
                            line.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
                        }
                        sum_columns(d, line, y);
                        let (share, last_share) = shares::<T>(d, rows);
                        if let Some((last, full)) = y.split_last_mut() {
                            full.iter_mut().for_each(|y| *y *= share);
                            *last *= last_share;
                        }
                    }
                }
            },
        );
    });
}

/// y [W'] = sums over the columns of each window of a line [W].
#[inline(always)]
fn sum_columns<T: Real>(d: &Pool2dDims, line: &[T], y: &mut [T]) {
    let (stride, kernel) = (d.stride as usize, d.kernel as usize);
    if (stride, kernel) == (2, 2) {
        y.iter_mut().zip(line.as_chunks::<2>().0).for_each(|(y, pair)| *y = pair[0] + pair[1]);
        if let ([last], true) = (line.as_chunks::<2>().1, 2 * y.len() > line.len()) {
            y[line.len() / 2] = *last;
        }
        return;
    }
    y.fill(T::ZERO);
    for j in 0..kernel {
        y.iter_mut().zip(line[j..].iter().step_by(stride)).for_each(|(y, &x)| *y += x);
    }
}

/// dx (+)= dy over the number of elements, in each window: one line for all its rows.
fn avg_grad_slices<T: Real>(d: &Pool2dDims, dy: &[T], dx: &mut [T], add: bool) {
    let (width, stride) = (d.width as usize, d.stride as usize);
    for_each_gradient(d, dy, dx, add, |_, dy, dx| {
        with_line(
            d,
            #[inline(always)]
            |line: &mut [T]| {
                for (place, dy) in dy.chunks_exact(d.out_width as usize).enumerate() {
                    let rows = window_side(d, place, d.height);
                    spread_columns(d, dy, shares::<T>(d, rows), line);
                    for dx in dx[place * stride * width..][..rows * width].chunks_exact_mut(width) {
                        dx.iter_mut().zip(&*line).for_each(|(dx, value)| *dx += *value);
                    }
                }
            },
        );
    });
}

/// line [W] = sums of dy [W'] times its share over the windows of each column.
#[inline(always)]
fn spread_columns<T: Real>(d: &Pool2dDims, dy: &[T], (share, last_share): (T, T), line: &mut [T]) {
    let (stride, kernel) = (d.stride as usize, d.kernel as usize);
    let Some((last, full)) = dy.split_last() else { return };
    line.fill(T::ZERO);
    if (stride, kernel) == (2, 2) {
        line.as_chunks_mut::<2>().0.iter_mut().zip(full).for_each(|(pair, &dy)| *pair = [dy * share; 2]);
    } else {
        for j in 0..kernel {
            line[j..].iter_mut().step_by(stride).zip(full).for_each(|(line, &dy)| *line += dy * share);
        }
    }
    line[full.len() * stride..].iter_mut().take(kernel).for_each(|line| *line += *last * last_share);
}

/// Runs `work` with scratch for one row of an image, compiled for the vectors of this processor.
fn with_line<T: Real>(d: &Pool2dDims, mut work: impl FnMut(&mut [T])) {
    with_scratch(d.width as usize, |line: &mut [T]| {
        vectors::dispatch(
            #[inline(always)]
            || work(line),
        );
    });
}

/// Runs `work(image, its dy, its dx)` on all images, with dx zero before unless it is added to.
fn for_each_gradient<T: Real>(
    d: &Pool2dDims,
    dy: &[T],
    dx: &mut [T],
    add: bool,
    work: impl Fn(usize, &[T], &mut [T]) + Sync,
) {
    let sizes = Sizes::new(d);
    let tasks = dx.par_chunks_mut(sizes.images * sizes.image).zip(dy.par_chunks(sizes.images * sizes.pooled));
    tasks.enumerate().for_each(|(task, (dx, dy))| {
        if !add {
            dx.fill(T::ZERO);
        }
        let images = dx.chunks_exact_mut(sizes.image).zip(dy.chunks_exact(sizes.pooled));
        images.enumerate().for_each(|(i, (dx, dy))| work(task * sizes.images + i, dy, dx));
    });
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{close, in_pools, pattern};
    use super::*;

    fn dims([images, height, width, kernel, stride]: [u32; 5]) -> Pool2dDims {
        let out = |size: u32| (size - kernel) / stride + 1;
        let (out_height, out_width) = (out(height), out(width));
        Pool2dDims { images, height, width, kernel, stride, out_height, out_width }
    }

    /// Even cover, overlap, remainder, gaps, one window over all.
    fn shapes() -> Vec<Pool2dDims> {
        let sizes =
            [[3, 4, 6, 2, 2], [65, 7, 9, 3, 2], [2, 5, 8, 2, 2], [1, 9, 9, 2, 3], [5, 3, 3, 3, 1], [2000, 6, 5, 2, 1]];
        sizes.map(dims).to_vec()
    }

    /// Elements of x in each window of the whole array, in row-major order.
    fn windows(d: &Pool2dDims) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        for image in 0..d.images {
            for (p, q) in (0..d.out_height).flat_map(|p| (0..d.out_width).map(move |q| (p, q))) {
                let places =
                    (0..d.kernel * d.kernel).map(|t| (p * d.stride + t / d.kernel, q * d.stride + t % d.kernel));
                found.push(places.map(|(h, w)| ((image * d.height + h) * d.width + w) as usize).collect());
            }
        }
        found
    }

    fn gradients<T: Real>(d: &Pool2dDims, dy: &[T], argmax: &[u32], start: Option<T>) -> [Vec<T>; 2] {
        let dx = vec![start.unwrap_or(T::of(f64::NAN)); (d.images * d.height * d.width) as usize];
        let (mut max, mut mean) = (dx.clone(), dx);
        max_grad_slices(d, dy, argmax, &mut max, start.is_some());
        avg_grad_slices(d, dy, &mut mean, start.is_some());
        [max, mean]
    }

    fn outputs<T: Real>(d: &Pool2dDims, x: &[T], len: usize) -> (Vec<T>, Vec<u32>, Vec<T>) {
        let (mut max, mut argmax, mut mean) = (vec![T::ZERO; len], vec![u32::MAX; len], vec![T::ZERO; len]);
        max_forward_slices(d, x, &mut max, &mut argmax);
        avg_forward_slices(d, x, &mut mean);
        (max, argmax, mean)
    }

    fn check_against_loops<T: Real>(tolerance: f64) {
        for d in &shapes() {
            let image = (d.height * d.width) as usize;
            let (x, windows) = (pattern::<T>(d.images as usize * image, 1), windows(d));
            let dy = pattern::<T>(windows.len(), 2);
            let at = |place: &usize| x[*place].f64();
            let best = windows.iter().map(|w| *w.iter().max_by(|a, b| at(a).total_cmp(&at(b))).expect("a window"));
            let best: Vec<usize> = best.collect();
            let (max, argmax, mean) = outputs(d, &x, dy.len());
            close(&max, &best.iter().map(at).collect::<Vec<_>>(), 0.0, 0.0, "max");
            assert!(argmax.iter().zip(&best).all(|(found, best)| *found as usize == best % image), "argmax");
            let area = f64::from(d.kernel * d.kernel);
            let means: Vec<f64> = windows.iter().map(|w| w.iter().map(at).sum::<f64>() / area).collect();
            close(&mean, &means, 0.0, tolerance, "mean");
            let (mut dmax, mut dmean) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            for ((window, best), dy) in windows.iter().zip(&best).zip(&dy) {
                dmax[*best] += dy.f64();
                window.iter().for_each(|place| dmean[*place] += dy.f64() / area);
            }
            for start in [None, Some(T::of(0.5))] {
                let [max, mean] = gradients(d, &dy, &argmax, start);
                close(&max, &dmax, start.map_or(0.0, T::f64), tolerance, "gradient of max");
                close(&mean, &dmean, start.map_or(0.0, T::f64), tolerance, "gradient of mean");
            }
        }
    }

    #[test]
    fn equals_plain_loops() {
        check_against_loops::<f32>(1e-5);
        check_against_loops::<f64>(1e-12);
    }

    #[test]
    fn first_of_equals_wins_and_not_a_number_stays_visible() {
        let d = dims([1, 2, 4, 2, 2]);
        let (max, argmax, _) = outputs(&d, &[2.0, 2.0, 1.0, f64::NAN, 2.0, 0.0, 9.0, 3.0], 2);
        assert_eq!((max[0], argmax[0], argmax[1]), (2.0, 0, 3));
        assert!(max[1].is_nan());
    }

    #[test]
    fn same_bits_for_any_number_of_threads() {
        for d in &shapes() {
            let x = pattern::<f32>((d.images * d.height * d.width) as usize, 1);
            let dy = pattern::<f32>((d.images * d.out_height * d.out_width) as usize, 2);
            in_pools(|| {
                let (max, argmax, mean) = outputs(d, &x, dy.len());
                [[max, mean].concat(), gradients(d, &dy, &argmax, None).concat()].concat()
            });
        }
    }
}
