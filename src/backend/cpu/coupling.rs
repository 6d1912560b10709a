//! Masked RealNVP steps: masks drawn by the counter, gates, log-determinants. The vectors are short: one thread.

use super::elementwise::store;
use super::{Io, Real};
use crate::call::GaussianGroup;
use crate::random::Stream;

/// m z
pub fn mask<T: Real>(io: &Io<T>, group: &GaussianGroup) {
    for part in 0..group.parts as usize {
        let (z, y, add) = (io.read(part), io.write(part), io.adds(part));
        let words = io.read_as(group.parts as usize);
        for_elements(&Stream::of_words(words, group.streams[part]), group, y.len(), |i, kept| {
            store(add, &mut y[i], if kept { z[i] } else { T::ZERO });
        });
    }
}

/// y = z where kept, else s z + (1 - s) mean
pub fn forward<T: Real>(io: &Io<T>, group: &GaussianGroup) {
    for part in 0..group.parts as usize {
        let [z, mean, gate] = [0, 1, 2].map(|read| io.read(3 * part + read));
        let (y, words) = (io.write(part), io.read_as(3 * group.parts as usize));
        for_elements(&Stream::of_words(words, group.streams[part]), group, y.len(), |i, kept| {
            let s = sigmoid(gate[i]);
            y[i] = if kept { z[i] } else { s * z[i] + (T::ONE - s) * mean[i] };
        });
    }
}

/// Sum of log s over the elements that are not kept, in f64.
pub fn log_determinant<T: Real>(io: &Io<T>, group: &GaussianGroup) {
    let words = io.read_as(group.parts as usize);
    let mut total = 0.0;
    for part in 0..group.parts as usize {
        let gate = io.read(part);
        for_elements(&Stream::of_words(words, group.streams[part]), group, gate.len(), |i, kept| {
            if !kept {
                total += log_sigmoid(gate[i].f64());
            }
        });
    }
    store(io.adds(0), &mut io.write(0)[0], T::of(total));
}

/// Where kept: dz = dy. Elsewhere dz = s dy, dmean = (1 - s) dy, dgate = (dy (z - mean) s + d log determinant) (1 - s).
pub fn grad<T: Real>(io: &Io<T>, group: &GaussianGroup) {
    let parts = group.parts as usize;
    let (words, d) = (io.read_as(4 * parts), io.read(4 * parts + 1)[0]);
    for part in 0..parts {
        let [z, mean, gate, dy] = [0, 1, 2, 3].map(|read| io.read(4 * part + read));
        let adds = [0, 1, 2].map(|write| io.adds(3 * part + write));
        let [dz, dmean, dgate] = [0, 1, 2].map(|write| io.write(3 * part + write));
        for_elements(&Stream::of_words(words, group.streams[part]), group, dz.len(), |i, kept| {
            let s = sigmoid(gate[i]);
            let open = T::ONE - s;
            let gradients = match kept {
                true => [dy[i], T::ZERO, T::ZERO],
                false => [s * dy[i], open * dy[i], open * (dy[i] * (z[i] - mean[i]) * s + d)],
            };
            store(adds[0], &mut dz[i], gradients[0]);
            store(adds[1], &mut dmean[i], gradients[1]);
            store(adds[2], &mut dgate[i], gradients[2]);
        });
    }
}

/// Calls `work` with each of the `elements` of S samples and whether the mask keeps it: the highest bit of its random word is 0.
fn for_elements(stream: &Stream, group: &GaussianGroup, elements: usize, mut work: impl FnMut(usize, bool)) {
    let len = elements / group.samples as usize;
    for sample in 0..group.samples as usize {
        for first in (0..len).step_by(4) {
            let bits = stream.bits((sample * len.div_ceil(4) + first / 4) as u32);
            let lanes = bits.into_iter().take(len - first).enumerate();
            lanes.for_each(|(lane, bits)| work(sample * len + first + lane, bits >> 31 == 0));
        }
    }
}

fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// log sigmoid(x) without overflow.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_half_and_each_sample_has_its_own() {
        let mut group = GaussianGroup::empty(2);
        group.push(1001, 3);
        let mut kept = vec![false; 2002];
        for_elements(&Stream { key: [1, 2], stream: 3, step: 4 }, &group, 2002, |i, keeps| kept[i] = keeps);
        let count = kept.iter().filter(|&&kept| kept).count() as f64;
        assert!((count - 1001.0).abs() < 5.0 * 0.5 * 2002f64.sqrt(), "{count} of 2002");
        assert!(kept[..1001] != kept[1001..]);
    }

    #[test]
    fn the_logarithm_of_a_gate_is_finite_at_both_ends() {
        for x in [-800.0, -3.0, 0.0, 2.0, 800.0] {
            let direct = sigmoid(x).ln();
            let expected = if x < -700.0 { x } else { direct };
            assert!((log_sigmoid(x) - expected).abs() <= 1e-12, "{x}");
        }
    }
}
