//! The methods of the comparison and how each is trained.

use super::structured::Structured;
use crate::data::toy::RANGE;
use crate::method::{Bbb, Bbh, Dropout, Ensemble, GeneratorKind, InitKind, KlKind, Map, Method, Mnf, NoiseKind};

/// A row of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// One network, weight decay.
    Map,
    /// MC dropout.
    Dropout,
    /// Networks of different starts, half of the likelihood of adversarial inputs.
    Ensemble,
    /// Bayes by Backprop.
    Bbb,
    /// Multiplicative normalising flows.
    Mnf,
    /// Bayes by Hypernet, full KL, prior N(0, 1), one noise for all generators.
    Bbh,
    /// Full KL, the prior a mixture of two Gaussians with full covariances.
    BbhStructured,
    /// Full KL, prior N(0, 1), 100 noise dimensions for each generator of its own.
    BbhFullNoise,
    /// Hamiltonian Monte Carlo: the reference.
    Hmc,
}

impl Kind {
    /// All, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Map,
        Self::Dropout,
        Self::Ensemble,
        Self::Bbb,
        Self::Mnf,
        Self::Bbh,
        Self::BbhStructured,
        Self::BbhFullNoise,
        Self::Hmc,
    ];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Dropout => "dropout",
            Self::Ensemble => "ensemble",
            Self::Bbb => "bbb",
            Self::Mnf => "mnf",
            Self::Bbh => "bbh",
            Self::BbhStructured => "bbh-structured",
            Self::BbhFullNoise => "bbh-full-noise",
            Self::Hmc => "hmc",
        }
    }
}

/// A method with the settings of its training.
pub struct Recipe {
    pub kind: Kind,
    pub method: Box<dyn Method>,
    /// Weight samples of a step.
    pub samples: usize,
    pub steps: usize,
    /// Learning rate of Adam.
    pub rate: f32,
    /// Step of the adversarial inputs that half of the likelihood is of.
    pub adversarial: Option<f32>,
    /// Contents of persistent buffers that the method reads, by name.
    pub constants: Vec<(String, Vec<f64>)>,
}

/// What a user may change of every recipe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub steps: Option<usize>,
    pub rate: Option<f32>,
    pub samples: Option<usize>,
}

/// All priors are N(0, 1), as the reference's.
const PRIOR: f32 = 1.0;

/// Steps and rate of the hypernetworks: short and slow. With S draws in hundreds of dimensions every distance is about the same, so
/// that for w ~ N(0, s^2) the full estimate is D/2 ln((1 + 1/s^2) / 2), close to the divergence while s is small, but falling without
/// end where that rises from s = 1 on: with five times the steps weights spread to several times their prior.
const HYPERNET_STEPS: usize = 3000;
const HYPERNET_RATE: f32 = 3e-4;

/// Networks of the ensemble, and the step of their adversarial inputs: a hundredth of the inputs' range, as in Lakshminarayanan et al.
/// 2017.
const MEMBERS: usize = 10;
const ADVERSARIAL: f32 = 0.01 * 2.0 * RANGE as f32;

impl Recipe {
    /// The recipe of a method for a network of `weights` weights; that of the reference is the MAP solution at which it starts.
    pub fn new(kind: Kind, changes: &Changes, (seed, weights): (u64, usize)) -> Self {
        let (method, samples, steps, rate): (Box<dyn Method>, usize, usize, f32) = match kind {
            Kind::Map | Kind::Hmc => (Box::new(Map { prior_scale: PRIOR }), 1, 4000, 1e-2),
            Kind::Dropout => (Box::new(Dropout { keep: 0.5, prior_scale: PRIOR }), 1, 10_000, 1e-2),
            Kind::Ensemble => (Box::new(Ensemble { members: MEMBERS, prior_scale: PRIOR }), 1, 4000, 1e-2),
            Kind::Bbb => {
                let method = Bbb {
                    kl: KlKind::ClosedForm,
                    random_weights: 1,
                    prior_scale: PRIOR,
                    aligned_noise: false,
                    initial_sigma: 0.1,
                };
                (Box::new(method), 10, 10_000, 1e-2)
            }
            Kind::Mnf => {
                let method = Mnf {
                    prior_scale: PRIOR,
                    initial_sigma: 0.1,
                    variance_threshold: PRIOR,
                    flow_steps: 2,
                    flow_hidden: 50,
                    aux_hidden: 100,
                };
                (Box::new(method), 1, 10_000, 3e-3)
            }
            Kind::Bbh => (Box::new(hypernet()), 5, HYPERNET_STEPS, HYPERNET_RATE),
            Kind::BbhStructured => (Box::new(Structured { hypernet: hypernet() }), 5, HYPERNET_STEPS, HYPERNET_RATE),
            Kind::BbhFullNoise => {
                let noise = Bbh { noise_dim: 100, noise: NoiseKind::Independent, ..hypernet() };
                (Box::new(noise), 5, HYPERNET_STEPS, HYPERNET_RATE)
            }
        };
        let constants = match kind {
            Kind::BbhStructured => Structured::constants(seed, weights),
            _ => Vec::new(),
        };
        Self {
            kind,
            method,
            samples: changes.samples.unwrap_or(samples),
            steps: changes.steps.unwrap_or(steps),
            rate: changes.rate.unwrap_or(rate),
            adversarial: (kind == Kind::Ensemble).then_some(ADVERSARIAL),
            constants,
        }
    }
}

fn hypernet() -> Bbh {
    Bbh {
        generator: GeneratorKind::LayerWise,
        noise_dim: 8,
        noise: NoiseKind::Aligned,
        zero_mean: false,
        kl: KlKind::Full,
        random_weights: 1,
        prior_scale: PRIOR,
        hidden: vec![128],
        init: InitKind::HyperfanIn,
    }
}
