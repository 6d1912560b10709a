//! Elements kept at random.

use super::{Io, Real};
use crate::call::DropoutDims;
use crate::random::Stream;
use crate::vectors;
use rayon::prelude::*;

/// Elements of one parallel chunk; a multiple of the four lanes of a counter.
const CHUNK: usize = 1 << 13;
/// Elements whose mask is drawn at once.
const BLOCK: usize = 256;

/// y = x / keep where the element's uniform number is below keep, else 0.
pub fn dropout<T: Real>(io: &Io<T>, d: &DropoutDims) {
    let stream = Stream::of_words(io.read_as(1), d.stream);
    let (x, y, add) = (io.read(0), io.write(0), io.adds(0));
    let run = |(chunk, (y, x)): (usize, (&mut [T], &[T]))| {
        vectors::dispatch(
            #[inline(always)]
            || masked(d.keep, &stream, (chunk * CHUNK / 4) as u32, (x, y), add),
        );
    };
    if y.len() <= CHUNK {
        y.chunks_mut(CHUNK).zip(x.chunks(CHUNK)).enumerate().for_each(run);
    } else {
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(run);
    }
}

/// A chunk whose first element is lane 0 of counter `first`.
#[inline(always)]
fn masked<T: Real>(keep: f32, stream: &Stream, first: u32, (x, y): (&[T], &mut [T]), add: bool) {
    let factors = [T::ONE / T::of(keep.into()), T::ZERO];
    let mut mask = [T::ZERO; BLOCK];
    for (block, (y, x)) in y.chunks_mut(BLOCK).zip(x.chunks(BLOCK)).enumerate() {
        stream.choose(first + (block * BLOCK / 4) as u32, keep, factors, &mut mask[..x.len()]);
        for ((y, &x), &mask) in y.iter_mut().zip(x).zip(&mask) {
            *y = if add { *y + mask * x } else { mask * x };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_their_share_and_do_not_depend_on_where_they_start() {
        let n = 3 * CHUNK + 17;
        let (x, stream) = (vec![2f32; n], Stream { key: [1, 2], stream: 3, step: 4 });
        let mut y = vec![1f32; n];
        masked(0.25, &stream, 0, (&x, &mut y), false);
        let kept = y.iter().filter(|&&y| y == 8.0).count();
        assert_eq!(kept + y.iter().filter(|&&y| y == 0.0).count(), n);
        let expected = 0.25 * n as f64;
        assert!((kept as f64 - expected).abs() < 5.0 * (0.75 * expected).sqrt(), "{kept} of {n}");
        let mut later = vec![0f32; n - 4 * 100];
        masked(0.25, &stream, 100, (&x[400..], &mut later), false);
        assert_eq!(later, y[400..]);
        let mut added = vec![1f32; n];
        masked(0.25, &stream, 0, (&x, &mut added), true);
        assert!(added.iter().zip(&y).all(|(added, y)| *added == y + 1.0));
    }
}
