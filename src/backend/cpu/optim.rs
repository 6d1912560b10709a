//! Optimiser steps over flat ranges of parameters.

use super::moments::{Bf16, Format, Plain};
use super::update_rule::{Adam, RmsProp, Rule, halves};
use super::{Io, Real};
use crate::call::{Moments, Optimizer};
use crate::vectors;
use rayon::prelude::*;

/// Elements of one parallel chunk.
const CHUNK: usize = 1 << 14;

pub fn step<T: Real>(io: &Io<T>, optimizer: Optimizer) {
    match optimizer.moments() {
        Moments::Fp32 => with_format(io, optimizer, &Plain),
        Moments::Bf16 => with_format(io, optimizer, &Bf16::of_call(io, 2)),
    }
}

fn with_format<T: Real, F: Format<T>>(io: &Io<T>, optimizer: Optimizer, format: &F) {
    let (g, scalars, w) = (io.read(0), io.read(1), io.write(0));
    if let Some(rule) = Adam::new(optimizer, scalars) {
        Range { first: 0, g, w, moments: [io.write_as(1), io.write_as(2)] }.step(format, &rule);
    } else if let Some(rule) = RmsProp::new(optimizer, scalars) {
        Range { first: 0, g, w, moments: [io.write_as(1)] }.step(format, &rule);
    }
}

/// Parameters from `first` of the call's regions on, with their gradients and moments.
struct Range<'a, T, E, const M: usize> {
    first: usize,
    g: &'a [T],
    w: &'a mut [T],
    moments: [&'a mut [E]; M],
}

impl<T: Real, E: Send, const M: usize> Range<'_, T, E, M> {
    /// Halves the range until one chunk is left, which this thread computes.
    fn step<F: Format<T, Element = E>>(self, format: &F, rule: &impl Rule<T, M>) {
        let Self { first, g, w, mut moments } = self;
        if w.len() <= CHUNK {
            return vectors::dispatch(
                #[inline(always)]
                || format.step_all(rule, first, w, moments.each_mut().map(|moment| &mut **moment), g),
            );
        }
        let middle = w.len().div_ceil(CHUNK) / 2 * CHUNK;
        let (low_g, high_g) = g.split_at(middle);
        let (low_w, high_w) = w.split_at_mut(middle);
        let (low, high) = halves(moments, middle);
        let low = Range { first, g: low_g, w: low_w, moments: low };
        let high = Range { first: first + middle, g: high_g, w: high_w, moments: high };
        rayon::join(|| low.step(format, rule), || high.step(format, rule));
    }
}

pub fn clip_by_value<T: Real>(io: &Io<T>, bound: f32) {
    clip(T::of(bound.into()), io.write(0));
}

