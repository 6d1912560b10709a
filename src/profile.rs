//! How long each call of a training step takes, beside the ceilings of this machine measured in the same run.

use crate::backend::cpu::ceilings::{self, Ceilings};
use crate::backend::{Backend, Target};
use crate::call::{Call, Kind};
use crate::data::ImageSet;
use crate::train::config::Config;
use crate::train::options::{MethodKind, Options};
use crate::train::{Planned, Sets, Trainer};
use crate::{Error, Result, machine, method};
use serde::Serialize;

/// Steps that a profile knows by name.
pub const CONFIGS: [&str; 4] = ["lenet-full", "lenet-sliced", "lenet-shared", "lenet-map"];

/// One call of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallProfile {
    pub name: String,
    /// Node that asked for it.
    pub label: String,
    pub shape: String,
    /// Median over the repetitions, microseconds.
    pub us: f64,
    /// Bytes that the call reads and writes at least, over its time.
    pub gbps: f64,
    pub gflops: f64,
    /// Time at the ceilings (the slower of bytes at the update rate and FLOP at the product rate) over measured time.
    pub share: f64,
}

/// A profiled step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    pub config: String,
    pub threads: usize,
    /// Median of whole steps without timers in between, milliseconds.
    pub step_ms: f64,
    pub step_ms_p10: f64,
    pub step_ms_p90: f64,
    /// Of the whole step.
    pub gflops: f64,
    pub gbps: f64,
    pub share: f64,
    /// Slowest first.
    pub calls: Vec<CallProfile>,
    pub ceilings: Ceilings,
    pub peak_rss_bytes: Option<usize>,
}

/// The configuration of a named step: 60,000 images, batch 100, S = 5, the KL term on, Adam.
///
/// # Errors
/// When the name is unknown.
pub fn named_config(name: &str, mc: bool) -> Result<Config> {
    use method::GeneratorKind::{LayerWise, Shared, Sliced};
    let (method, generator) = match name {
        "lenet-full" => (MethodKind::Bbh, LayerWise),
        "lenet-sliced" => (MethodKind::Bbh, Sliced),
        "lenet-shared" => (MethodKind::Bbh, Shared),
        "lenet-map" => (MethodKind::Map, Shared),
        _ => return Err(Error::input(format!("config: expected one of {}, found {name}", CONFIGS.join(", ")))),
    };
    Config::resolve(Options {
        method: Some(method),
        generator: Some(generator),
        anneal: Some(crate::train::options::Anneal(0.0, 0.0)),
        mc: Some(mc),
        ood: Some("none".into()),
        ..Options::default()
    })
}

/// Profiles the training step of a configuration on images of random bytes: `repeats` whole steps, then `repeats` with each
/// call timed.
///
/// # Errors
/// When the memory is missing.
pub fn run(name: &str, config: Config, repeats: usize) -> Result<Profile> {
    let ceilings = ceilings::measure()?;
    let planned = Planned::new(config, random_sets())?;
    let mut trainer = Trainer::new(planned, Target::Cpu)?;
    let (planned, device) = (&trainer.planned, trainer.device.as_mut());
    for _ in 0..3 {
        device.run(&planned.train)?;
    }
    let mut steps = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        steps.push(timed(planned, device, None)? * 1e3);
    }
    let steps = sorted(steps);
    let us = time_calls(planned, device, repeats)?;
    let mut calls = Vec::with_capacity(us.len());
    let (mut flop, mut moved, mut floor) = (0.0, 0.0, 0.0);
    for (call, us) in planned.train.calls.iter().zip(us) {
        let (call_flop, call_bytes) = (call.kind.flop(), planned.train.call_bytes(&planned.store, call) as f64);
        let call_floor = floor_seconds(call_flop, call_bytes, &ceilings);
        (flop, moved, floor) = (flop + call_flop, moved + call_bytes, floor + call_floor);
        calls.push(row(call, us, (call_flop, call_bytes), call_floor));
    }
    calls.sort_by(|a, b| b.us.total_cmp(&a.us));
    let median = steps[steps.len() / 2];
    Ok(Profile {
        config: name.into(),
        threads: rayon::current_num_threads(),
        step_ms: median,
        step_ms_p10: steps[steps.len() / 10],
        step_ms_p90: steps[steps.len() * 9 / 10],
        gflops: flop / median * 1e-6,
        gbps: moved / median * 1e-6,
        share: floor * 1e3 / median,
        calls,
        ceilings,
        peak_rss_bytes: machine::peak_resident(),
    })
}

