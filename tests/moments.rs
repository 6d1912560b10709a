//! Training with bf16 moments beside training with fp32 moments.

use bbh::backend::Target;
use bbh::call::{Moments, Region};
use bbh::data::{self, SyntheticConfig};
use bbh::random::from_bf16;
use bbh::train::config::Config;
use bbh::train::options::{Anneal, MethodKind, ModelKind, OptimizerKind, Options};
use bbh::train::{Planned, Sets, Trainer};
use std::time::Duration;

const EPOCHS: usize = 2;

fn trainer(method: MethodKind, optimizer: OptimizerKind, moments: Moments) -> Trainer {
    let digits = data::load("synthetic", None, SyntheticConfig { train: 1600, test: 20, seed: 0 }).expect("digits");
    let sets = Sets { train: digits.train, valid: None, test: digits.test, ood: None };
    let config = Config::resolve(Options {
        method: Some(method),
        optimizer: Some(optimizer),
        moments: Some(moments),
        model: Some(ModelKind::Mlp),
        mlp_units: Some(vec![24]),
        hidden_units: Some(vec![16, 32]),
        batch: Some(20),
        samples: Some(2),
        epochs: Some(EPOCHS),
        lr: Some(1e-3),
        warmup: Some(20),
        anneal: Some(Anneal(1.0, 8.0)),
        ..Options::default()
    });
    let config = config.expect("a valid configuration");
    Trainer::new(Planned::new(config, sets).expect("plans"), Target::Cpu).expect("memory")
}

/// Second moments of all small parameters.
fn second_moments(trainer: &Trainer) -> Vec<f64> {
    let region = trainer.planned.store.find("moments.second").expect("moments");
    match trainer.planned.config.moments {
        Moments::Fp32 => trainer.device.persistent::<f32>(region).expect("memory").iter().map(|&v| v.into()).collect(),
        Moments::Bf16 => {
            let stored = trainer.device.persistent::<u16>(region).expect("memory");
            stored.iter().map(|&v| from_bf16(v).into()).collect()
        }
    }
}

/// Mean losses of the epochs, and the second moments at the end.
fn trained(method: MethodKind, optimizer: OptimizerKind, moments: Moments) -> (Vec<f64>, Vec<f64>) {
    let mut trainer = trainer(method, optimizer, moments);
    let epoch = |_| {
        trainer.train_epoch(Duration::ZERO, &mut |_, _, _| true).expect("a finite loss");
        trainer.close_epoch(None).expect("a record").loss
    };
    let losses = (0..EPOCHS).map(epoch).collect();
    (losses, second_moments(&trainer))
}

/// The losses, and the mean of the second moments, are those of fp32 moments but for noise.
#[test]
fn bf16_moments_follow_fp32_moments() {
    for (method, optimizer) in [(MethodKind::Map, OptimizerKind::Adam), (MethodKind::Bbh, OptimizerKind::Rmsprop)] {
        let (expected, full) = trained(method, optimizer, Moments::Fp32);
        let (found, half) = trained(method, optimizer, Moments::Bf16);
        println!("{method:?} {optimizer:?}: losses {found:?}, fp32 {expected:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 0.01 * expected, "{method:?} {optimizer:?}: {found}, fp32 {expected}");
        }
        let ratio = half.iter().sum::<f64>() / full.iter().sum::<f64>();
        println!("sum of second moments over that of fp32: {ratio}");
        assert!((ratio - 1.0).abs() <= 0.05, "{method:?} {optimizer:?}: second moments are {ratio} of fp32's");
    }
}

#[test]
fn bf16_moments_start_anew_with_the_run() {
    let mut trainer = trainer(MethodKind::Map, OptimizerKind::Adam, Moments::Bf16);
    trainer.train_epoch(Duration::ZERO, &mut |steps, _, _| steps < 2).expect("a finite loss");
    assert!(second_moments(&trainer).iter().any(|&v| v > 0.0));
    trainer.restart().expect("memory");
    assert!(second_moments(&trainer).iter().all(|&v| v == 0.0));
}

/// An infinite mean square stops its weight without a trace in the loss: the search for it looks at bf16 moments, too.
#[test]
fn an_infinite_bf16_moment_is_found() {
    let mut trainer = trainer(MethodKind::Map, OptimizerKind::Rmsprop, Moments::Bf16);
    let region = trainer.planned.store.find("moments.second").expect("moments");
    let one = Region::contiguous(region.buffer, 1, 1);
    trainer.device.write(one, &[0x7f80_u16]).expect("memory");
    let message = trainer.find_not_finite(1).to_string();
    assert!(message.contains("optimizer_step") && message.contains("moments.second"), "{message}");
}