/// Clips to [-bound, bound] in place; NaN stays NaN.
fn clip<T: Real>(bound: T, g: &mut [T]) {
    let one = |g: T| {
        if g > bound {
            bound
        } else if g < -bound {
            -bound
        } else {
            g
        }
    };
    let run = |g: &mut [T]| {
        vectors::dispatch(
            #[inline(always)]
            || g.iter_mut().for_each(|g| *g = one(*g)),
        )
    };
    if g.len() <= CHUNK {
        return run(g);
    }
    g.par_chunks_mut(CHUNK).for_each(run);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ROUNDING, rounded};
    use super::*;
    use crate::random::{Stream, from_bf16};

    fn wave(n: usize, phase: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * 0.37 + phase).sin()).collect()
    }

    fn narrow(x: &[f64]) -> Vec<f32> {
        x.iter().map(|&x| x as f32).collect()
    }

    #[test]
    fn adam_follows_its_algorithm_for_three_steps() {
        for n in [1, 17, 2 * CHUNK + 3] {
            let (mut w, mut m, mut v) = (wave(n, 0.0), vec![0.0; n], vec![0.0; n]);
            let (mut w32, mut m32, mut v32) = (narrow(&w), vec![0f32; n], vec![0f32; n]);
            let (mut expected, mut em, mut ev) = (w.clone(), vec![0.0; n], vec![0.0; n]);
            for t in 1..=3 {
                let g = wave(n, f64::from(t));
                let (c1, c2) = (1.0 - 0.9f64.powi(t), 1.0 - 0.999f64.powi(t));
                for i in 0..n {
                    em[i] = 0.9 * em[i] + 0.1 * g[i];
                    ev[i] = 0.999 * ev[i] + 0.001 * g[i] * g[i];
                    expected[i] -= 0.01 * (em[i] / c1) / ((ev[i] / c2).sqrt() + 1e-5);
                }
                let (beta1, beta2, epsilon, learning_rate) = (0.9, 0.999, 1e-5, 0.01);
                let rule = Adam { beta1, beta2, epsilon, learning_rate, correction1: c1, correction2: c2 };
                Range { first: 0, g: &g, w: &mut w, moments: [&mut m, &mut v] }.step(&Plain, &rule);
                let (beta1, beta2, epsilon, learning_rate) = (0.9, 0.999, 1e-5, 0.01);
                let rule =
                    Adam { beta1, beta2, epsilon, learning_rate, correction1: c1 as f32, correction2: c2 as f32 };
                let g = narrow(&g);
                Range { first: 0, g: &g, w: &mut w32, moments: [&mut m32, &mut v32] }.step(&Plain, &rule);
            }
            for i in 0..n {
                assert!((w[i] - expected[i]).abs() <= 1e-12, "f64 {i} of {n}: {} {}", w[i], expected[i]);
                assert!((f64::from(w32[i]) - expected[i]).abs() <= 1e-5, "f32 {i} of {n}");
                assert!((m[i] - em[i]).abs() <= 1e-12 && (v[i] - ev[i]).abs() <= 1e-12, "moments {i} of {n}");
            }
        }
    }

    #[test]
    fn rms_prop_follows_its_rule_for_two_steps() {
        for n in [1, 33, 2 * CHUNK + 3] {
            let (mut w, mut v) = (wave(n, 0.0), vec![1.0; n]);
            let (mut expected, mut ev) = (w.clone(), v.clone());
            for t in 1..=2 {
                let g = wave(n, f64::from(t));
                for i in 0..n {
                    ev[i] = 0.9 * ev[i] + 0.1 * g[i] * g[i];
                    expected[i] -= 0.01 * g[i] / (ev[i] + 1e-5).sqrt();
                }
                let rule = RmsProp { decay: 0.9, epsilon: 1e-5, learning_rate: 0.01 };
                Range { first: 0, g: &g, w: &mut w, moments: [&mut v] }.step(&Plain, &rule);
            }
            for i in 0..n {
                assert!((w[i] - expected[i]).abs() <= 1e-12 && (v[i] - ev[i]).abs() <= 1e-12, "{i} of {n}");
            }
        }
    }

    /// From any place of the buffer on, in one chunk or several, the moments are those of the same step, rounded.
    #[test]
    fn bf16_moments_are_those_of_the_same_step_rounded() {
        for (n, first) in [(1, 3), (130, 0), (2 * CHUNK + 3, 16), (3 * CHUNK, 5)] {
            let g = narrow(&wave(n, 1.0));
            let [m, v] = [rounded(&narrow(&wave(n, 2.0)), 0, 0), rounded(&vec![0.3f32; n], 0, 16)];
            let values = |bits: &[u16]| -> Vec<f32> { bits.iter().map(|&bits| from_bf16(bits)).collect() };
            let rule = Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-5,
                learning_rate: 0.01,
                correction1: 0.1f32,
                correction2: 0.001,
            };
            let (mut w, mut plain_m, mut plain_v) = (narrow(&wave(n, 0.0)), values(&m), values(&v));
            let mut rounded_w = w.clone();
            Range { first: 0, g: &g, w: &mut w, moments: [&mut plain_m, &mut plain_v] }.step(&Plain, &rule);
            let (mut m, mut v) = (m, v);
            let format = Bf16::new(ROUNDING, first);
            Range { first: 0, g: &g, w: &mut rounded_w, moments: [&mut m, &mut v] }.step(&format, &rule);
            assert!(w == rounded_w, "{n}: weights are updated with moments before rounding");
            assert!(m == rounded(&plain_m, first, 0) && v == rounded(&plain_v, first, 16), "{n} from {first}");
        }
    }

    /// Of equal gradients a step adds a thousandth of the distance to 1, soon less than half the distance between two bf16:
    /// rounding to the nearest would stop at 1/4.
    #[test]
    fn bf16_second_moments_rise_to_their_limit() {
        const ELEMENTS: usize = 512;
        const STEPS: u32 = 3000;
        let (g, mut w, mut m, mut v) = ([1f32; ELEMENTS], [0f32; ELEMENTS], [0; ELEMENTS], [0; ELEMENTS]);
        let (correction1, correction2) = (1.0, 1.0);
        let rule = Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, learning_rate: 0.0, correction1, correction2 };
        for step in 1..=STEPS {
            let format = Bf16::new(Stream { step, ..ROUNDING }, 0);
            Range { first: 0, g: &g, w: &mut w, moments: [&mut m, &mut v] }.step(&format, &rule);
        }
        let mean = |bits: &[u16]| bits.iter().map(|&bits| f64::from(from_bf16(bits))).sum::<f64>() / ELEMENTS as f64;
        let limit = 1.0 - 0.999f64.powi(STEPS as i32);
        assert!((mean(&m) - 1.0).abs() <= 0.01, "m {}", mean(&m));
        assert!((mean(&v) - limit).abs() <= 0.01, "v {}, expected {limit}", mean(&v));
    }

    #[test]
    fn clip_bounds_both_sides_and_keeps_not_a_number() {
        let mut g = [-7.0, -5.0, 0.5, 5.0, 6.0, f64::INFINITY, f64::NAN];
        clip(5.0, &mut g);
        assert_eq!(g[..6], [-5.0, -5.0, 0.5, 5.0, 5.0, 5.0]);
        assert!(g[6].is_nan());
        let mut long = vec![9f32; 2 * CHUNK + 1];
        clip(5.0, &mut long);
        assert!(long.iter().all(|&g| g == 5.0));
    }
}
