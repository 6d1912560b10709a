//! The first values of parameters, drawn on the host from the run's seed: parameter i from a random stream of its own.

use crate::backend::cpu::Cpu;
use crate::call::word;
use crate::graph::{Init, Parameter, Store};
use crate::random::Stream;
use rayon::prelude::*;

/// Streams of initial values start here, far above those that a plan draws from.
const FIRST_STREAM: u32 = 1 << 30;

/// Elements that one task draws.
const CHUNK: usize = 1 << 16;

/// Fills all parameters, sets the step words to step 0 of `seed`, and zeroes metrics.
pub fn initialise(store: &Store, cpu: &mut Cpu<f32>, seed: u64) {
    let key = [seed as u32, (seed >> 32) as u32];
    for (index, parameter) in store.parameters().iter().enumerate() {
        let stream = Stream { key, stream: FIRST_STREAM + index as u32, step: 0 };
        fill(parameter, stream, cpu.persistent_mut::<f32>(parameter.region));
    }
    let words = cpu.persistent_mut::<u32>(store.words());
    words.fill(0);
    (words[word::SEED_LOW], words[word::SEED_HIGH]) = (key[0], key[1]);
    cpu.persistent_mut::<f64>(store.metrics()).fill(0.0);
}

fn fill(parameter: &Parameter, stream: Stream, values: &mut [f32]) {
    let columns = parameter.shape.sizes().last().copied().unwrap_or(1);
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        let first = chunk * CHUNK;
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
            Init::NormalColumns { split, first: left, rest } => {
                stream.normals_f32(first as u64, values);
                for (offset, value) in values.iter_mut().enumerate() {
                    *value *= if (first + offset) % columns < split { left } else { rest };
                }
            }
        }
    });
}
