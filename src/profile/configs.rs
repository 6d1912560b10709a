//! Training steps by name.

use crate::method::GeneratorKind;
use crate::train::config::Config;
use crate::train::options::{Anneal, MethodKind, ModelKind, Options};
use crate::{Error, Result};

/// Names that [`named`] knows.
pub const CONFIGS: [&str; 25] = [
    "lenet-full",
    "lenet-sliced",
    "lenet-shared",
    "lenet-map",
    "lenet-bbb",
    "lenet-dropout",
    "lenet-ensemble",
    "lenet-mnf",
    "map",
    "mlp-full",
    "mlp-sliced",
    "mlp-shared",
    "mlp-map",
    "mlp-bbb",
    "mlp-dropout",
    "mlp-ensemble",
    "mlp-mnf",
    "resnet-full",
    "resnet-sliced",
    "resnet-shared",
    "resnet-map",
    "resnet-bbb",
    "resnet-dropout",
    "resnet-ensemble",
    "resnet-mnf",
];

/// The configuration of a named step: batch 100 and S = 5 unless `options` say otherwise, the KL term on, Adam. `map` is short
/// for `lenet-map`; `resnet` is that of CIFAR5, on crops.
///
/// # Errors
/// When the name is unknown, or an option has a value that no run can have.
pub fn named(name: &str, options: Options) -> Result<Config> {
    let unknown = || Error::input(format!("config: expected one of {}, found {name}", CONFIGS.join(", ")));
    let known = if CONFIGS.contains(&name) { name } else { return Err(unknown()) };
    let (model, weights) = known.split_once('-').unwrap_or(("lenet", known));
    let (model, data) = match model {
        "mlp" => (ModelKind::Mlp, options.data),
        "resnet" => (ModelKind::Resnet, Some("cifar5".into())),
        _ => (ModelKind::Lenet, options.data),
    };
    let (method, generator) = match weights {
        "full" => (MethodKind::Bbh, GeneratorKind::LayerWise),
        "sliced" => (MethodKind::Bbh, GeneratorKind::Sliced),
        "shared" => (MethodKind::Bbh, GeneratorKind::Shared),
        "bbb" => (MethodKind::Bbb, GeneratorKind::Shared),
        "dropout" => (MethodKind::Dropout, GeneratorKind::Shared),
        "ensemble" => (MethodKind::Ensemble, GeneratorKind::Shared),
        "mnf" => (MethodKind::Mnf, GeneratorKind::Shared),
        _ => (MethodKind::Map, GeneratorKind::Shared),
    };
    Config::resolve(Options {
        data,
        model: Some(model),
        method: Some(method),
        generator: Some(generator),
        anneal: Some(Anneal(0.0, 0.0)),
        ood: Some("none".into()),
        ..options
    })
}
