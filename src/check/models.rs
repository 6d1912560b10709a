//! Cases that are whole models: LeNet, a perceptron and a residual network in reduced size, each with every method, cross-entropy + anneal KL / N, the
//! images an argument too.

use super::case::{Built, Case, argument};
use super::ops::{anneal, labels};
use crate::Result;
use crate::call::scalar;
use crate::graph::{Graph, Shape};
use crate::method::{Bbb, Bbh, Dropout, Ensemble, GeneratorKind, InitKind, KlKind, Map, Method, Mnf, NoiseKind};
use crate::model::{LeNet, Likelihood, Mlp, Model, ResNet};
use crate::ops::elementwise::{add, scale_by_step_scalar};
use crate::ops::noise::uniform;
use crate::ops::norm::NormKind;
use std::sync::Arc;

/// Elements of each parameter that are compared.
const CHECKED: usize = 3;

const SAMPLES: usize = 3;
const BATCH: usize = 3;
const CLASSES: usize = 3;
/// Training images N, so that the KL term weighs about as much as the cross-entropy.
const IMAGES: f32 = 60.0;

/// Images of the networks: the smallest that LeNet takes.
const SIDE: usize = 16;

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for network in networks() {
        cases.push(model_case(&network, "map", Map { prior_scale: 0.8 }, false));
        cases.push(model_case(&network, "dropout", Dropout { keep: 0.5, prior_scale: 0.8 }, false));
        let ensemble = Ensemble { members: 2, prior_scale: 0.8 };
        cases.push(model_case(&network, "ensemble", ensemble.clone(), false));
        cases.push(step_case(&network, "ensemble adversarial", ensemble, false, Some(0.05)));
        for (name, kl, mc) in [
            ("closed-form", KlKind::ClosedForm, false),
            ("closed-form mc", KlKind::ClosedForm, true),
            ("full mc", KlKind::Full, true),
        ] {
            let method = Bbb {
                kl,
                random_weights: 50,
                prior_scale: 0.8,
                aligned_noise: mc && kl == KlKind::ClosedForm,
                initial_sigma: 0.4,
            };
            cases.push(model_case(&network, &format!("bbb {name}"), method, mc));
        }
        cases.push(model_case(&network, "mnf", mnf(2), false));
        for (name, method, mc) in hypernets() {
            cases.push(model_case(&network, &name, method, mc));
        }
    }
    // A layer of one input has a planar flow.
    let narrow: Network = Arc::new(Mlp { inputs: SIDE * SIDE, hidden: vec![1, 3], classes: CLASSES });
    cases.push(model_case(&narrow, "mnf planar", mnf(2), false));
    cases.push(model_case(&narrow, "mnf without flows", mnf(0), false));
    let batch: Network = Arc::new(ResNet { norm: NormKind::Batch, final_norm: false, ..resnet() });
    cases.push(model_case(&batch, "batch map", Map { prior_scale: 0.8 }, false));
    cases.push(model_case(&batch, "batch ensemble", Ensemble { members: 2, prior_scale: 0.8 }, false));
    cases.push(model_case(&batch, "batch bbh sliced full mc", bbh(GeneratorKind::Sliced, KlKind::Full), true));
    cases
}

/// Wide Gaussians, some of them above their threshold.
fn mnf(flow_steps: usize) -> Mnf {
    Mnf { prior_scale: 0.8, initial_sigma: 0.4, variance_threshold: 0.4, flow_steps, flow_hidden: 3, aux_hidden: 4 }
}

type Network = Arc<dyn Model + Send + Sync>;

fn networks() -> [Network; 3] {
    [
        Arc::new(LeNet { channels: 1, height: SIDE, width: SIDE, filters: [2, 3], units: 4, classes: CLASSES }),
        Arc::new(Mlp { inputs: SIDE * SIDE, hidden: vec![3, 5], classes: CLASSES }),
        Arc::new(resnet()),
    ]
}

fn resnet() -> ResNet {
    ResNet {
        channels: 1,
        height: SIDE,
        width: SIDE,
        depth: 1,
        filters: 2,
        norm: NormKind::Instance,
        final_norm: true,
        classes: CLASSES,
    }
}

