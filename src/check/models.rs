//! Cases that are whole models: LeNet and a perceptron in reduced size, each with MAP, Bayes by Backprop and every kind of Bayes by
//! Hypernet, cross-entropy + anneal KL / N, the images an argument too.

use super::case::{Built, Case, argument};
use super::ops::{anneal, labels};
use crate::Result;
use crate::call::scalar;
use crate::graph::{Graph, TensorId};
use crate::method::{Bbb, Bbh, GeneratorKind, InitKind, KlKind, Map, Method, NoiseKind};
use crate::model::{LeNet, Mlp, Model};
use crate::ops::elementwise::{add, scale_by_step_scalar};
use crate::ops::softmax::softmax_xent;
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
        for (name, kl, mc) in [
            ("closed-form", KlKind::ClosedForm, false),
            ("closed-form mc", KlKind::ClosedForm, true),
            ("full mc", KlKind::Full, true),
        ] {
            let method = Bbb { kl, prior_scale: 0.8, initial_sigma: 0.4 };
            cases.push(model_case(&network, &format!("bbb {name}"), method, mc));
        }
        for (name, method, mc) in hypernets() {
            cases.push(model_case(&network, &name, method, mc));
        }
    }
    cases
}

type Network = Arc<dyn Model + Send + Sync>;

fn networks() -> [Network; 2] {
    [
        Arc::new(LeNet { channels: 1, height: SIDE, width: SIDE, filters: [2, 3], units: 4, classes: CLASSES }),
        Arc::new(Mlp { inputs: SIDE * SIDE, hidden: vec![3, 5], classes: CLASSES }),
    ]
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
        prior_scale: 0.8,
        hidden: vec![3, 4],
        init: InitKind::Glorot,
    }
}

fn model_case(network: &Network, name: &str, method: impl Method + Send + Sync + 'static, mc: bool) -> Case {
    let network = network.clone();
    let op = format!("{} {name}", network.name());
    let build = move |g: &mut Graph| loss(g, network.as_ref(), &method, mc);
    Case { op, name: "whole model".into(), limit: CHECKED, seeded: false, build: Box::new(build) }
}

/// The loss of a training step (see `train::step`), without what moves the step on.
fn loss(g: &mut Graph, network: &dyn Model, method: &dyn Method, mc: bool) -> Result<Built> {
    let x = argument(g, "x", &[('S', 1), ('N', BATCH), ('C', 1), ('H', SIDE), ('W', SIDE)])?;
    let ([labels, rows], mut constants) = labels(g, BATCH, CLASSES)?;
    let specs = network.weights();
    let weights = method.weights(g, &specs, SAMPLES)?;
    let first: Result<Vec<TensorId>> = weights.iter().map(|&w| g.first_samples(w, 1)).collect();
    let likelihood = if mc { weights.clone() } else { first? };
    let logits = network.logits(g, x, &likelihood)?;
    let (cross_entropy, _) = softmax_xent(g, "cross_entropy", logits, labels, rows)?;
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
