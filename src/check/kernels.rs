//! Kernels on a device against the CPU in f64: every call of every case, twice, with exact and with rounded operands.

use super::gradcheck::ops_cases;
use super::parity::{Parity, Step};
use super::prepared::Prepared;
use super::raw_calls::raw_calls;
use crate::backend::cuda::{Address, Launcher, Math};
use crate::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Largest relative error of kernels whose products are exact: what fp32 sums may lose.
const FP32: f64 = 1e-5;

/// Kernels of differences between weights and prior draws that may be close to each other: what rounding a draw to f32 does to
/// such a difference, any f32 arithmetic would do.
const ILL_CONDITIONED: [(&str, f64); 4] = [
    ("per_weight_kl_8", 1e-4),
    ("per_weight_kl_16", 1e-4),
    ("per_weight_kl_grad_8", 1e-3),
    ("per_weight_kl_grad_16", 1e-3),
];

/// Outputs from which on rounded operands are compared: the error of a few can be all cancellation.
const MANY: usize = 64;

/// Arithmetic of each run of a call, and whether its inputs are rounded to the operands of the tensor cores beforehand.
pub const RUNS: [(Math, bool); 5] =
    [(Math::Fp32, true), (Math::Tf32, true), (Math::Tf32, false), (Math::Bf16, true), (Math::Bf16, false)];

/// Largest relative error of a call. `exact`: its operands are exact in `math`, so that only sums round; sums of a GPU's tensor
/// cores keep fewer bits than those of the simulated device, and get the bound of rounded operands.
pub fn bound(step: &Step, math: Math, exact: bool) -> f64 {
    let launched = |kernel: &str| step.launches().iter().any(|launch| launch.kernel == kernel);
    match ILL_CONDITIONED.iter().find(|(kernel, _)| launched(kernel)) {
        Some((_, bound)) => *bound,
        None if exact => FP32,
        None => rounded(math),
    }
}

/// Largest relative error of a kernel that rounds its operands, or the sums of exact ones.
fn rounded(math: Math) -> f64 {
    match math {
        Math::Fp32 => FP32,
        Math::Tf32 => 1e-3,
        Math::Bf16 => 1e-2,
    }
}

/// Hands every call of a plan to `check`, for a device whose memory begins at `base`, in each arithmetic that has kernels of its own
/// for the call: (step, arithmetic, exact operands, label).
pub fn each_step(parity: &mut Parity, base: Address, mut check: impl FnMut(&Step, Math, bool, &str)) {
    for index in 0..parity.calls().len() {
        let call = &parity.calls()[index];
        let label = format!("{}, call {index}, {} for {}", parity.name(), call.kind.name(), call.label);
        let plain = parity.step(index, base, Math::Fp32, true).launches().to_vec();
        for (math, exact) in RUNS {
            let step = parity.step(index, base, math, exact);
            let on_tensor_cores = step.launches() != plain;
            if (math == Math::Fp32 || on_tensor_cores) && (exact || step.fewest_numbers() >= MANY) {
                check(&step, math, exact, &label);
            }
        }
        parity.advance(index);
    }
}

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// One op only, by the name of its cases or of its calls.
    pub op: Option<String>,
    pub seed: u64,
}

/// A kernel's results.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KernelRow {
    pub kernel: String,
    /// Calls that launched it, each counted once per arithmetic.
    pub calls: usize,
    /// Worst relative error (Frobenius norms, of a call's worst region) by arithmetic, where it ran: fp32, tf32, bf16. Operands
    /// exact in that arithmetic.
    pub exact: BTreeMap<&'static str, f64>,
    /// The same with operands that the kernel rounds.
    pub rounded: BTreeMap<&'static str, f64>,
    /// Calls that failed, first sentences only.
    pub failures: Vec<String>,
}

/// Most failures that a row keeps.
const MOST_FAILURES: usize = 3;

