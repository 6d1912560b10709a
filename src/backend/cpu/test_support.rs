//! What the kernel tests share: reproducible numbers, a NaN-proof comparison, and pools of several thread counts.

use super::Real;

/// Reproducible numbers in [-1, 1) without a pattern that a shifted index would repeat.
pub fn pattern<T: Real>(len: usize, seed: u64) -> Vec<T> {
    let value = |i: u64| {
        let mixed = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    };
    (0..len as u64).map(|i| T::of(value(i))).collect()
}

/// Fails unless found = expected + shift within `tolerance` of the largest expected element.
pub fn close<T: Real>(found: &[T], expected: &[f64], shift: f64, tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: number of elements");
    let largest = expected.iter().fold(1.0f64, |most, value| most.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let (found, expected) = (found.f64(), expected + shift);
        assert!((found - expected).abs() <= tolerance * largest, "{what}[{i}]: expected {expected}, found {found}");
    }
}

/// Fails unless `work` gives the same bits on 1, 2 and 3 threads.
pub fn in_pools(work: impl Fn() -> Vec<f32> + Sync) {
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(&work).into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let one = bits(1);
    assert!(!one.is_empty());
    assert!(one == bits(2) && one == bits(3), "bits depend on the number of threads");
}
