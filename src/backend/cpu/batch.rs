//! Data and step state: gathering a batch, advancing the step, summing metrics.

use super::{Io, Real};
use crate::call::{GatherDims, Schedule, metric, scalar, word};
use crate::random::{permute, philox4x32_10};
use crate::vectors;
use rayon::prelude::*;

/// Fourth counter word of permutation keys; noise has 0 there.
const PERMUTATION: u32 = 1;
/// Pixels below which one thread is enough.
const PARALLEL_PIXELS: usize = 1 << 15;

pub fn gather<T: Real>(io: &Io<T>, dims: &GatherDims) {
    let set = Set { images: io.read_as(0), labels: io.read_as(1) };
    gather_rows(dims, &set, io.read_as(2), io.write(0), io.write_as(1), io.write(2));
}

pub fn advance_step<T: Real>(io: &Io<T>, schedule: &Schedule) {
    advance(schedule, io.write_as(0), io.write(1));
}

pub fn accumulate_metrics<T: Real>(io: &Io<T>) {
    let values: [f64; 5] = std::array::from_fn(|i| io.read(i)[0].f64());
    accumulate(&values, io.read(5), io.write_as(0));
}

/// Images U8 [images, pixels] with their labels [images].
struct Set<'a> {
    images: &'a [u8],
    labels: &'a [u8],
}

/// Which image of the set each row of a member's batch is.
struct Order {
    /// Key of the epoch's permutation, when shuffled.
    key: Option<[u32; 2]>,
    images: u32,
    first: u64,
}

impl Order {
    fn new(dims: &GatherDims, words: &[u32], member: u32) -> Self {
        let batch_start = |batch: u32| u64::from(batch) * u64::from(dims.batch);
        if dims.shuffle == 0 {
            return Self { key: None, images: dims.images, first: batch_start(words[word::BATCH]) };
        }
        let steps_done = words[word::STEP].saturating_sub(1);
        let (epoch, batch) = (steps_done / dims.steps_per_epoch, steps_done % dims.steps_per_epoch);
        let seed = [words[word::SEED_LOW], words[word::SEED_HIGH]];
        let [low, high, ..] = philox4x32_10([epoch, dims.stream, member, PERMUTATION], seed);
        Self { key: Some([low, high]), images: dims.images, first: batch_start(batch) }
    }

    /// Index in the set of row `row`, or none past the end.
    fn image(&self, row: usize) -> Option<usize> {
        let place = u32::try_from(self.first + row as u64).ok().filter(|&place| place < self.images)?;
        Some(self.key.map_or(place, |key| permute(key, self.images, place)) as usize)
    }
}

/// x [members, N, pixels] = byte / 255, labels, weights [members, N]; all 0 for rows past the end of the set.
fn gather_rows<T: Real>(
    dims: &GatherDims,
    set: &Set,
    words: &[u32],
    x: &mut [T],
    labels: &mut [u32],
    weights: &mut [T],
) {
    let (batch, pixels) = (dims.batch as usize, dims.pixels as usize);
    let members = labels.chunks_mut(batch).zip(weights.chunks_mut(batch)).zip(x.chunks_mut(batch * pixels));
    for (member, ((labels, weights), x)) in members.enumerate() {
        let order = Order::new(dims, words, member as u32);
        for (row, (label, weight)) in labels.iter_mut().zip(weights).enumerate() {
            let image = order.image(row);
            *label = image.map_or(0, |i| set.labels[i].into());
            *weight = if image.is_some() { T::ONE } else { T::ZERO };
        }
        let fill = |(row, x): (usize, &mut [T])| match order.image(row) {
            Some(i) => to_unit_interval(&set.images[i * pixels..(i + 1) * pixels], x),
            None => x.fill(T::ZERO),
        };
        if x.len() < PARALLEL_PIXELS {
            x.chunks_mut(pixels).enumerate().for_each(fill);
        } else {
            x.par_chunks_mut(pixels).with_min_len(8).enumerate().for_each(fill);
        }
    }
}

fn to_unit_interval<T: Real>(bytes: &[u8], x: &mut [T]) {
    let most = T::of(255.0);
    vectors::dispatch(
        #[inline(always)]
        || x.iter_mut().zip(bytes).for_each(|(x, &b)| *x = T::of(b.into()) / most),
    );
}

fn advance<T: Real>(schedule: &Schedule, words: &mut [u32], scalars: &mut [T]) {
    let step = words[word::STEP].saturating_add(1);
    words[word::STEP] = step;
    let now = schedule.at(step);
    scalars[scalar::LEARNING_RATE] = T::of(now.learning_rate);
    scalars[scalar::ANNEAL] = T::of(now.anneal);
    scalars[scalar::CORRECTION1] = T::of(now.correction1);
    scalars[scalar::CORRECTION2] = T::of(now.correction2);
}

/// Adds one step's loss, cross-entropy, kl, scaled kl and correct count, its images (sum of row weights) and itself.
fn accumulate<T: Real>(values: &[f64; 5], weights: &[T], metrics: &mut [f64]) {
    let places = [metric::LOSS, metric::CROSS_ENTROPY, metric::KL, metric::SCALED_KL, metric::CORRECT];
    for (place, value) in places.into_iter().zip(values) {
        metrics[place] += value;
    }
    metrics[metric::IMAGES] += weights.iter().map(|w| w.f64()).sum::<f64>();
    metrics[metric::STEPS] += 1.0;
}

#[cfg(test)]
mod tests;