/// Checks every kernel that a case or a raw call reaches; rows in the order of kernels' names.
///
/// # Errors
/// When the machine refuses the memory. What a kernel does wrong stands in its row.
pub fn run(launcher: &mut dyn Launcher, options: &Options) -> Result<Vec<KernelRow>> {
    let wanted = |op: &str| options.op.as_ref().is_none_or(|only| only == op);
    let mut check = Check { launcher, memory: (0, 0), rows: BTreeMap::new() };
    for case in ops_cases().into_iter().filter(|case| wanted(&case.op)) {
        let prepared = Prepared::new(&case.at_most(0), options.seed)?;
        Parity::of_case(&prepared)?.iter_mut().try_for_each(|parity| check.plan(parity))?;
    }
    for call in raw_calls().iter().filter(|call| wanted(call.kind.name())) {
        check.plan(&mut call.parity(options.seed)?)?;
    }
    if check.rows.is_empty() {
        let op = options.op.as_deref().unwrap_or("");
        return Err(Error::input(format!("op: there are no cases called {op}; bbh gradcheck lists the ops")));
    }
    Ok(check.rows.into_values().collect())
}

struct Check<'l> {
    launcher: &'l mut dyn Launcher,
    /// Start and bytes of the device's memory; it grows with the plans.
    memory: (Address, usize),
    rows: BTreeMap<&'static str, KernelRow>,
}

impl Check<'_> {
    fn plan(&mut self, parity: &mut Parity) -> Result<()> {
        let needed = RUNS.iter().map(|&(math, _)| parity.device_bytes(math)).max().unwrap_or(0);
        if needed > self.memory.1 {
            let bytes = needed.next_power_of_two();
            self.memory = (self.launcher.allocate(bytes)?, bytes);
        }
        each_step(parity, self.memory.0, |step, math, exact, label| self.step(step, math, exact, label));
        Ok(())
    }

    /// Runs a call twice and keeps what it gave.
    fn step(&mut self, step: &Step, math: Math, exact: bool, label: &str) {
        let outcome = step.run(self.launcher).and_then(|first| {
            let second = step.run(self.launcher)?;
            if first.bytes == second.bytes { Ok(first.error) } else { Err(Error::check("other bits when run again")) }
        });
        let bound = bound(step, math, false);
        let outcome = outcome.map_err(|error| error.to_string()).and_then(|error| match error <= bound {
            true => Ok(error),
            false => Err(format!("relative error {error:.2e}, more than {bound:.0e}")),
        });
        for launch in step.launches() {
            let row = self.rows.entry(launch.kernel).or_default();
            row.kernel = launch.kernel.into();
            row.calls += usize::from(exact);
            match &outcome {
                Ok(error) => {
                    let worst = if exact { &mut row.exact } else { &mut row.rounded };
                    let worst = worst.entry(math.name()).or_default();
                    *worst = worst.max(*error);
                }
                Err(error) if row.failures.len() < MOST_FAILURES => {
                    row.failures.push(format!("{label}, {}: {error}", math.name()));
                }
                Err(_) => {}
            }
        }
    }
}

/// The rows for people.
pub fn table(rows: &[KernelRow]) -> String {
    let mut text = format!(
        "{:<38} {:>6} {:>9} {:>9} {:>9}  with rounded operands\n{:<38} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "worst relative error to the CPU in f64",
        "",
        "",
        "",
        "",
        "kernel",
        "calls",
        "fp32",
        "tf32",
        "bf16",
        "tf32",
        "bf16"
    );
    for row in rows {
        let figure =
            |worst: &BTreeMap<&str, f64>, math| worst.get(math).map_or("-".into(), |error| format!("{error:.1e}"));
        let exact = ["fp32", "tf32", "bf16"].map(|math| figure(&row.exact, math));
        let rounded = ["tf32", "bf16"].map(|math| figure(&row.rounded, math));
        let _ = writeln!(
            text,
            "{:<38} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9}",
            row.kernel, row.calls, exact[0], exact[1], exact[2], rounded[0], rounded[1]
        );
        for failure in &row.failures {
            let _ = writeln!(text, "    FAILED {failure}");
        }
    }
    text
}

/// Fails when a kernel did.
///
/// # Errors
/// Counts the kernels and gives the first sentence.
pub fn verdict(rows: &[KernelRow]) -> Result<()> {
    let failed: Vec<&KernelRow> = rows.iter().filter(|row| !row.failures.is_empty()).collect();
    match failed.first().and_then(|row| row.failures.first()) {
        None => Ok(()),
        Some(first) => Err(Error::check(format!("parity: {} of {} kernels fail; {first}", failed.len(), rows.len()))),
    }
}
