//! Random numbers of the step's streams.

use super::{Io, Real};
use crate::call::NoiseDims;
use crate::random::Stream;
use crate::vectors;
use rayon::prelude::*;

/// Elements of one parallel chunk; a multiple of the four lanes of a counter.
const CHUNK: usize = 1 << 13;

pub fn normal<T: Real>(io: &Io<T>, dims: &NoiseDims) {
    fill(dims, Stream::of_words(io.read_as(0), dims.stream), io.write(0), normals);
}

pub fn uniform<T: Real>(io: &Io<T>, dims: &NoiseDims) {
    fill(dims, Stream::of_words(io.read_as(0), dims.stream), io.write(0), uniforms);
}

/// Elements first, first + 1, ... of N(0, 1), in the arithmetic of T.
pub fn normals<T: Real>(stream: &Stream, first: u64, out: &mut [T]) {
    match as_f32(out) {
        Ok(out) => stream.normals_f32(first, out),
        Err(out) => stream.normals_f64(first, out),
    }
}

/// Elements first, first + 1, ... of U(0, 1), in the arithmetic of T.
fn uniforms<T: Real>(stream: &Stream, first: u64, out: &mut [T]) {
    match as_f32(out) {
        Ok(out) => stream.uniforms_f32(first, out),
        Err(out) => stream.uniforms_f64(first, out),
    }
}

/// The slice as what T is: f32, or else f64.
fn as_f32<T: Real>(out: &mut [T]) -> Result<&mut [f32], &mut [f64]> {
    if size_of::<T>() == size_of::<f32>() {
        Ok(bytemuck::cast_slice_mut(out))
    } else {
        Err(bytemuck::cast_slice_mut(out))
    }
}

/// y = shift + scale * draw
fn fill<T: Real>(dims: &NoiseDims, stream: Stream, y: &mut [T], draw: impl Fn(&Stream, u64, &mut [T]) + Sync) {
    let (scale, shift) = (T::of(dims.scale.into()), T::of(dims.shift.into()));
    let run = |(i, y): (usize, &mut [T])| {
        draw(&stream, (i * CHUNK) as u64, y);
        if scale != T::ONE || shift != T::ZERO {
            vectors::dispatch(
                #[inline(always)]
                || y.iter_mut().for_each(|y| *y = shift + scale * *y),
            );
        }
    };
    if y.len() <= CHUNK {
        y.chunks_mut(CHUNK).enumerate().for_each(run);
    } else {
        y.par_chunks_mut(CHUNK).enumerate().for_each(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(elements: usize) -> NoiseDims {
        NoiseDims { elements: elements as u32, stream: 3, scale: 0.5, shift: 2.0 }
    }

    fn in_pool(threads: usize, n: usize) -> (Vec<f32>, Vec<f64>, Vec<f32>) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let stream = Stream { key: [1, 2], stream: 3, step: 4 };
        let (mut narrow, mut wide, mut flat) = (vec![0f32; n], vec![0f64; n], vec![0f32; n]);
        pool.install(|| {
            fill(&dims(n), stream, &mut narrow, normals);
            fill(&dims(n), stream, &mut wide, normals);
            fill(&dims(n), stream, &mut flat, uniforms);
        });
        (narrow, wide, flat)
    }

    #[test]
    fn noise_is_the_stream_scaled_and_shifted_for_any_number_of_threads() {
        let n = 3 * CHUNK + 17;
        let stream = Stream { key: [1, 2], stream: 3, step: 4 };
        let mut expected = vec![0f64; n];
        stream.normals_f64(0, &mut expected);
        let first = in_pool(1, n);
        for (i, e) in expected.iter().enumerate() {
            assert!((first.1[i] - (2.0 + 0.5 * e)).abs() <= 1e-15, "f64 {i}");
            assert!((f64::from(first.0[i]) - first.1[i]).abs() <= 1e-6, "f32 {i}");
            assert!(first.2[i] > 2.0 && first.2[i] <= 2.5, "uniform {i}");
        }
        for threads in [2, 3] {
            assert!(in_pool(threads, n) == first, "{threads} threads");
        }
    }
}
