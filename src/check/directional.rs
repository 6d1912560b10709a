//! Gradients that a backend computes in f32 against differences of what it computes forward, along one random direction for
//! each argument. Coarser than the check in f64, but of the kernels themselves.

use super::branches;
use super::case::{Constant, uniform};
use super::prepared::Prepared;
use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::call::Region;
use crate::graph::Store;
use crate::plan::Plan;
use crate::{Error, Result};

/// Steps to try, largest first: where a larger one crosses a kink, a smaller one may not.
const STEPS: [f64; 5] = [1.0 / 64.0, 1.0 / 256.0, 1.0 / 1024.0, 1.0 / 4096.0, 1.0 / 16384.0];

/// How closely a step and its half must agree, in parts of the derivative.
const CURVATURE: f64 = 1e-3;

/// Rounding of the output in f32, in parts of the sum of the sizes of its terms.
const ROUNDING: f64 = 2.0 * f32::EPSILON as f64;

/// Makes a backend for a store and its plans.
pub type Open<'a> = &'a dyn Fn(&Store, &[&Plan]) -> Result<Box<dyn Backend>>;

/// Compares both gradient plans of a case, run by a backend that `gradients` opens, with differences of the output that one
/// opened by `output` computes. `tolerance`: in parts of the sum of the sizes of the terms of gradient times direction.
/// Returns the gradients compared; an argument whose every step crosses a kink is left out, and so is a plan that takes other
/// branches than the CPU does.
///
/// # Errors
/// When the backend fails, or a derivative differs: the sentence names the case, the argument and both values.
pub fn check_directions(
    prepared: &Prepared,
    seed: u64,
    (output, gradients): (Open, Open),
    tolerance: f64,
) -> Result<usize> {
    let [forward, unfused, fused] = [&prepared.forward, &prepared.plans[0], &prepared.plans[1]].map(narrow);
    let mut device = output(&prepared.store, &[&forward])?;
    let mut gradient_device = gradients(&prepared.store, &[&unfused, &fused])?;
    for device in [device.as_mut(), gradient_device.as_mut()] {
        fill(device, &prepared.values)?;
    }
    let mut cpu = prepared.device(&[&prepared.forward])?;
    // A backend that rounds operands may take another branch at a kink; its gradient is then that of another function.
    let mut plans = Vec::new();
    for (plan, wide) in [&unfused, &fused].into_iter().zip(&prepared.plans) {
        let mut cpu = prepared.device(&[wide])?;
        if branches::run_on(gradient_device.as_mut(), plan)? == branches::run(&mut cpu, wide) {
            plans.push(plan);
        }
    }
    let mut compared = 0;
    for index in 0..prepared.arguments.len() {
        let argument = Argument::new(prepared, index, seed)?;
        let difference = argument.difference(prepared, &forward, device.as_mut(), &mut cpu)?;
        let Some(difference) = difference else { continue };
        for plan in &plans {
            compared += 1;
            gradient_device.run(plan)?;
            let gradient = gradient_device.read::<f32>(plan, plan.gradients[index])?;
            argument.compare(prepared, &difference, &gradient, tolerance)?;
        }
    }
    Ok(compared)
}

/// A parameter, its values and the direction along which it moves.
struct Argument {
    region: Region,
    name: String,
    values: Vec<f64>,
    direction: Vec<f64>,
}

/// A derivative along a direction, and how far rounding may have moved it.
struct Difference {
    value: f64,
    noise: f64,
}

impl Argument {
    fn new(prepared: &Prepared, index: usize, seed: u64) -> Result<Self> {
        let name = prepared.arguments[index].name.clone();
        let region = prepared.store.find(&name)?;
        let values = prepared.values.iter().find_map(|value| match value {
            Constant::Real(found, values) if *found == region => Some(values.clone()),
            _ => None,
        });
        let values = values.ok_or_else(|| Error::check(format!("{name} has no values")))?;
        let direction = uniform(seed, &format!("direction {name}"), values.len());
        Ok(Self { region, name, values, direction })
    }

