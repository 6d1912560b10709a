//! The methods of the comparison and how each is trained.

use crate::method::{Bbb, Bbh, Dropout, Ensemble, GeneratorKind, InitKind, KlKind, Map, Method, NoiseKind};

/// A row of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// One network, weight decay.
    Map,
    /// MC dropout.
    Dropout,
    /// Networks of different starts.
    Ensemble,
    /// Bayes by Backprop.
    Bbb,
    /// Bayes by Hypernet, full KL, prior N(0, 1), one noise for all generators.
    Bbh,
    /// The same, 100 noise dimensions for each generator alone.
    BbhFullNoise,
    /// Hamiltonian Monte Carlo: the reference.
    Hmc,
}

impl Kind {
    /// All, in the order of the table.
    pub const ALL: [Self; 7] =
        [Self::Map, Self::Dropout, Self::Ensemble, Self::Bbb, Self::Bbh, Self::BbhFullNoise, Self::Hmc];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Dropout => "dropout",
            Self::Ensemble => "ensemble",
            Self::Bbb => "bbb",
            Self::Bbh => "bbh",
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

/// Networks of the ensemble.
const MEMBERS: usize = 10;

impl Recipe {
    /// The recipe of a method; that of the reference is the MAP solution at which it starts.
    pub fn new(kind: Kind, changes: &Changes) -> Self {
        let (method, samples, steps, rate): (Box<dyn Method>, usize, usize, f32) = match kind {
            Kind::Map | Kind::Hmc => (Box::new(Map { prior_scale: PRIOR }), 1, 4000, 1e-2),
            Kind::Dropout => (Box::new(Dropout { keep: 0.5, prior_scale: PRIOR }), 1, 10_000, 1e-2),
            Kind::Ensemble => (Box::new(Ensemble { members: MEMBERS, prior_scale: PRIOR }), 1, 4000, 1e-2),
            Kind::Bbb => {
                let method = Bbb { kl: KlKind::ClosedForm, prior_scale: PRIOR, initial_sigma: 0.1 };
                (Box::new(method), 10, 10_000, 1e-2)
            }
            Kind::Bbh => (Box::new(hypernet(8, NoiseKind::Aligned)), 10, 5000, 1e-3),
            Kind::BbhFullNoise => (Box::new(hypernet(100, NoiseKind::Independent)), 10, 5000, 1e-3),
        };
        Self {
            kind,
            method,
            samples: changes.samples.unwrap_or(samples),
            steps: changes.steps.unwrap_or(steps),
            rate: changes.rate.unwrap_or(rate),
            constants: Vec::new(),
        }
    }
}

fn hypernet(noise_dim: usize, noise: NoiseKind) -> Bbh {
    Bbh {
        generator: GeneratorKind::LayerWise,
        noise_dim,
        noise,
        zero_mean: false,
        kl: KlKind::Full,
        prior_scale: PRIOR,
        hidden: vec![64, 128],
        init: InitKind::Glorot,
    }
}
