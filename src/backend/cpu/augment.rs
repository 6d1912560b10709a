//! Standardised crops of images.

use super::{Io, Real};
use crate::call::AugmentDims;
use crate::random::{Stream, uniform};
use rayon::prelude::*;

/// Output elements below which one thread is enough.
const PARALLEL_ELEMENTS: usize = 1 << 15;

/// Where an image is cut and how it is changed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct View {
    /// Row and column of the crop's first pixel in the image; negative in the padding.
    top: isize,
    left: isize,
    flip: bool,
    contrast: f64,
}

impl View {
    fn centre(d: &AugmentDims) -> Self {
        let middle = |pixels: u32| ((pixels - d.side) / 2) as isize;
        Self { top: middle(d.height), left: middle(d.width), flip: false, contrast: 1.0 }
    }

    /// The view of row `row`: the four words of its counter give top, left, flip and contrast.
    fn random(d: &AugmentDims, stream: &Stream, row: u32) -> Self {
        let [top, left, flip, contrast] = stream.bits(row);
        let place = |bits: u32, pixels: u32| {
            let places = u64::from(pixels + 2 * d.pad - d.side + 1);
            ((u64::from(bits) * places) >> 32) as isize - d.pad as isize
        };
        Self {
            top: place(top, d.height),
            left: place(left, d.width),
            flip: flip >> 31 == 1,
            contrast: f64::from(d.contrast_low) + f64::from(d.contrast_width) * uniform(contrast),
        }
    }
}

pub fn augment<T: Real>(io: &Io<T>, d: &AugmentDims) {
    rows(d, Stream::of_words(io.read_as(1), d.stream), io.read(0), io.write(0));
}

/// x [N, C, H, W], y [N, C, side, side]
fn rows<T: Real>(d: &AugmentDims, stream: Stream, x: &[T], y: &mut [T]) {
    let (image, crop) = ((d.channels * d.height * d.width) as usize, (d.channels * d.side * d.side) as usize);
    let row = |(row, (x, y)): (usize, (&[T], &mut [T]))| {
        let view = if d.random == 1 { View::random(d, &stream, row as u32) } else { View::centre(d) };
        one(d, view, x, y);
    };
    if y.len() < PARALLEL_ELEMENTS {
        x.chunks_exact(image).zip(y.chunks_exact_mut(crop)).enumerate().for_each(row);
    } else {
        x.par_chunks_exact(image).zip(y.par_chunks_exact_mut(crop)).enumerate().for_each(row);
    }
}

/// One image: the crop v, then z = contrast (v - mean of its channel) + mean of its channel - mean of all,
/// y = z / max(standard deviation of z, 1 / (255 sqrt(elements))).
fn one<T: Real>(d: &AugmentDims, view: View, x: &[T], y: &mut [T]) {
    let (plane, elements) = ((d.side * d.side) as usize, y.len() as f64);
    let mut means = [0.0; AugmentDims::MOST_CHANNELS];
    let planes = x.chunks_exact((d.height * d.width) as usize).zip(y.chunks_exact_mut(plane));
    for ((x, y), mean) in planes.zip(&mut means) {
        cut(d, view, x, y);
        *mean = y.iter().map(|v| v.f64()).sum::<f64>() / plane as f64;
    }
    let mean = means.iter().sum::<f64>() / f64::from(d.channels);
    let mut squares = 0.0;
    for (y, of_channel) in y.chunks_exact_mut(plane).zip(means) {
        for v in y {
            let z = view.contrast * (v.f64() - of_channel) + (of_channel - mean);
            squares += z * z;
            *v = T::of(z);
        }
    }
    let deviation = (squares / elements).sqrt().max(1.0 / (255.0 * elements.sqrt()));
    y.iter_mut().for_each(|v| *v = T::of(v.f64() / deviation));
}

/// The crop of one channel; zeros outside the image.
fn cut<T: Real>(d: &AugmentDims, view: View, x: &[T], y: &mut [T]) {
    let (side, width) = (d.side as usize, d.width as usize);
    for (row, y) in y.chunks_exact_mut(side).enumerate() {
        let row = usize::try_from(row as isize + view.top).ok().filter(|&row| row < d.height as usize);
        let x = row.map_or(&[][..], |row| &x[row * width..(row + 1) * width]);
        let value = |column: usize| {
            let column = usize::try_from(column as isize + view.left).ok();
            column.and_then(|column| x.get(column)).copied().unwrap_or(T::ZERO)
        };
        match view.flip {
            true => y.iter_mut().rev().enumerate().for_each(|(column, y)| *y = value(column)),
            false => y.iter_mut().enumerate().for_each(|(column, y)| *y = value(column)),
        }
    }
}

#[cfg(test)]
mod tests;
