//! The first values of parameters, drawn on the host from the run's seed: parameter i from a random stream of its own.

use crate::Result;
use crate::backend::Backend;
use crate::call::{Region, metric, word};
use crate::graph::{Init, Parameter, Store};
use crate::random::Stream;
use rayon::prelude::*;

/// Streams of initial values start here, far above those that a plan draws from.
const FIRST_STREAM: u32 = 1 << 30;

/// Elements that one task draws.
const CHUNK: usize = 1 << 16;

/// Elements drawn before they are copied to the device: bounds the memory that the host needs.
const AT_ONCE: usize = 64 * CHUNK;

/// Fills all parameters, sets the step words to step 0 of `seed`, and zeroes metrics.
///
/// # Errors
/// When the device fails.
pub fn initialise(store: &Store, device: &mut dyn Backend, seed: u64) -> Result<()> {
    let key = [seed as u32, (seed >> 32) as u32];
    let mut values = Vec::new();
    for (index, parameter) in store.parameters().iter().enumerate() {
        let region = parameter.region;
        for first in (0..region.len).step_by(AT_ONCE) {
            values.resize(AT_ONCE.min(region.len - first), 0.0);
            first_values((parameter, index), seed, first, &mut values);
            device.write(Region::contiguous(region.buffer, region.offset + first, values.len()), &values)?;
        }
    }
    let mut words = [0; word::COUNT];
    (words[word::SEED_LOW], words[word::SEED_HIGH]) = (key[0], key[1]);
    device.write(store.words(), &words)?;
    device.write(store.metrics(), &[0f64; metric::COUNT])
}

/// Draws elements `start`, `start` + 1, ... of parameter number `index` of a store; `start` is a multiple of 2^16.
pub fn first_values((parameter, index): (&Parameter, usize), seed: u64, start: usize, values: &mut [f32]) {
    let stream = Stream { key: [seed as u32, (seed >> 32) as u32], stream: FIRST_STREAM + index as u32, step: 0 };
    let columns = parameter.shape.sizes().last().copied().unwrap_or(1);
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        let first = start + chunk * CHUNK;
        match parameter.init {
            Init::Constant(value) => values.fill(value),
            Init::Uniform(bound) => {
                stream.uniforms_f32(first as u64, values);
                values.iter_mut().for_each(|value| *value = bound * (2.0 * *value - 1.0));
            }
            Init::Normal(deviation) => {
                stream.normals_f32(first as u64, values);
                values.iter_mut().for_each(|value| *value *= deviation);
            }
            Init::NormalAbout { mean, deviation } => {
                stream.normals_f32(first as u64, values);
                values.iter_mut().for_each(|value| *value = mean + deviation * *value);
            }
            Init::NormalColumns { split, first: left, rest } => {
                stream.normals_f32(first as u64, values);
                for (offset, value) in values.iter_mut().enumerate() {
                    *value *= if (first + offset) % columns < split { left } else { rest };
                }
            }
        }
    });
}
