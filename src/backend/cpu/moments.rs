//! How moments are stored: in the arithmetic's own type, or as bf16 that is rounded at random (`random::round_at_random`).

use super::update_rule::Rule;
use super::{Io, Real};
use crate::random::{Stream, from_bf16, moment_stream, round_at_random};
use bytemuck::Pod;

/// Elements that are unpacked, updated and rounded at once.
const PIECE: usize = 128;

/// The storage of moments.
pub trait Format<T>: Sync {
    type Element: Pod + Send + Sync;

    /// One step of `rule` on the parameters w with the gradient g and M stored moments, all from element `first` of the
    /// call's regions on.
    fn step_all<const M: usize>(
        &self,
        rule: &impl Rule<T, M>,
        first: usize,
        w: &mut [T],
        moments: [&mut [Self::Element]; M],
        g: &[T],
    );
}

/// As they are computed.
pub struct Plain;

impl<T: Real> Format<T> for Plain {
    type Element = T;

    #[inline(always)]
    fn step_all<const M: usize>(
        &self,
        rule: &impl Rule<T, M>,
        _first: usize,
        w: &mut [T],
        moments: [&mut [T]; M],
        g: &[T],
    ) {
        rule.step_all(w, moments, g);
    }
}

/// As bf16. The parameter is updated with the moments as they are before they are rounded.
pub struct Bf16 {
    stream: Stream,
    /// Place of the regions' first element in the buffer of weights.
    first: u64,
}

impl Bf16 {
    /// The format of a call whose step words are read region `words`, and whose first written region is the weights.
    pub fn of_call<T: Real>(io: &Io<T>, words: usize) -> Self {
        let weights = io.written(0);
        Self::new(Stream::of_words(io.read_as(words), moment_stream(weights)), weights.offset)
    }

    /// The format of weights from place `first` of their buffer on.
    pub fn new(stream: Stream, first: usize) -> Self {
        Self { stream, first: first as u64 }
    }
}

impl<T: Real> Format<T> for Bf16 {
    type Element = u16;

    #[inline(always)]
    fn step_all<const M: usize>(
        &self,
        rule: &impl Rule<T, M>,
        first: usize,
        w: &mut [T],
        mut moments: [&mut [u16]; M],
        g: &[T],
    ) {
        let mut words = [0; PIECE];
        let mut unpacked = [[T::ZERO; PIECE]; M];
        for (piece, (w, g)) in w.chunks_mut(PIECE).zip(g.chunks(PIECE)).enumerate() {
            let (start, len) = (piece * PIECE, w.len());
            let words = &mut words[..len];
            self.stream.words(self.first + (first + start) as u64, words);
            for (values, stored) in unpacked.iter_mut().zip(&moments) {
                let stored = &stored[start..start + len];
                values.iter_mut().zip(stored).for_each(|(value, &bits)| *value = T::of(from_bf16(bits).into()));
            }
            rule.step_all(w, unpacked.each_mut().map(|values| &mut values[..len]), g);
            for (index, (values, stored)) in unpacked.iter().zip(&mut moments).enumerate() {
                // The last moment, which every rule has, takes the upper halves.
                let shift = 16 * (2 + index - M);
                let stored = &mut stored[start..start + len];
                for ((bits, value), word) in stored.iter_mut().zip(values).zip(words.iter()) {
                    *bits = round_at_random(value.f64() as f32, (word >> shift) as u16);
                }
            }
        }
    }
}