/// Median microseconds of each call of the training plan.
fn time_calls(planned: &Planned, device: &mut dyn Backend, repeats: usize) -> Result<Vec<f64>> {
    let count = planned.train.calls.len();
    let mut times = vec![Vec::with_capacity(repeats); count];
    for _ in 0..repeats {
        for (index, times) in times.iter_mut().enumerate() {
            times.push(timed(planned, device, Some(index))? * 1e6);
        }
    }
    Ok(times.into_iter().map(|times| sorted(times)[repeats / 2]).collect())
}

/// Seconds of one execution of a call or of the step.
fn timed(planned: &Planned, device: &mut dyn Backend, call: Option<usize>) -> Result<f64> {
    device.time(&planned.train, call, true)?.ok_or_else(|| Error::run("profile: this device keeps no time"))
}

fn row(call: &Call, us: f64, (flop, moved): (f64, f64), floor: f64) -> CallProfile {
    CallProfile {
        name: call.kind.name().into(),
        label: call.label.clone(),
        shape: call.kind.shape(),
        us,
        gbps: moved / us * 1e-3,
        gflops: flop / us * 1e-3,
        share: floor * 1e6 / us,
    }
}

/// Seconds that the work takes at the ceilings.
fn floor_seconds(flop: f64, moved: f64, ceilings: &Ceilings) -> f64 {
    (flop / ceilings.gemm_gflops).max(moved / ceilings.update_gbps) * 1e-9
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

/// 60,000 training images of random bytes, 28x28, and a few for testing.
fn random_sets() -> Sets {
    let set = |name: &str, images: usize| ImageSet {
        name: name.into(),
        channels: 1,
        height: 28,
        width: 28,
        classes: 10,
        images: (0..images * 784).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect(),
        labels: (0..images).map(|i| (i % 10) as u8).collect(),
    };
    Sets { train: set("random", 60_000), valid: None, test: set("random test", 100), ood: None }
}

impl Kind {
    /// Floating-point operations of the matrix products in a call: two per multiply-add; everything else counts as memory.
    pub fn flop(&self) -> f64 {
        match self {
            Self::LinearForward(d, _) | Self::LinearGradInput(d) | Self::LinearGradWeight(d) => linear(d),
            Self::LinearRankUpdate { dims, input_gradient, .. } => {
                linear(dims) * if *input_gradient { 2.0 } else { 1.0 }
            }
            Self::LinearGroupForward(group) => 2.0 * f64::from(group.products),
            Self::LinearGroupGrad { group, input_gradient } => {
                2.0 * f64::from(group.products) * if *input_gradient { 2.0 } else { 1.0 }
            }
            Self::Conv2dForward(d, _)
            | Self::Conv2dGradInput(d)
            | Self::Conv2dGradWeight(d)
            | Self::Conv2dPoolForward(d)
            | Self::Conv2dPoolGradInput(d)
            | Self::Conv2dPoolGradWeight(d) => {
                let outputs = product(&[d.samples, d.batch, d.outputs, d.out_height, d.out_width]);
                2.0 * outputs * product(&[d.channels, d.kernel, d.kernel])
            }
            _ => 0.0,
        }
    }
}

fn linear(d: &crate::call::LinearDims) -> f64 {
    2.0 * product(&[d.samples, d.rows, d.inputs, d.outputs])
}

fn product(factors: &[u32]) -> f64 {
    factors.iter().map(|&factor| f64::from(factor)).product()
}
