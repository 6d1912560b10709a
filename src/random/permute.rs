//! A pseudo-random permutation that needs no table.

use super::{MULTIPLIERS, ROUNDS, WEYL};

/// With fewer bits the network reaches only some of the permutations.
const MIN_BITS: u32 = 8;

/// Where element `i` of 0..n goes in the permutation that `key` names; `i` must be below `n`.
///
/// A Feistel network over the smallest even number of bits that holds n, walked along its cycle until the value falls below
/// n again (Black & Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
pub fn permute(key: [u32; 2], n: u32, i: u32) -> u32 {
    assert!(i < n, "element {i} of a permutation of {n}");
    let bits = (u32::BITS - (n - 1).leading_zeros()).max(MIN_BITS);
    let half = bits.div_ceil(2);
    let mut value = feistel(key, half, i);
    while value >= n {
        value = feistel(key, half, value);
    }
    value
}

/// A bijection of 0..4^half, with the multiply-and-xor round of Philox 2x32.
fn feistel(key: [u32; 2], half: u32, value: u32) -> u32 {
    let mask = (1 << half) - 1;
    let (mut left, mut right) = (value >> half, value & mask);
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let product = u64::from(MULTIPLIERS[0]) * u64::from(right ^ k0);
        let mixed = (product >> 32) as u32 ^ product as u32 ^ k1;
        (left, right) = (right, left ^ (mixed & mask));
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    left << half | right
}
