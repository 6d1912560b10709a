//! Counts of a plan's calls, and their times on a device that keeps time.

use super::kernels::{self, Shape};
use super::{CallProfile, Profile, Total};
use crate::backend::{Backend, Ceilings, Math, Target};
use crate::graph::Store;
use crate::plan::{Plan, bytes};
use crate::{Error, Result, machine};

/// What stands above a profile.
pub struct Heading<'a> {
    pub name: &'a str,
    pub device: String,
}

/// Seconds that a device took.
pub struct Times {
    /// Median, tenth and ninetieth percentile of the whole.
    pub whole: [f64; 3],
    /// Median of each profiled call, in their order.
    pub calls: Vec<f64>,
    /// Executions of each.
    pub repeats: usize,
}

/// Executions before any is timed.
const WARM_UPS: usize = 3;

impl Times {
    /// Whole executions of a plan, then each of its calls, in turn and cold.
    ///
    /// # Errors
    /// When the device fails or keeps no time.
    pub fn of_plan(plan: &Plan, device: &mut dyn Backend, repeats: usize) -> Result<Self> {
        (0..WARM_UPS).try_for_each(|_| device.run(plan))?;
        let whole: Result<Vec<f64>> = (0..repeats).map(|_| seconds(device.time(plan, None, false)?)).collect();
        let mut calls = vec![Vec::with_capacity(repeats); plan.calls.len()];
        for _ in 0..repeats {
            for (index, times) in calls.iter_mut().enumerate() {
                times.push(seconds(device.time(plan, Some(index), true)?)?);
            }
        }
        let calls = calls.into_iter().map(|times| percentiles(times)[0]).collect();
        Ok(Self { whole: percentiles(whole?), calls, repeats })
    }

    /// One call of a plan, cold, after its neighbours have run.
    ///
    /// # Errors
    /// As [`of_plan`](Self::of_plan).
    pub fn of_call(plan: &Plan, index: usize, device: &mut dyn Backend, repeats: usize) -> Result<Self> {
        (0..WARM_UPS).try_for_each(|_| device.run(plan))?;
        let times: Result<Vec<f64>> = (0..repeats).map(|_| seconds(device.time(plan, Some(index), true)?)).collect();
        let whole = percentiles(times?);
        Ok(Self { whole, calls: vec![whole[0]], repeats })
    }
}

fn seconds(time: Option<f64>) -> Result<f64> {
    time.ok_or_else(|| Error::run("profile: the device has ceilings but keeps no time"))
}

/// Median, tenth and ninetieth percentile of at least one time.
fn percentiles(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    let at = |tenths: usize| times.get(times.len() * tenths / 10).copied().unwrap_or(f64::NAN);
    [at(5), at(1), at(9)]
}

/// Profiles one kernel: its call in a small plan.
///
/// # Errors
/// When the plan cannot be built, the memory is missing or the device fails.
pub fn kernel(shape: &Shape, target: Target, repeats: usize) -> Result<Profile> {
    let (store, plan, index) = kernels::plan(shape)?;
    let needed = store.layout(size_of::<f32>()).bytes + plan.workspace.bytes;
    if let Some(available) = machine::available_memory().filter(|&available| available < needed) {
        let (needed, available) = (bytes(needed), bytes(available));
        return Err(Error::run(format!(
            "kernel {}: {needed} of memory are needed and {available} are available; give a smaller --shape",
            shape.kernel()
        )));
    }
    let mut device = target.open(&store, &[&plan])?;
    let heading = Heading { name: shape.kernel(), device: target.describe() };
    let profile = counts(heading, (&store, &plan), device.as_ref(), &[index]);
    let Some(ceilings) = device.ceilings()? else { return Ok(profile.sorted()) };
    kernels::fill(&store, device.as_mut())?;
    let times = Times::of_call(&plan, index, device.as_mut(), repeats)?;
    Ok(profile.with_times(ceilings, device.math(), &times))
}

/// What some calls of a plan launch, move and multiply, in the plan's order and without times.
pub fn counts(heading: Heading, (store, plan): (&Store, &Plan), device: &dyn Backend, indices: &[usize]) -> Profile {
    let call = |&index: &usize| {
        let call = &plan.calls[index];
        CallProfile {
            name: call.kind.name().into(),
            label: call.label.clone(),
            shape: call.kind.shape(),
            launches: device.launches(plan, index),
            bytes: plan.call_bytes(store, call),
            flop: call.kind.flop(),
            us: None,
            gbps: None,
            tflops: None,
            share_of_ceilings: None,
        }
    };
    let calls: Vec<CallProfile> = indices.iter().map(call).collect();
    let total = Total {
        launches: calls.iter().map(|call| call.launches).sum(),
        bytes: calls.iter().map(|call| call.bytes).sum(),
        flop: calls.iter().map(|call| call.flop).sum(),
        us: None,
        us_p10: None,
        us_p90: None,
        calls_us: None,
        gap_us: None,
        gbps: None,
        tflops: None,
        share_of_ceilings: None,
    };
    Profile {
        version: env!("CARGO_PKG_VERSION"),
        name: heading.name.into(),
        device: heading.device,
        math: device.math().name(),
        repeats: 0,
        memory_bytes: store.layout(plan.workspace.real_bytes).bytes + plan.workspace.bytes,
        ceilings: None,
        total,
        calls,
    }
}

