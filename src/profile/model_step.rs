//! The profile of a training step.

use super::{Profile, measure};
use crate::Result;
use crate::backend::Target;
use crate::data::ImageSet;
use crate::train::config::Config;
use crate::train::options::ModelKind;
use crate::train::{Planned, Sets, Trainer};

/// Profiles the training step of a configuration on images of fixed bytes: 60,000 digits, for a residual
/// network 20,000 colour images. On a device with a clock: some steps to warm
/// up, `repeats` whole steps, then `repeats` times each call alone.
///
/// # Errors
/// When the configuration cannot be planned, the memory is missing or the device fails.
pub fn step(name: &str, config: Config, target: Target, repeats: usize) -> Result<Profile> {
    let sets = sets(config.model);
    let planned = Planned::new(config, sets)?;
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

/// Training images like MNIST's or, for a residual network, CIFAR5's, and a few for testing.
fn sets(model: ModelKind) -> Sets {
    let (channels, side, classes, train) = match model {
        ModelKind::Resnet => (3, 32, 5, 200),
        _ => (1, 28, 10, 600),
    };
    let bytes: Vec<u8> =
        (0..100 * channels * side * side).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let set = |hundreds: usize| ImageSet {
        name: "fixed bytes".into(),
        channels,
        height: side,
        width: side,
        classes,
        images: bytes.repeat(hundreds),
        labels: (0..100 * hundreds).map(|i| (i % classes) as u8).collect(),
    };
    Sets { train: set(train), valid: None, test: set(1), ood: None }
}
