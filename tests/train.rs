//! What the defaults must learn, on digits that the program draws: guards of initialisation, rate and schedule.

use bbh::backend::Target;
use bbh::data::{self, SyntheticConfig};
use bbh::eval::TestReport;
use bbh::method::{GeneratorKind, InitKind};
use bbh::train::config::Config;
use bbh::train::options::{Anneal, MethodKind, Options};
use bbh::train::{Planned, Sets, Trainer};

/// Test accuracy after training on `images` drawn digits.
fn accuracy(options: Options, images: usize) -> f64 {
    let digits = data::load("synthetic", None, SyntheticConfig { train: images, test: 1000, seed: 0 }).expect("digits");
    let labels = digits.test.labels.clone();
    let sets = Sets { train: digits.train, valid: None, test: digits.test, ood: None };
    let config = Config::resolve(options).expect("a valid configuration");
    let epochs = config.epochs;
    let mut trainer = Trainer::new(Planned::new(config, sets).expect("plans"), Target::Cpu).expect("memory");
    for _ in 0..epochs {
        trainer.train_epoch(std::time::Duration::ZERO, &mut |_, _, _| true).expect("a finite loss");
        trainer.close_epoch(None).expect("a record");
    }
    let (prediction, _) = trainer.predict_test(10, &mut |_| Ok(())).expect("predictions");
    TestReport::new(&prediction, &labels).expect("a report").accuracy
}

fn generated(generator: GeneratorKind, init: InitKind) -> Options {
    let (generator, init) = (Some(generator), Some(init));
    let (epochs, anneal) = (Some(2), Some(Anneal(2.0, 1.0)));
    Options { generator, init, epochs, anneal, warmup: Some(40), ..Options::default() }
}

/// The linear classifier's accuracy on the same digits, 86.6% after 10,000 images, is measured in `tests/data`.
#[test]
fn lenet_is_clearly_better_than_a_linear_classifier() {
    let options = Options { method: Some(MethodKind::Map), epochs: Some(3), ..Options::default() };
    let found = accuracy(options, 10_000);
    assert!(found > 0.965, "LeNet reaches {found}");
}

#[test]
fn sliced_generators_train_from_the_default_start_but_not_from_glorot() {
    let found = accuracy(generated(GeneratorKind::Sliced, InitKind::HyperfanIn), 6000);
    assert!(found > 0.80, "hyperfan-in reaches {found}");
    let glorot = accuracy(generated(GeneratorKind::Sliced, InitKind::Glorot), 6000);
    assert!(glorot < 0.50, "Glorot reaches {glorot}; then hyperfan-in is no longer needed");
}

#[test]
fn the_shared_generator_trains_from_the_default_start() {
    let found = accuracy(generated(GeneratorKind::Shared, InitKind::HyperfanIn), 6000);
    assert!(found > 0.80, "hyperfan-in reaches {found}");
}