impl Profile {
    /// The same with times; the calls stand in the order in which they were timed.
    pub(super) fn with_times(mut self, ceilings: Ceilings, math: Math, times: &Times) -> Self {
        let mut floor = 0.0;
        for (call, &seconds) in self.calls.iter_mut().zip(&times.calls) {
            let call_floor = ceilings.floor_seconds(call.flop, call.bytes as f64, math);
            floor += call_floor;
            call.us = Some(seconds * 1e6);
            call.gbps = Some(call.bytes as f64 / seconds * 1e-9);
            call.tflops = Some(call.flop / seconds * 1e-12);
            call.share_of_ceilings = Some(call_floor / seconds);
        }
        let [median, p10, p90] = times.whole;
        let calls: f64 = times.calls.iter().sum();
        self.repeats = times.repeats;
        self.total = Total {
            us: Some(median * 1e6),
            us_p10: Some(p10 * 1e6),
            us_p90: Some(p90 * 1e6),
            calls_us: Some(calls * 1e6),
            gap_us: Some((median - calls) * 1e6),
            gbps: Some(self.total.bytes as f64 / median * 1e-9),
            tflops: Some(self.total.flop / median * 1e-12),
            share_of_ceilings: Some(floor / median),
            ..self.total
        };
        self.ceilings = Some(ceilings);
        self
    }

    /// The same with the slowest calls first; without times, those that move the most bytes.
    pub(super) fn sorted(mut self) -> Self {
        let weight = |call: &CallProfile| call.us.unwrap_or(call.bytes as f64);
        self.calls.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, bytes: usize, flop: f64) -> CallProfile {
        CallProfile {
            name: name.into(),
            label: String::new(),
            shape: String::new(),
            launches: 1,
            bytes,
            flop,
            us: None,
            gbps: None,
            tflops: None,
            share_of_ceilings: None,
        }
    }

    fn profile() -> Profile {
        let calls = vec![call("small", 10, 0.0), call("large", 4_000_000, 0.0), call("product", 1000, 2e9)];
        let total = Total {
            launches: 3,
            bytes: 4_001_010,
            flop: 2e9,
            us: None,
            us_p10: None,
            us_p90: None,
            calls_us: None,
            gap_us: None,
            gbps: None,
            tflops: None,
            share_of_ceilings: None,
        };
        let (name, device) = ("test".into(), "test".into());
        Profile { version: "", name, device, math: "fp32", repeats: 0, memory_bytes: 0, ceilings: None, total, calls }
    }

    fn names(profile: &Profile) -> Vec<&str> {
        profile.calls.iter().map(|call| call.name.as_str()).collect()
    }

    #[test]
    fn calls_are_sorted_by_time_or_else_by_bytes() {
        assert_eq!(names(&profile().sorted()), ["large", "product", "small"]);
        let ceilings = Ceilings {
            copy_gbps: 4.0,
            update_gbps: None,
            read_gbps: None,
            fp32_tflops: 1.0,
            tf32_tflops: None,
            bf16_tflops: None,
        };
        let times = Times { whole: [7e-3, 6e-3, 9e-3], calls: vec![1e-3, 2e-3, 5e-3], repeats: 9 };
        let timed = profile().with_times(ceilings, Math::Fp32, &times).sorted();
        assert_eq!(names(&timed), ["product", "large", "small"]);
        let near = |found: Option<f64>, expected: f64| {
            let found = found.expect("a time");
            assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found}, not {expected}");
        };
        near(timed.calls[0].us, 5000.0);
        near(timed.calls[0].tflops, 0.4);
        near(timed.calls[0].share_of_ceilings, 0.4);
        near(timed.calls[1].gbps, 2.0);
        near(timed.calls[1].share_of_ceilings, 0.5);
        near(timed.total.calls_us, 8000.0);
        near(timed.total.gap_us, -1000.0);
        near(timed.total.us_p90, 9000.0);
        assert_eq!(timed.repeats, 9);
    }

    #[test]
    fn percentiles_are_elements_of_the_sorted_times() {
        assert_eq!(percentiles(vec![5.0, 1.0, 4.0, 2.0, 3.0]), [3.0, 1.0, 5.0]);
        assert_eq!(percentiles(vec![7.0]), [7.0, 7.0, 7.0]);
    }
}
