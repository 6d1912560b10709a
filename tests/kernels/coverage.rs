//! The table of what was checked of each kernel. An empty cell is a failure.
//!
//! `BBH_OP=conv2d` checks the cases of one op alone, and asks for no complete table.

use crate::ceilings;
use crate::parity::{Checked, check_plan};
use bbh::backend::Backend;
use bbh::backend::cuda::sim::{Sim, kernel_names};
use bbh::backend::cuda::{Cuda, Math};
use bbh::check::gradcheck::ops_cases;
use bbh::check::{Case, Parity, Prepared, check_directions, raw_calls};
use bbh::graph::Store;
use bbh::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Seed of all values.
const SEED: u64 = 3;

/// Kernels through which no gradient flows, by the beginning of their names. The gradient that a rank update forms is checked in
/// f64 (`bbh gradcheck`), and the kernel against that.
const NOT_DIFFERENTIABLE: [&str; 10] = [
    "accumulate_metrics",
    "advance_step",
    "augment",
    "ceiling",
    "clip_by_value",
    "gather_batch",
    "linear_rank_update",
    "normal",
    "optimizer_step",
    "uniform",
];

fn has_no_gradient(kernel: &str) -> bool {
    NOT_DIFFERENTIABLE.iter().any(|beginning| kernel.starts_with(beginning))
}

/// Kernels of kernels/sim/tests.
fn is_of_tests(kernel: &str) -> bool {
    kernel.starts_with("planted_") || kernel.starts_with("echo_")
}

/// What was checked of a kernel.
#[derive(Default)]
struct Row {
    /// Calls that agreed with the CPU in forward order, in reverse order and in the race build, with the same bits.
    calls: usize,
    /// Worst relative error with exact operands, and where.
    worst: (f64, String),
    /// Cases whose gradients agreed with differences.
    gradients: usize,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<&'static str, Row>,
    failures: Vec<String>,
}

#[test]
fn parity_and_gradients_of_every_kernel() {
    let only = std::env::var("BBH_OP").ok();
    let wanted = |op: &str| only.as_ref().is_none_or(|only| only == op);
    let mut table = Table::default();
    ops_cases().into_iter().filter(|case| wanted(&case.op)).for_each(|case| table.case(case));
    for call in raw_calls().iter().filter(|call| wanted(call.kind.name())) {
        table.plan(&mut call.parity(SEED).expect("memory"));
    }
    if wanted("ceiling") {
        table.ceilings();
    }
    println!("{}", table.text());
    if only.is_none() {
        table.complete();
    }
    assert!(table.failures.is_empty(), "{} failures:\n{}", table.failures.len(), table.failures.join("\n"));
}

impl Table {
    fn case(&mut self, case: Case) {
        let mut prepared = Prepared::new(&case.at_most(0), SEED).expect("a case");
        let mut checked = Vec::new();
        for mut parity in Parity::of_case(&prepared).expect("memory") {
            checked.extend(self.plan(&mut parity));
        }
        prepared.round_values();
        for (math, tolerance) in [(Math::Fp32, 4e-3), (Math::Tf32, 1e-2), (Math::Bf16, 1e-1)] {
            let of_math = checked.iter().filter(|checked| checked.math == math);
            let kernels: BTreeSet<&'static str> = of_math.flat_map(|checked| checked.kernels.clone()).collect();
            if kernels.is_empty() {
                continue;
            }
            let open = |math| {
                move |store: &Store, plans: &[&Plan]| {
                    Ok(Box::new(Cuda::new(Sim::default(), store, plans, math)?) as Box<dyn Backend>)
                }
            };
            match check_directions(&prepared, SEED, (&open(Math::Fp32), &open(math)), tolerance) {
                Ok(0) => {}
                Ok(_) => kernels.iter().for_each(|kernel| self.rows.entry(kernel).or_default().gradients += 1),
                Err(error) => self.failures.push(format!("{error} ({})", math.name())),
            }
        }
    }

    fn plan(&mut self, parity: &mut Parity) -> Vec<Checked> {
        let (checked, failures) = check_plan(parity);
        self.failures.extend(failures);
        for call in &checked {
            for kernel in &call.kernels {
                let row = self.rows.entry(kernel).or_default();
                row.calls += 1;
                if call.exact && (call.error > row.worst.0 || row.worst.1.is_empty()) {
                    row.worst = (call.error, call.label.clone());
                }
            }
        }
        checked
    }

    /// The kernels that no call launches: closed forms stand in for the CPU.
    fn ceilings(&mut self) {
        match ceilings::check() {
            Err(error) => self.failures.push(error),
            Ok(checked) => checked.into_iter().for_each(|ceiling| {
                let row = self.rows.entry(ceiling.kernel).or_default();
                row.calls += 1;
                if ceiling.error > row.worst.0 || row.worst.1.is_empty() {
                    row.worst = (ceiling.error, "closed form".into());
                }
            }),
        }
    }

    fn text(&self) -> String {
        let heading = ["kernel", "parity", "gradient", "forward", "reverse", "race"];
        let [kernel, parity, gradient, forward, reverse, race] = heading;
        let mut text =
            format!("{kernel:<38} {parity:>8} {gradient:>8} {forward:>7} {reverse:>7} {race:>7}  worst call\n");
        for (kernel, row) in &self.rows {
            let gradient = match row.gradients {
                0 if has_no_gradient(kernel) => "none".into(),
                count => count.to_string(),
            };
            let (error, place) = &row.worst;
            let calls = row.calls;
            let _ =
                writeln!(text, "{kernel:<38} {error:>8.1e} {gradient:>8} {calls:>7} {calls:>7} {calls:>7}  {place}");
        }
        text
    }

    /// Adds a failure for every kernel of kernels/ with an empty cell.
    fn complete(&mut self) {
        for kernel in kernel_names().iter().filter(|name| !is_of_tests(name)) {
            match self.rows.get(kernel.as_str()) {
                None => self.failures.push(format!("{kernel}: no call reaches it")),
                Some(row) if row.gradients == 0 && !has_no_gradient(kernel) => {
                    self.failures.push(format!("{kernel}: no gradient was compared"));
                }
                Some(_) => {}
            }
        }
    }
}