/// Every generator with every KL, on the first sample and on all, and the variants that change the graph.
fn hypernets() -> Vec<(String, Bbh, bool)> {
    let mut all = Vec::new();
    for (name, generator) in
        [("layer-wise", GeneratorKind::LayerWise), ("sliced", GeneratorKind::Sliced), ("shared", GeneratorKind::Shared)]
    {
        let plain = bbh(generator, KlKind::Full);
        for (kl_name, kl) in [("full", KlKind::Full), ("per-weight", KlKind::PerWeight), ("none", KlKind::None)] {
            for (mc_name, mc) in [("", false), (" mc", true)] {
                all.push((format!("bbh {name} {kl_name}{mc_name}"), Bbh { kl, ..plain.clone() }, mc));
            }
        }
        let hyperfan = Bbh { init: InitKind::HyperfanIn, ..plain.clone() };
        all.push((format!("bbh {name} full mc hyperfan-in"), hyperfan, true));
        if generator != GeneratorKind::Shared {
            let independent = Bbh { noise: NoiseKind::Independent, ..plain };
            all.push((format!("bbh {name} full mc independent"), independent, true));
        } else {
            let centred = Bbh { zero_mean: true, ..plain };
            all.push((format!("bbh {name} full mc zero-mean"), centred.clone(), true));
            let centred = Bbh { kl: KlKind::PerWeight, init: InitKind::HyperfanIn, ..centred };
            all.push((format!("bbh {name} per-weight zero-mean hyperfan-in"), centred, false));
        }
    }
    all
}

fn bbh(generator: GeneratorKind, kl: KlKind) -> Bbh {
    Bbh {
        generator,
        noise_dim: 2,
        noise: NoiseKind::Aligned,
        zero_mean: false,
        kl,
        random_weights: 50,
        prior_scale: 0.8,
        hidden: vec![3, 4],
        init: InitKind::Glorot,
    }
}

fn model_case(network: &Network, name: &str, method: impl Method + Send + Sync + 'static, mc: bool) -> Case {
    step_case(network, name, method, mc, None)
}

/// The loss of a training step.
fn step_case(
    network: &Network,
    name: &str,
    method: impl Method + Send + Sync + 'static,
    mc: bool,
    adversarial: Option<f32>,
) -> Case {
    let network = network.clone();
    let op = format!("{} {name}", network.name());
    let build = move |g: &mut Graph| loss(g, network.as_ref(), &method, mc, adversarial);
    Case { op, name: "whole model".into(), limit: CHECKED, seeded: false, build: Box::new(build) }
}

/// As `train::step`, without what moves the step on.
fn loss(g: &mut Graph, network: &dyn Model, method: &dyn Method, mc: bool, adversarial: Option<f32>) -> Result<Built> {
    let members = method.networks().members();
    let x = [('S', members), ('N', BATCH), ('C', 1), ('H', SIDE), ('W', SIDE)];
    // Adversarial images are constants for gradients, but move with x when x itself is moved.
    let x = match adversarial {
        Some(_) => uniform(g, "x", Shape::new(&x), 0.0, 1.0)?,
        None => argument(g, "x", &x)?,
    };
    let ([labels, row_weights], mut constants) = labels(g, members * BATCH, CLASSES)?;
    let specs = network.weights();
    let samples = method.networks().samples(SAMPLES);
    let weights = method.network(g, &specs, samples)?;
    let read = if mc { samples } else { members };
    let likelihood =
        Likelihood { model: network, weights: weights.first_samples(g, read)?, labels, row_weights, adversarial };
    let (cross_entropy, _) = likelihood.cross_entropy(g, x)?;
    let output = match method.kl(g, &specs, &weights)? {
        Some(kl) => {
            let scaled = scale_by_step_scalar(g, "scaled_kl", kl, scalar::ANNEAL, 1.0 / IMAGES)?;
            add(g, "loss", cross_entropy, scaled, 1.0)?
        }
        None => cross_entropy,
    };
    constants.push(anneal(g));
    Ok(Built { output, constants })
}
