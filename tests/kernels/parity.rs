//! Every call of every case: the kernels' results against the CPU's in f64, the same bits in every order of threads, no race,
//! no stray access.

use crate::device::{device, modes, name_buffers};
use bbh::backend::cuda::Math;
use bbh::check::gradcheck::cases;
use bbh::check::{Parity, Prepared, Step, raw_calls};
use std::collections::BTreeMap;

/// Largest relative error of kernels whose products are exact: what fp32 sums may lose.
const FP32: f64 = 1e-5;

/// Largest relative error of a kernel that rounds its operands, over outputs of at least `MANY` elements.
fn rounded(math: Math) -> f64 {
    match math {
        Math::Fp32 => FP32,
        Math::Tf32 => 1e-3,
        Math::Bf16 => 1e-2,
    }
}

/// Outputs from which on rounded operands are compared: the error of a few can be all cancellation.
const MANY: usize = 64;

/// Arithmetic of each run of a call, and whether its inputs are rounded to the operands of the tensor cores beforehand.
const RUNS: [(Math, bool); 5] =
    [(Math::Fp32, true), (Math::Tf32, true), (Math::Tf32, false), (Math::Bf16, true), (Math::Bf16, false)];

/// Seed of all values.
const SEED: u64 = 3;

#[test]
fn parity() {
    let only = std::env::var("BBH_OP").ok();
    let mut worst: BTreeMap<&'static str, (f64, String)> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in cases() {
        if only.as_ref().is_some_and(|op| case.op != *op) {
            continue;
        }
        let case = case.at_most(0);
        let prepared = Prepared::new(&case, SEED).expect("a case");
        for mut parity in Parity::of_case(&prepared).expect("memory") {
            check_plan(&mut parity, &mut worst, &mut failures);
        }
    }
    for call in raw_calls().iter().filter(|call| only.as_ref().is_none_or(|op| call.kind.name() == *op)) {
        check_plan(&mut call.parity(SEED).expect("memory"), &mut worst, &mut failures);
    }
    for (kernel, (error, call)) in &worst {
        println!("{kernel:<36} {error:9.2e}  {call}");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn check_plan(parity: &mut Parity, worst: &mut BTreeMap<&'static str, (f64, String)>, failures: &mut Vec<String>) {
    let bytes = RUNS.iter().map(|&(math, _)| parity.device_bytes(math)).max().unwrap_or(0);
    let scratch = bytes - parity.scratch_offset();
    let (mut sim, base) = device(bytes);
    name_buffers(&mut sim, base, parity, scratch);
    for index in 0..parity.calls().len() {
        let label = format!(
            "{}, call {index} {} for {}",
            parity.name(),
            parity.calls()[index].kind.name(),
            parity.calls()[index].label
        );
        let plain = parity.step(index, base, Math::Fp32, true).launches().to_vec();
        for (math, exact) in RUNS {
            let step = parity.step(index, base, math, exact);
            let on_tensor_cores = step.launches() != plain;
            if math != Math::Fp32 && !on_tensor_cores || !exact && step.fewest_numbers() < MANY {
                continue;
            }
            let label = format!("{label}, {}{}", math.name(), if exact { "" } else { ", operands rounded" });
            match check_step(&step, &mut sim, if exact { FP32 } else { rounded(math) }) {
                Ok(error) if exact => note(worst, &step, error, &label),
                Ok(_) => {}
                Err(error) => failures.push(format!("{label}: {error}")),
            }
        }
    }
}

fn note(worst: &mut BTreeMap<&'static str, (f64, String)>, step: &Step, error: f64, label: &str) {
    for launch in step.launches() {
        let entry = worst.entry(launch.kernel).or_insert((-1.0, String::new()));
        if error > entry.0 {
            *entry = (error, label.to_string());
        }
    }
}

/// Runs a call in every mode and returns its error.
fn check_step(step: &Step, sim: &mut bbh::backend::cuda::sim::Sim, bound: f64) -> Result<f64, String> {
    let mut first: Option<bbh::check::Outcome> = None;
    for (mode, options) in modes() {
        sim.options = options;
        let outcome = step.run(sim).map_err(|error| format!("{mode}: {error}"))?;
        if !(outcome.error <= bound) {
            return Err(format!("{mode}: relative error {:.2e}, more than {bound:.0e}", outcome.error));
        }
        if first.as_ref().is_some_and(|first| first.bytes != outcome.bytes) {
            return Err(format!("{mode}: other bits than in forward order"));
        }
        first.get_or_insert(outcome);
    }
    Ok(first.map_or(0.0, |outcome| outcome.error))
}
