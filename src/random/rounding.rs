//! bf16 numbers that are rounded at random ("stochastic rounding", Gupta, Agrawal, Gopalakrishnan & Narayanan, "Deep learning
//! with limited numerical precision", ICML 2015): up or down with the chances that make the mean exact, so that changes too
//! small to be seen in one step still add up over many.

use super::Stream;
use super::normal::{LANES, interleave, random_words};
use crate::call::Region;

/// Streams that round moments start here: above those of models (below 2^30), of initial values and of drawn images.
const FIRST_STREAM: u32 = 3 << 30;

/// Sign bit.
const SIGN: u32 = 0x8000_0000;
/// Bits of infinity.
const INFINITY: u32 = 0x7f80_0000;
/// Bits of the largest finite bf16.
const LARGEST: u32 = 0x7f7f_0000;

/// Number of the stream that rounds the moments of the weights in a region: one for each buffer of weights. Element i of the
/// buffer takes lane i % 4 of counter i / 4: its first moment the lower half of the word, its second the upper half.
pub fn moment_stream(weights: &Region) -> u32 {
    FIRST_STREAM + weights.buffer.index as u32
}

/// The value of a bf16.
#[inline(always)]
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// One of the two bf16 next to `x`, the upper one for (x - lower) / (upper - lower) of all 2^16 values of `random`. A bf16 is
/// itself. Beyond the largest finite one the nearest decides, infinity from the middle to the power of two on; what is not a
/// number stays none.
#[inline(always)]
pub fn round_at_random(x: f32, random: u16) -> u16 {
    let bits = x.to_bits();
    let size = bits & !SIGN;
    let random = if size < LARGEST { u32::from(random) } else { 0x8000 };
    // Not a number: quiet, so that cutting the fraction cannot make an infinity of it.
    let rounded = if size > INFINITY { bits | 0x0040_0000 } else { bits.wrapping_add(random) };
    (rounded >> 16) as u16
}

impl Stream {
    /// Random words of elements first, first + 1, ... Call it inside a SIMD-dispatched loop.
    #[inline(always)]
    pub fn words(&self, first: u64, out: &mut [u32]) {
        let (block, phase) = ((first / 4) as u32, (first % 4) as usize);
        let (head, rest) = out.split_at_mut(if phase == 0 { 0 } else { out.len().min(4 - phase) });
        if phase > 0 {
            head.copy_from_slice(&self.bits(block)[phase..][..head.len()]);
        }
        let block = block.wrapping_add(u32::from(phase > 0));
        let mut bits = [[0; LANES]; 4];
        for (i, out) in rest.chunks_mut(4 * LANES).enumerate() {
            let counters = out.len().div_ceil(4).next_multiple_of(8);
            random_words(self, block.wrapping_add((i * LANES) as u32), counters, &mut bits);
            interleave(&bits, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Both neighbours of a finite number among the bf16, the lower one in size first.
    fn neighbours(x: f32) -> [f32; 2] {
        let down = x.to_bits() & 0xffff_0000;
        [f32::from_bits(down), f32::from_bits(if down == x.to_bits() { down } else { down + 0x1_0000 })]
    }

    proptest! {
        #[test]
        fn a_bf16_is_itself(bits in any::<u16>(), random in any::<u16>()) {
            let found = round_at_random(from_bf16(bits), random);
            if from_bf16(bits).is_nan() {
                prop_assert!(from_bf16(found).is_nan());
            } else {
                prop_assert_eq!(found, bits);
            }
        }

        #[test]
        fn others_become_a_neighbour_and_more_so_the_larger_the_random_number(
            bits in any::<u32>(),
            random in any::<[u16; 2]>(),
        ) {
            let x = f32::from_bits(bits);
            prop_assume!(x.is_finite());
            let [low, high] = neighbours(x);
            let [small, large] = if random[0] <= random[1] { random } else { [random[1], random[0]] };
            let [first, second] = [small, large].map(|random| from_bf16(round_at_random(x, random)));
            prop_assert!([low, high].contains(&first) && [low, high].contains(&second), "{:e}: {:e} {:e}", x, first, second);
            prop_assert!(first.abs() <= second.abs());
        }

        /// The mean over all random numbers is the number itself, exactly: both sides are multiples of 2^-16 units.
        #[test]
        fn the_mean_is_the_number(bits in any::<u32>()) {
            let x = f32::from_bits(bits);
            prop_assume!(x.abs() < from_bf16(0x7f7f));
            let [low, high] = neighbours(x).map(f64::from);
            let up = (0..=u16::MAX).filter(|&random| f64::from(from_bf16(round_at_random(x, random))) == high).count();
            let up = if low == high { 0 } else { up };
            prop_assert_eq!(low + (high - low) * (up as f64 / 65536.0), f64::from(x));
        }

        #[test]
        fn not_a_number_stays_none(fraction in 1u32..0x80_0000, negative in any::<bool>(), random in any::<u16>()) {
            let x = f32::from_bits(INFINITY | fraction | if negative { SIGN } else { 0 });
            prop_assert!(from_bf16(round_at_random(x, random)).is_nan());
        }

        #[test]
        fn words_are_the_lanes_of_their_counters(first in 0u64..1 << 34, len in 0usize..600) {
            let stream = Stream { key: [1, 2], stream: FIRST_STREAM + 3, step: 4 };
            let mut words = vec![0; len];
            stream.words(first, &mut words);
            for (i, word) in (first..).zip(words) {
                prop_assert_eq!(word, stream.bits((i / 4) as u32)[(i % 4) as usize]);
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_round_to_the_nearest() {
        let middle = f32::from_bits(0x7f7f_8000);
        for random in [0, 1, 0x7fff, 0x8000, u16::MAX] {
            for (x, expected) in [
                (f32::INFINITY, 0x7f80),
                (f32::MAX, 0x7f80),
                (middle, 0x7f80),
                (f32::from_bits(middle.to_bits() - 1), 0x7f7f),
                (f32::from_bits(LARGEST), 0x7f7f),
                (0.0, 0),
            ] {
                assert_eq!(round_at_random(x, random), expected, "{x:e} {random:#x}");
                assert_eq!(round_at_random(-x, random), expected | 0x8000, "{:e} {random:#x}", -x);
            }
        }
    }

    /// With the words of a stream, as moments are rounded: the mean of 2^16 roundings lies within five of its standard
    /// deviations, and both halves of a word are fair.
    #[test]
    fn the_mean_of_many_roundings_is_the_number() {
        let count = 1 << 16;
        let stream = Stream { key: [20_171_103, 0], stream: FIRST_STREAM, step: 1 };
        let mut words = vec![0; count];
        stream.words(0, &mut words);
        for x in [0.1f32, -1e-3, 3.3e-20, 1.0 + 1.0 / 65536.0] {
            let [low, high] = neighbours(x).map(f64::from);
            let share = (f64::from(x) - low) / (high - low);
            let deviation = (share * (1.0 - share) / count as f64).sqrt();
            for shift in [0, 16] {
                let rounded = words.iter().map(|word| f64::from(from_bf16(round_at_random(x, (word >> shift) as u16))));
                let mean = (rounded.sum::<f64>() / count as f64 - low) / (high - low);
                assert!((mean - share).abs() <= 5.0 * deviation, "{x:e}, half {shift}: {mean} of {share}");
            }
        }
    }
}
