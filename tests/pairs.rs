//! Every method with every network of images: the loss falls within a few steps, the divergence is part of it, and a run that goes on
//! from a checkpoint ends with the bits of one that never stopped.

mod common;

use bbh::backend::Target;
use bbh::data::{self, SyntheticConfig};
use bbh::method::{GeneratorKind, KlKind};
use bbh::train::checkpoint::Content;
use bbh::train::config::Config;
use bbh::train::options::{Anneal, MethodKind, ModelKind, Options};
use bbh::train::{EpochRecord, Planned, Sets, Trainer};
use std::path::Path;

const EPOCHS: usize = 6;

/// Each method, with each of its divergences.
fn methods() -> Vec<(&'static str, Options)> {
    let method = |method: MethodKind| Options { method: Some(method), ..Options::default() };
    let bbb = |kl: KlKind| Options { kl: Some(kl), ..method(MethodKind::Bbb) };
    let bbh = |generator: GeneratorKind, kl: KlKind| Options {
        generator: Some(generator),
        kl: Some(kl),
        ..method(MethodKind::Bbh)
    };
    vec![
        ("map", method(MethodKind::Map)),
        ("dropout", Options { keep: Some(0.8), ..method(MethodKind::Dropout) }),
        ("ensemble", Options { members: Some(2), ..method(MethodKind::Ensemble) }),
        ("bbb closed-form", bbb(KlKind::ClosedForm)),
        ("bbb full", bbb(KlKind::Full)),
        ("bbb per-weight", bbb(KlKind::PerWeight)),
        ("bbb disc", bbb(KlKind::Disc)),
        ("mnf", method(MethodKind::Mnf)),
        ("bbh shared full", bbh(GeneratorKind::Shared, KlKind::Full)),
        ("bbh sliced full", bbh(GeneratorKind::Sliced, KlKind::Full)),
        ("bbh layer-wise full", bbh(GeneratorKind::LayerWise, KlKind::Full)),
        ("bbh shared per-weight", bbh(GeneratorKind::Shared, KlKind::PerWeight)),
        ("bbh shared disc", bbh(GeneratorKind::Shared, KlKind::Disc)),
    ]
}

/// Small sizes, and a divergence of little weight from the first step on.
fn small(model: ModelKind, options: &Options) -> Options {
    Options {
        model: Some(model),
        mlp_units: Some(vec![12]),
        depth: Some(1),
        width: Some(8),
        hidden_units: Some(vec![8, 16]),
        flow_hidden: Some(4),
        aux_hidden: Some(4),
        random_weights: Some(50),
        batch: Some(20),
        samples: (options.method != Some(MethodKind::Mnf)).then_some(2),
        epochs: Some(EPOCHS),
        warmup: Some(5),
        lr: Some(if model == ModelKind::Resnet { 2e-2 } else { 5e-3 }),
        anneal: Some(Anneal(0.0, 1e4)),
        ..options.clone()
    }
}

fn trainer(folder: &Path, options: Options) -> Trainer {
    let path = folder.to_str().expect("UTF-8");
    let bars = data::load(path, None, SyntheticConfig::default()).expect("the bars");
    let sets = Sets { train: bars.train, valid: None, test: bars.test, ood: None };
    let config = Config::resolve(Options { data: Some(path.into()), ..options }).expect("a valid configuration");
    Trainer::new(Planned::new(config, sets).expect("plans"), Target::Cpu).expect("memory")
}

fn epoch(trainer: &mut Trainer) -> EpochRecord {
    trainer.train_epoch(std::time::Duration::ZERO, &mut |_, _, _| true).expect("a finite loss");
    let record = trainer.close_epoch(None).expect("a record");
    EpochRecord { seconds: 0.0, images_per_second: 0.0, ..record }
}

fn check(model: ModelKind, name: &str, options: &Options) {
    let folder = tempfile::tempdir().expect("a folder");
    common::write_set(folder.path(), 120, 20);
    let new = || trainer(folder.path(), small(model, options));
    let saved = |name: &str| folder.path().join(name);

    let mut whole = new();
    let first = epoch(&mut whole);
    whole.save(&saved("middle"), Content::All).expect("a checkpoint");
    let rest: Vec<EpochRecord> = (1..EPOCHS).map(|_| epoch(&mut whole)).collect();
    whole.save(&saved("whole"), Content::All).expect("a checkpoint");
    let last = rest.last().expect("epochs");
    println!("{name}: {:.4} -> {:.4}, kl {:.4e}", first.cross_entropy, last.cross_entropy, last.kl);
    assert!(last.cross_entropy < 0.9 * first.cross_entropy, "{model:?} {name}: {first:?} {last:?}");
    // A discriminator is trained for a hundred steps before its divergence counts.
    let counts = options.kl != Some(KlKind::Disc);
    assert!(last.kl.is_finite() && last.kl != 0.0 && (last.scaled_kl != 0.0) == counts, "{model:?} {name}: {last:?}");

    let mut resumed = new();
    resumed.load(&saved("middle"), Content::All).expect("the checkpoint");
    let resumed_rest: Vec<EpochRecord> = (1..EPOCHS).map(|_| epoch(&mut resumed)).collect();
    assert_eq!(rest, resumed_rest, "{model:?} {name}");
    resumed.save(&saved("resumed"), Content::All).expect("a checkpoint");
    let tensors = |file: &str| common::tensors(&saved(file));
    assert!(tensors("whole") == tensors("resumed"), "{model:?} {name}: other bits after a resumption");
}

fn check_all(model: ModelKind) {
    for (name, options) in methods() {
        check(model, name, &options);
    }
}

#[test]
fn lenet_with_every_method() {
    check_all(ModelKind::Lenet);
}

#[test]
fn mlp_with_every_method() {
    check_all(ModelKind::Mlp);
}

#[test]
fn resnet_with_every_method() {
    check_all(ModelKind::Resnet);
}