    /// The derivative by the largest step that crosses no kink and is small enough for the curvature.
    fn difference(
        &self,
        prepared: &Prepared,
        forward: &Plan,
        device: &mut dyn Backend,
        cpu: &mut Cpu<f64>,
    ) -> Result<Option<Difference>> {
        let step = STEPS.into_iter().find(|&step| self.is_smooth(prepared, cpu, step));
        self.outcome(prepared, cpu, 0.0);
        let Some(step) = step else { return Ok(None) };
        let mut output = |step: f64| {
            write(device, self.region, &self.moved(step))?;
            device.run(forward)?;
            let values = device.read::<f32>(forward, forward.kept[0])?;
            let terms = || values.iter().zip(&prepared.seeds).map(|(value, seed)| f64::from(*value) * seed);
            Ok::<_, Error>((terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>()))
        };
        let ((ahead, size), (behind, _)) = (output(step)?, output(-step)?);
        write(device, self.region, &self.values)?;
        Ok(Some(Difference { value: (ahead - behind) / (2.0 * step), noise: ROUNDING * size / step }))
    }

    /// True when the CPU, in f64, takes the same branches over the step, and half of it gives the same derivative.
    fn is_smooth(&self, prepared: &Prepared, cpu: &mut Cpu<f64>, step: f64) -> bool {
        let here = self.outcome(prepared, cpu, 0.0).1;
        let mut derivative = |step: f64| {
            let ((ahead, after), (behind, before)) =
                (self.outcome(prepared, cpu, step), self.outcome(prepared, cpu, -step));
            (after == here && before == here).then_some((ahead - behind) / (2.0 * step))
        };
        match (derivative(step), derivative(step / 2.0)) {
            (Some(whole), Some(half)) => (whole - half).abs() <= CURVATURE * half.abs().max(f64::MIN_POSITIVE),
            _ => false,
        }
    }

    /// What the CPU computes `step` along the direction: the output, and a digest of the branches taken.
    fn outcome(&self, prepared: &Prepared, cpu: &mut Cpu<f64>, step: f64) -> (f64, u64) {
        cpu.persistent_mut::<f64>(self.region).copy_from_slice(&self.moved(step));
        let digest = branches::run(cpu, &prepared.forward);
        let output = cpu.read::<f64>(&prepared.forward, prepared.forward.kept[0]);
        (output.iter().zip(&prepared.seeds).map(|(value, seed)| value * seed).sum(), digest)
    }

    fn compare(&self, prepared: &Prepared, expected: &Difference, gradient: &[f32], tolerance: f64) -> Result<()> {
        let terms = || gradient.iter().zip(&self.direction).map(|(g, v)| f64::from(*g) * v);
        let (found, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
        if (found - expected.value).abs() <= tolerance * size + expected.noise {
            return Ok(());
        }
        Err(Error::check(format!(
            "{} {}, {}: the gradient along a direction is {found:.6e}, differences give {:.6e} +- {:.1e}",
            prepared.op, prepared.name, self.name, expected.value, expected.noise
        )))
    }

    /// The values, rounded to f32, moved by `step` along the direction.
    fn moved(&self, step: f64) -> Vec<f64> {
        self.values.iter().zip(&self.direction).map(|(value, v)| f64::from((value + step * v) as f32)).collect()
    }
}

/// A plan for elements of 4 bytes at the offsets of one for 8.
fn narrow(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.workspace.real_bytes = size_of::<f32>();
    plan
}

fn fill(device: &mut dyn Backend, values: &[Constant]) -> Result<()> {
    values.iter().try_for_each(|value| match value {
        Constant::Real(region, values) => write(device, *region, values),
        Constant::Words(region, words) => device.write(*region, words),
    })
}

fn write(device: &mut dyn Backend, region: Region, values: &[f64]) -> Result<()> {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    device.write(region, &values)
}
