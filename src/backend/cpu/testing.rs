//! What the unit tests of the kernels share.

use super::Real;
use crate::random::{Stream, round_at_random};

/// Numbers in [-0.5, 0.5) that look random, the same for the same seed.
pub fn numbers<T: Real>(len: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        T::of((state >> 40) as f64 / (1u64 << 24) as f64 - 0.5)
    };
    (0..len).map(|_| next()).collect()
}

/// Fails unless every element agrees with the reference within `tolerance` of the reference's largest element.
pub fn assert_close<T: Real>(what: &str, got: &[T], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |largest, e| largest.max(e.abs()));
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let close = (g.f64() - e).abs() <= tolerance * largest;
        assert!(close, "{what}: element {i} is {g:?}, expected {e:?} within {tolerance:e} of {largest:e}");
    }
}

/// Relative tolerance for sums in T.
pub fn tolerance<T>() -> f64 {
    if size_of::<T>() == 4 { 1e-5 } else { 1e-12 }
}

/// What `work` returns in pools of 1, 2 and 3 threads; fails unless all are the same.
pub fn same_for_any_threads<R: PartialEq + std::fmt::Debug + Send>(work: impl Fn() -> R + Sync) -> R {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(&work)
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3), "results depend on the number of threads");
    one
}

/// The stream that rounds moments in tests.
pub const ROUNDING: Stream = Stream { key: [1, 2], stream: 3, step: 4 };

/// Moments that stand from place `first` of their buffer on, rounded with the halves of the words above bit `shift`.
pub fn rounded<T: Real>(moments: &[T], first: usize, shift: u32) -> Vec<u16> {
    let word = |place: usize| ROUNDING.bits((place / 4) as u32)[place % 4];
    let round = |(place, value): (usize, &T)| round_at_random(value.f64() as f32, (word(place) >> shift) as u16);
    (first..).zip(moments).map(round).collect()
}
