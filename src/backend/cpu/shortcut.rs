//! A sum of two images of which the second may have fewer channels, and the second's gradient.

use super::elementwise::store;
use super::{Io, Real};
use crate::call::ShortcutDims;
use rayon::prelude::*;

/// Elements of one task: below this, waking another thread costs more than the work.
const TASK: usize = 1 << 14;

/// Elements of an image of h and of x, place of x in that of h, images of one task.
struct Sizes {
    wide: usize,
    narrow: usize,
    before: usize,
    images: usize,
}

impl Sizes {
    fn new(d: &ShortcutDims) -> Self {
        let [wide, narrow, before] = [d.channels, d.narrow, d.before].map(|channels| (channels * d.inner) as usize);
        Self { wide, narrow, before, images: (TASK / wide).max(1) }
    }
}

/// y = h, with x added to the channels from `before` on.
pub fn forward<T: Real>(io: &Io<T>, d: &ShortcutDims) {
    let sizes = Sizes::new(d);
    let (h, x, y): (&[T], &[T], &mut [T]) = (io.read(0), io.read(1), io.write(0));
    let tasks = y.par_chunks_mut(sizes.images * sizes.wide).zip(h.par_chunks(sizes.images * sizes.wide));
    tasks.zip(x.par_chunks(sizes.images * sizes.narrow)).for_each(|((y, h), x)| {
        y.copy_from_slice(h);
        for (y, x) in y.chunks_exact_mut(sizes.wide).zip(x.chunks_exact(sizes.narrow)) {
            y[sizes.before..].iter_mut().zip(x).for_each(|(y, &x)| *y += x);
        }
    });
}

/// dx (+)= the channels of dy from `before` on.
pub fn grad<T: Real>(io: &Io<T>, d: &ShortcutDims) {
    let (sizes, add) = (Sizes::new(d), io.adds(0));
    let (dy, dx): (&[T], &mut [T]) = (io.read(0), io.write(0));
    let tasks = dx.par_chunks_mut(sizes.images * sizes.narrow).zip(dy.par_chunks(sizes.images * sizes.wide));
    tasks.for_each(|(dx, dy)| {
        for (dx, dy) in dx.chunks_exact_mut(sizes.narrow).zip(dy.chunks_exact(sizes.wide)) {
            dx.iter_mut().zip(&dy[sizes.before..]).for_each(|(dx, &dy)| store(add, dx, dy));
        }
    });
}
