//! Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011). Any element of any stream at any step is a pure function of (seed, step, stream, index), so that a backward
//! pass regenerates the noise of its forward pass and a result does not depend on how the work was split.

mod normal;
mod permute;
mod rounding;

pub use permute::permute;
pub use rounding::{from_bf16, moment_stream, round_at_random};

use crate::call::word;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Golden ratio and sqrt(3) - 1: the key's increments from round to round.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// One value of 2^-24, the spacing of the uniform numbers.
const SPACING: f64 = 1.0 / 16_777_216.0;

/// Four random words of a counter and a key.
#[inline(always)]
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c0);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c2);
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// A number in (0, 1), one of 2^24 equally spaced ones, from 32 random bits.
#[inline(always)]
pub fn uniform(bits: u32) -> f64 {
    (f64::from(bits >> 8) + 0.5) * SPACING
}

/// As [`uniform`], rounded to f32 and kept below 1.
#[inline(always)]
pub fn uniform_f32(bits: u32) -> f32 {
    let below_one = 1.0 - 0.5 * f32::EPSILON;
    (((bits >> 8) as i32 as f32 + 0.5) * SPACING as f32).min(below_one)
}

/// Fourth counter word of the keys of subsets; noise has 0 there, batches 1.
const SUBSET: u32 = 2;

/// Key of the permutation whose first elements are a step's random subset.
pub fn subset_key(seed: [u32; 2], step: u32, stream: u32) -> [u32; 2] {
    let [low, high, ..] = philox4x32_10([step, stream, 0, SUBSET], seed);
    [low, high]
}

/// One random stream at one step. Element i is lane i % 4 of counter [i / 4, stream, step, 0].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The seed, low and high half.
    pub key: [u32; 2],
    pub stream: u32,
    pub step: u32,
}

impl Stream {
    /// The stream `stream` at the step and with the seed that stand in the step words (see [`word`]).
    pub fn of_words(words: &[u32], stream: u32) -> Self {
        Self { key: [words[word::SEED_LOW], words[word::SEED_HIGH]], stream, step: words[word::STEP] }
    }

    /// Random words of elements 4 * block to 4 * block + 3.
    #[inline(always)]
    pub fn bits(&self, block: u32) -> [u32; 4] {
        philox4x32_10([block, self.stream, self.step, 0], self.key)
    }

    /// Elements first, first + 1, ... of N(0, 1). Lanes 0 and 1 of a counter give two normals by Box-Muller,
    /// sqrt(-2 ln u0) times cos and sin of 2 pi u1, lanes 2 and 3 two more. Error of a few units in the last place.
    pub fn normals_f32(&self, first: u64, out: &mut [f32]) {
        from_element(first, out, |block, out| normal::fill(self, block, out));
    }

    /// As [`normals_f32`](Self::normals_f32) of the same random words, with the functions of the standard library.
    pub fn normals_f64(&self, first: u64, out: &mut [f64]) {
        from_element(first, out, |block, out| self.fill(block, out, normal_quad));
    }

    /// Elements first, first + 1, ... of U(0, 1).
    pub fn uniforms_f32(&self, first: u64, out: &mut [f32]) {
        from_element(first, out, |block, out| self.fill(block, out, |bits| bits.map(uniform_f32)));
    }

    /// Elements first, first + 1, ... of U(0, 1).
    pub fn uniforms_f64(&self, first: u64, out: &mut [f64]) {
        from_element(first, out, |block, out| self.fill(block, out, |bits| bits.map(uniform)));
    }

    /// `a` where the uniform number of an element is below `share`, else `b`, for the elements from lane 0 of counter `block` on. For
    /// callers that dispatch to SIMD code themselves.
    #[inline(always)]
    pub fn choose<T: Copy>(&self, block: u32, share: f32, [a, b]: [T; 2], out: &mut [T]) {
        let (mut bits, mut chosen) = ([[0u32; normal::LANES]; 4], [[a; normal::LANES]; 4]);
        for (i, out) in out.chunks_mut(4 * normal::LANES).enumerate() {
            let counters = out.len().div_ceil(4).next_multiple_of(8);
            normal::random_words(self, block.wrapping_add((i * normal::LANES) as u32), counters, &mut bits);
            for (chosen, bits) in chosen.iter_mut().zip(&bits) {
                for (chosen, &bits) in chosen[..counters].iter_mut().zip(&bits[..counters]) {
                    *chosen = if uniform_f32(bits) < share { a } else { b };
                }
            }
            normal::interleave(&chosen, out);
        }
    }

    /// Fills `out` from counter `block` on, four elements a counter.
    fn fill<T: Copy>(&self, block: u32, out: &mut [T], quad: impl Fn([u32; 4]) -> [T; 4]) {
        for (i, out) in out.chunks_mut(4).enumerate() {
            let values = quad(self.bits(block.wrapping_add(i as u32)));
            out.copy_from_slice(&values[..out.len()]);
        }
    }
}

/// Calls `fill` with a counter and the elements from its first lane on, for a range that may start at any lane.
fn from_element<T: Copy + Default>(first: u64, out: &mut [T], fill: impl Fn(u32, &mut [T])) {
    let (block, phase) = ((first / 4) as u32, (first % 4) as usize);
    if phase == 0 {
        return fill(block, out);
    }
    let mut quad = [T::default(); 4];
    fill(block, &mut quad);
    let (head, rest) = out.split_at_mut(out.len().min(4 - phase));
    head.copy_from_slice(&quad[phase..phase + head.len()]);
    if !rest.is_empty() {
        fill(block.wrapping_add(1), rest);
    }
}

/// Box-Muller in f64.
fn normal_quad(bits: [u32; 4]) -> [f64; 4] {
    let pair = |a: u32, b: u32| {
        let radius = (-2.0 * uniform(a).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * uniform(b)).sin_cos();
        [radius * cos, radius * sin]
    };
    let ([n0, n1], [n2, n3]) = (pair(bits[0], bits[1]), pair(bits[2], bits[3]));
    [n0, n1, n2, n3]
}

#[cfg(test)]
mod tests;
