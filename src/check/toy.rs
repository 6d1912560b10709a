//! Cases that are the network of the cubic regression: one input, one output, Gaussian likelihood, with every method of
//! `bbh toy` in reduced size: the loss that its training steps descend.

use super::case::{Built, Case, Constant};
use super::ops::anneal;
use crate::Result;
use crate::graph::Graph;
use crate::method::{Bbb, Bbh, Dropout, Ensemble, GeneratorKind, InitKind, KlKind, Map, Method, Mnf, NoiseKind};
use crate::toy::{Structured, Task, loss};

/// Elements of each parameter that are compared.
const CHECKED: usize = 3;

/// Weight samples of a step, where a method draws them.
const SAMPLES: usize = 3;

/// Seed, points and hidden units.
const SEED: u64 = 2;
const POINTS: usize = 5;
const UNITS: usize = 3;

/// Step of the adversarial inputs.
const STEP: f32 = 0.08;

const PRIOR: f32 = 0.8;

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let ensemble = Ensemble { members: 2, prior_scale: PRIOR };
    let full = bbh(NoiseKind::Aligned);
    vec![
        case("map", Map { prior_scale: PRIOR }, None),
        case("dropout", Dropout { keep: 0.5, prior_scale: PRIOR }, None),
        case("ensemble", ensemble.clone(), None),
        case("ensemble adversarial", ensemble, Some(STEP)),
        case("bbb closed-form", bbb(KlKind::ClosedForm), None),
        case("bbb full", bbb(KlKind::Full), None),
        case("mnf", mnf(), None),
        case("bbh layer-wise full", full.clone(), None),
        case("bbh layer-wise full independent", bbh(NoiseKind::Independent), None),
        case("bbh layer-wise full structured", Structured { hypernet: full }, None),
    ]
}

fn bbb(kl: KlKind) -> Bbb {
    Bbb { kl, random_weights: 1, prior_scale: PRIOR, aligned_noise: false, initial_sigma: 0.4 }
}

fn mnf() -> Mnf {
    Mnf {
        prior_scale: PRIOR,
        initial_sigma: 0.4,
        variance_threshold: 0.4,
        flow_steps: 2,
        flow_hidden: 3,
        aux_hidden: 4,
    }
}

/// With noise of so many dimensions that samples are about equally far apart: the minimum of composed distances loses digits where
/// one is much smaller.
fn bbh(noise: NoiseKind) -> Bbh {
    Bbh {
        generator: GeneratorKind::LayerWise,
        noise_dim: 8,
        noise,
        zero_mean: false,
        kl: KlKind::Full,
        random_weights: 1,
        prior_scale: PRIOR,
        hidden: vec![6],
        init: InitKind::HyperfanIn,
    }
}

fn case(name: &str, method: impl Method + Send + Sync + 'static, adversarial: Option<f32>) -> Case {
    let build = move |g: &mut Graph| built(g, &method, adversarial);
    Case {
        op: format!("toy {name}"),
        name: "whole model".into(),
        limit: CHECKED,
        seeded: false,
        build: Box::new(build),
    }
}

fn built(g: &mut Graph, method: &dyn Method, adversarial: Option<f32>) -> Result<Built> {
    let task = Task::new(SEED, POINTS, UNITS)?;
    let output = loss(g, &task, (method, SAMPLES), adversarial)?;
    let prior = Structured::constants(SEED, task.weights());
    let prior = prior.into_iter().filter_map(|(name, values)| Some((g.store.find(&name).ok()?, values)));
    let data = task.constants(g.store).into_iter().chain(prior);
    let mut constants: Vec<Constant> = data.map(|(region, values)| Constant::Real(region, values)).collect();
    constants.push(anneal(g));
    Ok(Built { output, constants })
}
