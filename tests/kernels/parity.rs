//! Every call of a plan: the kernels' results against the CPU's in f64, the same bits in every order of threads, no race, no
//! stray access.

use crate::device::{device, modes, name_buffers};
use bbh::backend::cuda::Math;
use bbh::backend::cuda::sim::{Options, Sim};
use bbh::check::kernels::{RUNS, bound, each_step};
use bbh::check::{Outcome, Parity, Step};

/// A call that went through every mode.
pub struct Checked {
    pub kernels: Vec<&'static str>,
    pub math: Math,
    /// True when its operands were exact, so that `error` is that of fp32 sums.
    pub exact: bool,
    pub error: f64,
    pub label: String,
}

/// Checks all calls of a plan; failures are sentences.
pub fn check_plan(parity: &mut Parity) -> (Vec<Checked>, Vec<String>) {
    let bytes = RUNS.iter().map(|&(math, _)| parity.device_bytes(math)).max().unwrap_or(0);
    let (mut sim, base) = device(bytes);
    name_buffers(&mut sim, base, parity, bytes - parity.scratch_offset());
    let (mut checked, mut failures) = (Vec::new(), Vec::new());
    each_step(parity, base, |step, math, exact, label| {
        let label = format!("{label}, {}{}", math.name(), if exact { "" } else { ", operands rounded" });
        // Rounded operands change the values, not the order of anything: one mode tells.
        let modes = if exact { &modes()[..] } else { &modes()[..1] };
        match check_step(step, &mut sim, modes, bound(step, math, exact)) {
            Ok(error) => {
                let kernels = step.launches().iter().map(|launch| launch.kernel).collect();
                checked.push(Checked { kernels, math, exact, error, label });
            }
            Err(error) => failures.push(format!("{label}: {error}")),
        }
    });
    (checked, failures)
}

/// Runs a call in some modes and returns its error.
fn check_step(step: &Step, sim: &mut Sim, modes: &[(&str, Options)], bound: f64) -> Result<f64, String> {
    let mut first: Option<Outcome> = None;
    for (mode, options) in modes {
        sim.options = options.clone();
        let outcome = step.run(sim).map_err(|error| format!("{mode}: {error}"))?;
        let within = outcome.error <= bound;
        if !within {
            return Err(format!("{mode}: relative error {:.2e}, more than {bound:.0e}", outcome.error));
        }
        if first.as_ref().is_some_and(|first| first.bytes != outcome.bytes) {
            return Err(format!("{mode}: other bits than in forward order"));
        }
        first.get_or_insert(outcome);
    }
    Ok(first.map_or(0.0, |outcome| outcome.error))
}
