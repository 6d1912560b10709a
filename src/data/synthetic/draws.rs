//! A short stream of random numbers per image, in exact arithmetic: the same bits on every platform.

use crate::random::philox4x32_10;

/// Random numbers of one (seed, stream, index): a counter of Philox 4x32-10, nothing else.
pub(super) struct Draws {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl Draws {
    /// Counter words: index (two), stream, running block; the key is the seed.
    pub(super) fn new(seed: u64, stream: u32, index: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [index as u32, (index >> 32) as u32, stream, 0],
            words: [0; 4],
            used: 4,
        }
    }

    /// The next 32 uniform bits.
    pub(super) fn word(&mut self) -> u32 {
        if self.used == self.words.len() {
            self.words = philox4x32_10(self.counter, self.key);
            self.counter[3] = self.counter[3].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform in [0, 1), 24 bits: exact in f32.
    pub(super) fn uniform(&mut self) -> f32 {
        (self.word() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in [low, high).
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Mean 0, variance 1, within 3.5, in steps of 0.007: a sum of four bytes, because exp, ln and cos differ
    /// by platform.
    pub(super) fn bell(&mut self) -> f32 {
        let sum: u16 = self.word().to_ne_bytes().into_iter().map(u16::from).sum();
        // Four uniform bytes: mean 4 * 127.5, variance 4 * (256^2 - 1) / 12.
        (f32::from(sum) - 510.0) / 147.800_54
    }

    /// Uniform integer below `count` (bias below 2^-32 * count).
    pub(super) fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.word()) * count as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let mut draws = Draws::new(7, 0, 0);
        let count = 20_000;
        let bells: Vec<f32> = (0..count).map(|_| draws.bell()).collect();
        let mean = bells.iter().sum::<f32>() / count as f32;
        let variance = bells.iter().map(|x| x * x).sum::<f32>() / count as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!((0..1000).all(|_| draws.below(3) < 3));
    }

    #[test]
    fn each_part_of_the_address_counts() {
        let first = |seed, stream, index| Draws::new(seed, stream, index).word();
        let words = [
            first(1, 0, 0),
            first(1 << 32, 0, 0),
            first(0, 1, 0),
            first(0, 0, 1),
            first(0, 0, 1 << 32),
            first(0, 0, 0),
        ];
        for (i, word) in words.iter().enumerate() {
            assert!(!words[..i].contains(word), "address {i} repeats");
        }
    }
}
