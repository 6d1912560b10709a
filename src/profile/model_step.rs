//! The profile of a training step.

use super::{Profile, measure};
use crate::Result;
use crate::backend::Target;
use crate::data::ImageSet;
use crate::train::config::Config;
use crate::train::{Planned, Sets, Trainer};

/// Profiles the training step of a configuration on 60,000 images of fixed bytes. On a device with a clock: some steps to warm
/// up, `repeats` whole steps, then `repeats` times each call alone.
///
/// # Errors
/// When the configuration cannot be planned, the memory is missing or the device fails.
pub fn step(name: &str, config: Config, target: Target, repeats: usize) -> Result<Profile> {
    let planned = Planned::new(config, sets())?;
    planned.check_memory(target)?;
    let mut device = target.open(&planned.store, &planned.plans())?;
    let ceilings = device.ceilings()?;
    let calls: Vec<usize> = (0..planned.train.calls.len()).collect();
    let heading = measure::Heading { name, device: target.describe() };
    let Some(ceilings) = ceilings else {
        return Ok(measure::counts(heading, (&planned.store, &planned.train), device.as_ref(), &calls).sorted());
    };
    let mut trainer = Trainer::on(planned, device)?;
    let (planned, device) = (&trainer.planned, trainer.device.as_mut());
    let plan = (&planned.store, &planned.train);
    let times = measure::Times::of_plan(plan.1, device, repeats)?;
    Ok(measure::counts(heading, plan, device, &calls).with_times(ceilings, device.math(), &times).sorted())
}

/// 60,000 training images 28x28, and a few for testing.
fn sets() -> Sets {
    let bytes: Vec<u8> = (0..78_400_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let set = |name: &str, hundreds: usize| ImageSet {
        name: name.into(),
        channels: 1,
        height: 28,
        width: 28,
        classes: 10,
        images: bytes.repeat(hundreds),
        labels: (0..100 * hundreds).map(|i| (i % 10) as u8).collect(),
    };
    Sets { train: set("fixed bytes", 600), valid: None, test: set("fixed bytes", 1), ood: None }
}
