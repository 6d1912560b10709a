//! The ceiling kernels: what they write against its closed form, in every order of threads.

use crate::device::{device, modes};
use bbh::backend::cuda::ceilings::{BF16, FP32, Products, TF32, THREADS, copy};
use bbh::backend::cuda::sim::Sim;
use bbh::backend::cuda::{Address, Launch, Launcher};

/// A ceiling kernel and its worst error.
pub struct Ceiling {
    pub kernel: &'static str,
    pub error: f64,
}

/// Blocks and rounds of the products.
const BLOCKS: u32 = 3;
const ROUNDS: u32 = 2;

/// Runs all of them in all modes; a failure is a sentence.
pub fn check() -> Result<Vec<Ceiling>, String> {
    let mut checked = Vec::new();
    // Sizes below, at and above what the threads of two blocks copy in one turn of four.
    for quads in [1_u32, 511, 2048, 4099] {
        checked.push(check_copy(quads)?);
    }
    checked.push(check_products(FP32, (0.5, 1.0), chains)?);
    for (products, inner) in [(TF32, 8.0), (BF16, 16.0)] {
        checked.push(check_products(products, (0.25, 3.0), |thread| fragments(thread, inner))?);
    }
    Ok(checked)
}

/// Sum of the 16 chains of a thread after 8 links a round: x -> x / 2 + 1 tends to 2.
fn chains(thread: u32) -> f64 {
    let left = 0.5_f64.powi(8 * ROUNDS as i32);
    (0..16).map(|chain| 2.0 + (f64::from(thread % 32 + chain) - 2.0) * left).sum()
}

/// Sum over 8 accumulators and 4 elements of a lane: accumulator j starts at 3 + j, and each of 4 products a round adds
/// `inner` (row + 1) / 4 (column + 1).
fn fragments(thread: u32, inner: f64) -> f64 {
    let (g, t) = (thread % 32 / 4, thread % 4);
    let starts: f64 = (0..8).map(|j| 4.0 * (3.0 + f64::from(j))).sum();
    let rows = f64::from(g + 1) + f64::from(g + 9);
    let columns = f64::from(2 * t + 1) + f64::from(2 * t + 2);
    starts + 8.0 * f64::from(4 * ROUNDS) * inner * 0.25 * rows * columns
}

fn check_copy(quads: u32) -> Result<Ceiling, String> {
    let values: Vec<f32> = (0..4 * quads).map(|i| i as f32 - 0.5).collect();
    let bytes = 16 * quads as usize;
    let (mut sim, from) = device(2 * bytes);
    let to = from + bytes as Address;
    sim.write(from, bytemuck::cast_slice(&values)).expect("inside");
    let found = written(&mut sim, &copy(2, quads, from, to), to, values.len())?;
    if found != values {
        return Err(format!("ceiling_copy of {quads} quads: other values"));
    }
    Ok(Ceiling { kernel: "ceiling_copy", error: 0.0 })
}

fn check_products(products: Products, constants: (f32, f32), expected: impl Fn(u32) -> f64) -> Result<Ceiling, String> {
    let count = BLOCKS * THREADS;
    let (mut sim, to) = device(4 * count as usize);
    let launch = products.launch(BLOCKS, ROUNDS, constants, to);
    let found = written(&mut sim, &launch, to, count as usize)?;
    let errors = found.iter().zip(0..).map(|(&found, thread)| {
        let expected = expected(thread);
        (f64::from(found) - expected).abs() / expected.abs()
    });
    let error = errors.fold(0.0, |worst: f64, error| if error <= worst { worst } else { error });
    let within = error <= 1e-6;
    if within {
        Ok(Ceiling { kernel: launch.kernel, error })
    } else {
        Err(format!("{}: error {error:.1e}", launch.kernel))
    }
}

/// What a launch writes: in forward order, reverse order and the race build, the same bits from all.
fn written(sim: &mut Sim, launch: &Launch, to: Address, count: usize) -> Result<Vec<f32>, String> {
    let mut first: Option<Vec<f32>> = None;
    for (mode, options) in modes() {
        sim.options = options;
        sim.write(to, &vec![0xff; 4 * count]).expect("inside");
        sim.launch(launch).map_err(|error| format!("{}, {mode}: {error}", launch.kernel))?;
        let mut values = vec![0_f32; count];
        sim.read(to, bytemuck::cast_slice_mut(&mut values)).expect("inside");
        let same = |first: &Vec<f32>| first.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits());
        if !first.as_ref().is_none_or(same) {
            return Err(format!("{}, {mode}: other bits than in forward order", launch.kernel));
        }
        first.get_or_insert(values);
    }
    Ok(first.unwrap_or_default())
}

#[test]
fn ceilings_compute_what_they_say() {
    let checked = check().unwrap_or_else(|error| panic!("{error}"));
    let kernels: std::collections::BTreeSet<&str> = checked.iter().map(|ceiling| ceiling.kernel).collect();
    assert_eq!(kernels.len(), 4, "{kernels:?}");
}
