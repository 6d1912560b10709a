//! A random subset of the weights.

use super::{Io, Real};
use crate::call::{SubsetDims, word};
use crate::random::{permute, subset_key};
use rayon::prelude::*;

/// The place of each chosen element that lies in this part, and its number among the chosen.
fn places(d: &SubsetDims, words: &[u32]) -> impl Iterator<Item = (usize, usize)> {
    let key = subset_key([words[word::SEED_LOW], words[word::SEED_HIGH]], words[word::STEP], d.stream);
    let d = *d;
    (0..d.chosen).filter_map(move |number| {
        let place = permute(key, d.total, number).wrapping_sub(d.first);
        (place < d.weights).then_some((number as usize, place as usize))
    })
}

/// y[s, number] (+)= w[s, place]; 0 where another part has the element.
pub fn forward<T: Real>(io: &Io<T>, d: &SubsetDims) {
    let (w, y) = (io.strided(0), io.write(0));
    if !io.adds(0) {
        y.fill(T::ZERO);
    }
    for (number, place) in places(d, io.read_as(1)) {
        for (s, y) in y.chunks_exact_mut(d.chosen as usize).enumerate() {
            y[number] += w.block(s)[place];
        }
    }
}

/// dw[s, place] (+)= dy[s, number], 0 elsewhere
pub fn grad<T: Real>(io: &Io<T>, d: &SubsetDims) {
    let (dy, words, add) = (io.read(0), io.read_as(1), io.adds(0));
    let of_sample = |(dw, dy): (&mut [T], &[T])| {
        if !add {
            dw.fill(T::ZERO);
        }
        for (number, place) in places(d, words) {
            dw[place] += dy[number];
        }
    };
    io.strided_mut::<T>(0).par_blocks().zip(dy.par_chunks_exact(d.chosen as usize)).for_each(of_sample);
}
