//! Training on the simulated device: the CPU's losses for 20 steps, and noise that is new in every replay.

use bbh::backend::Target;
use bbh::backend::cuda::Math;
use bbh::call::Moments;
use bbh::data::{self, SyntheticConfig};
use bbh::method::{GeneratorKind, KlKind};
use bbh::train::config::Config;
use bbh::train::options::{Anneal, MethodKind, ModelKind, OptimizerKind, Options};
use bbh::train::{Planned, Sets, Sums, Trainer};

const STEPS: usize = 20;

/// Largest difference of a step's loss, in parts of the CPU's: rounding grows from step to step.
const TOLERANCE: f64 = 2e-3;

fn sets() -> Sets {
    let digits = data::load("synthetic", None, SyntheticConfig { train: 160, test: 20, seed: 0 }).expect("digits");
    Sets { train: digits.train, valid: None, test: digits.test, ood: None }
}

fn options(method: MethodKind, generator: GeneratorKind, kl: KlKind) -> Options {
    Options {
        method: Some(method),
        generator: Some(generator),
        kl: Some(kl),
        model: Some(ModelKind::Mlp),
        mlp_units: Some(vec![24]),
        hidden_units: Some(vec![16, 32]),
        batch: Some(16),
        samples: Some(3),
        epochs: Some(2),
        warmup: Some(5),
        anneal: Some(Anneal(0.5, 0.5)),
        ..Options::default()
    }
}

/// Sums of the loss after each of the first steps.
fn losses(options: Options, target: Target) -> Vec<f64> {
    let config = Config::resolve(options).expect("a valid configuration");
    let mut trainer = Trainer::new(Planned::new(config, sets()).expect("plans"), target).expect("memory");
    let mut losses = Vec::new();
    while losses.len() < STEPS {
        let mut before = 0.0;
        let mut observe = |_: usize, sums: &Sums, _: f64| {
            losses.push(sums.loss - before);
            before = sums.loss;
            losses.len() < STEPS
        };
        trainer.train_epoch(std::time::Duration::ZERO, &mut observe).expect("a finite loss");
        if losses.len() < STEPS {
            trainer.close_epoch(None).expect("a record");
        }
    }
    losses
}

fn follows(name: &str, options: Options) {
    let expected = losses(options.clone(), Target::Cpu);
    for math in [Math::Fp32, Math::Tf32] {
        let found = losses(options.clone(), Target::Sim(math));
        let tolerance = if math == Math::Fp32 { TOLERANCE } else { 10.0 * TOLERANCE };
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let difference = (found - expected).abs() / expected.abs();
            assert!(difference <= tolerance, "{name}, {}, step {}: {found}, CPU {expected}", math.name(), step + 1);
        }
        let first = &found[0];
        assert!(found.iter().skip(1).all(|loss| loss != first), "{name}: a replay repeats its noise or its batch");
    }
}

#[test]
fn every_generator_follows_the_cpu() {
    for generator in [GeneratorKind::Shared, GeneratorKind::Sliced, GeneratorKind::LayerWise] {
        follows(&format!("{generator:?}"), options(MethodKind::Bbh, generator, KlKind::Full));
    }
}

#[test]
fn dropout_ensembles_and_discriminators_follow_the_cpu() {
    follows("dropout", options(MethodKind::Dropout, GeneratorKind::Shared, KlKind::None));
    let ensemble = options(MethodKind::Ensemble, GeneratorKind::Shared, KlKind::None);
    follows("ensemble", Options { members: Some(2), ..ensemble });
    let disc = options(MethodKind::Bbh, GeneratorKind::Shared, KlKind::Disc);
    follows("discriminator", Options { random_weights: Some(40), ..disc });
}

#[test]
fn flows_follow_the_cpu() {
    let mnf = options(MethodKind::Mnf, GeneratorKind::Shared, KlKind::ClosedForm);
    follows("mnf", Options { samples: None, flow_hidden: Some(6), aux_hidden: Some(10), ..mnf });
}

#[test]
fn the_other_divergence_mixtures_clipping_rmsprop_and_bf16_moments_follow_the_cpu() {
    let per_weight = options(MethodKind::Bbh, GeneratorKind::Sliced, KlKind::PerWeight);
    follows("per weight, mixture", Options { mc: Some(true), ..per_weight });
    let map = options(MethodKind::Map, GeneratorKind::Shared, KlKind::None);
    follows(
        "bf16 moments",
        Options { moments: Some(Moments::Bf16), ..options(MethodKind::Bbh, GeneratorKind::Shared, KlKind::Full) },
    );
    follows(
        "bbb, mixture",
        Options { mc: Some(true), ..options(MethodKind::Bbb, GeneratorKind::Shared, KlKind::ClosedForm) },
    );
    follows("map, clipped", Options { clip: Some(0.01), optimizer: Some(OptimizerKind::Rmsprop), ..map });
}
