//! What a user may say about a run, on the command line or in a TOML file: the same names, every one optional.

use crate::call::Moments;
use crate::method::{GeneratorKind, InitKind, KlKind, NoiseKind};
use crate::ops::norm::NormKind;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Methods by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MethodKind {
    /// Bayes by Hypernet.
    Bbh,
    /// One set of weights with weight decay.
    Map,
    /// Bayes by Backprop: each weight a Gaussian of its own.
    Bbb,
    /// MC dropout: activations dropped at random, in predictions too.
    Dropout,
    /// Networks of different random starts, trained side by side.
    Ensemble,
    /// Multiplicative normalising flows: Gaussian weights scaled by flows of noise.
    Mnf,
}

/// Main networks by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    Lenet,
    /// Dense layers of `mlp-units`.
    Mlp,
    /// Residual units of pre-activation: three scales of `depth` units, `width` filters in the first.
    Resnet,
}

/// Optimisers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    Adam,
    Rmsprop,
}

/// How the learning rate falls after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DecayKind {
    /// Half a cosine, to 0 at the last step.
    Cosine,
    Constant,
}

/// Two numbers of epochs, written START,LENGTH.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anneal(pub f32, pub f32);

impl std::str::FromStr for Anneal {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers: Vec<f32> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        match numbers[..] {
            [start, length] if start >= 0.0 && length >= 0.0 && text.split(',').count() == 2 => Ok(Self(start, length)),
            _ => Err("expected START,LENGTH in epochs, both at least 0, as in 5,15".into()),
        }
    }
}

/// Settings of a run that decide its result. Everything left out takes the preset's value, or else the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Options {
    /// Data set: mnist, fashion-mnist, cifar10, cifar5 (its classes 0 to 4), synthetic (default), a folder with the four
    /// IDX files or the binary batches of CIFAR-10, or their .tar.gz.
    #[arg(value_name = "DATA")]
    pub data: Option<String>,
    /// Settings by name, such as the authors' paper/bbh-noise8; bbh presets lists them. Other flags win.
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Where the weights come from. Default: bbh.
    #[arg(long, value_enum)]
    pub method: Option<MethodKind>,
    /// Main network. Default: lenet.
    #[arg(long, value_enum)]
    pub model: Option<ModelKind>,
    /// Hidden units of the main network, for --model mlp. Default: 400,400.
    #[arg(long, value_delimiter = ',', value_name = "UNITS")]
    pub mlp_units: Option<Vec<usize>>,
    /// Residual units of each of the three scales, for --model resnet. Default: 5.
    #[arg(long, value_name = "UNITS")]
    pub depth: Option<usize>,
    /// Filters of the first scale of --model resnet; each further one has twice as many. Default: 16.
    #[arg(long, value_name = "FILTERS")]
    pub width: Option<usize>,
    /// Whose mean and variance --model resnet normalises with: those of each image, or of the batch, on which a prediction then
    /// depends. Default: instance.
    #[arg(long, value_enum)]
    pub norm: Option<NormKind>,
    /// How the generators divide the weights among themselves. Default: shared.
    #[arg(long, value_enum)]
    pub generator: Option<GeneratorKind>,
    /// Dimension of the generators' noise. Default: 8.
    #[arg(long, value_name = "K")]
    pub noise_dim: Option<usize>,
    /// One noise for all generators, or one for each. Default: aligned.
    #[arg(long, value_enum)]
    pub noise: Option<NoiseKind>,
    /// Subtract the mean over the samples from the generated weights (shared generator).
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub zero_mean: Option<bool>,
    /// The divergence from the prior. Default: full (bbb: closed-form).
    #[arg(long, value_enum)]
    pub kl: Option<KlKind>,
    /// Weights of a step that the discriminator of --kl disc sees, drawn at random. Default: 5000.
    #[arg(long, value_name = "M")]
    pub random_weights: Option<usize>,
    /// Standard deviation of the prior (MAP: 1 / strength of the weight decay). Default: 1.
    #[arg(long, value_name = "SCALE")]
    pub prior_scale: Option<f32>,
    /// Standard deviation at which the weights of --method bbb and mnf start. Default: 0.011109 (log variance -9), for --model
    /// resnet 3.059e-7 (-30).
    #[arg(long, value_name = "SIGMA")]
    pub initial_sigma: Option<f32>,
    /// --method bbb: one number of noise for each tensor and sample, instead of one for each weight.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub aligned_noise: Option<bool>,
    /// Probability with which --method dropout keeps an activation. Default: 0.5.
    #[arg(long, value_name = "SHARE")]
    pub keep: Option<f32>,
    /// Networks of --method ensemble. Default: 10, for cifar5 and cifar10 5.
    #[arg(long, value_name = "COUNT")]
    pub members: Option<usize>,
    /// Largest standard deviation of the weights of --method mnf. Default: 0.5, for --model resnet 0.3.
    #[arg(long, value_name = "SIGMA")]
    pub variance_threshold: Option<f32>,
    /// Steps of the flows of --method mnf. Default: 2.
    #[arg(long, value_name = "COUNT")]
    pub flow_steps: Option<usize>,
    /// Hidden units of a step of the flow that makes the multipliers of --method mnf. Default: 50.
    #[arg(long, value_name = "UNITS")]
    pub flow_hidden: Option<usize>,
    /// Hidden units of a step of the auxiliary flow of --method mnf. Default: 100.
    #[arg(long, value_name = "UNITS")]
    pub aux_hidden: Option<usize>,
    /// Half of the likelihood is of images moved by STEP along the sign of its gradient; 0: none. Default: 0.01 for ensemble, else 0.
    #[arg(long, value_name = "STEP")]
    pub adversarial: Option<f32>,
    /// The KL's factor is 0 up to epoch START, then rises to 1 over LENGTH epochs. Default: half and one and a half times
    /// --epochs, for synthetic half and six times.
    #[arg(long, value_name = "START,LENGTH")]
    pub anneal: Option<Anneal>,
    /// All samples in the likelihood, not the first alone.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub mc: Option<bool>,
    /// Weight samples of a training step. Default: 5 (bbb with neither --mc nor an estimated KL: 1; mnf: 1).
    #[arg(long, value_name = "S")]
    pub samples: Option<usize>,
    /// Hidden units of the generators. Default: 64,256,512.
    #[arg(long, value_delimiter = ',', value_name = "UNITS")]
    pub hidden_units: Option<Vec<usize>>,
    /// How the generators start. Default: hyperfan-in.
    #[arg(long, value_enum)]
    pub init: Option<InitKind>,
    /// Default: adam.
    #[arg(long, value_enum)]
    pub optimizer: Option<OptimizerKind>,
    /// How the optimiser's moments are stored: bf16, rounded at random, takes half the memory. Default: fp32.
    #[arg(long, value_enum)]
    pub moments: Option<Moments>,
    /// Learning rate. Default: 2e-3, for sliced and layer-wise generators 1e-3.
    #[arg(long)]
    pub lr: Option<f32>,
    /// Steps over which the learning rate rises from 0. Default: 100.
    #[arg(long, value_name = "STEPS")]
    pub warmup: Option<u32>,
    /// How the learning rate falls after the warm-up. Default: cosine.
    #[arg(long, value_enum)]
    pub decay: Option<DecayKind>,
    /// Clip each element of the gradients to [-BOUND, BOUND] (gradients are then stored). Default: 5 with --kl disc, else none.
    #[arg(long, value_name = "BOUND")]
    pub clip: Option<f32>,
    /// Train on random standardised 24x24 crops, flipped and of random contrast, and evaluate the centre. Default: true for
    /// cifar10 and cifar5, else false.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub augment: Option<bool>,
    /// Images of a step. Default: 100.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Passes over the training images. Default: 10, synthetic 6.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Seed of initial values, noise and shuffles. Default: 0.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Train on the first LIMIT images only.
    #[arg(long, value_name = "LIMIT")]
    pub train_limit: Option<usize>,
    /// Share of the training images kept apart for validation after each epoch. Default: 0.
    #[arg(long, value_name = "SHARE")]
    pub valid_fraction: Option<f64>,
    /// Stop after PATIENCE epochs without a better validation loss.
    #[arg(long, value_name = "PATIENCE")]
    pub early_stop: Option<usize>,
    /// Posterior samples of the evaluation. Default: 100.
    #[arg(long, value_name = "T")]
    pub eval_samples: Option<usize>,
    /// Out-of-distribution set of the evaluation, or none. Default: notmnist for mnist and fashion-mnist, cifar5-rest
    /// (the classes 5 to 9) for cifar5, letters for synthetic, else uniform.
    #[arg(long, value_name = "SET")]
    pub ood: Option<String>,
}

impl Options {
    /// The options of a TOML file.
    ///
    /// # Errors
    /// When the file cannot be read, or has a key or a value that no run knows.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::input(format!("{}: cannot be read as a configuration: {error}", path.display())))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The options of a TOML text, called `name` in messages.
    ///
    /// # Errors
    /// When it has a key or a value that no run knows.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let message = error.to_string();
            let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            Error::input(format!("{name}: {}", lines.join(" ")))
        })
    }

    /// These options, with `other`'s where they are silent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            data: self.data.or(other.data),
            preset: self.preset.or(other.preset),
            method: self.method.or(other.method),
            model: self.model.or(other.model),
            mlp_units: self.mlp_units.or(other.mlp_units),
            depth: self.depth.or(other.depth),
            width: self.width.or(other.width),
            norm: self.norm.or(other.norm),
            generator: self.generator.or(other.generator),
            noise_dim: self.noise_dim.or(other.noise_dim),
            noise: self.noise.or(other.noise),
            zero_mean: self.zero_mean.or(other.zero_mean),
            kl: self.kl.or(other.kl),
            random_weights: self.random_weights.or(other.random_weights),
            prior_scale: self.prior_scale.or(other.prior_scale),
            initial_sigma: self.initial_sigma.or(other.initial_sigma),
            aligned_noise: self.aligned_noise.or(other.aligned_noise),
            keep: self.keep.or(other.keep),
            members: self.members.or(other.members),
            variance_threshold: self.variance_threshold.or(other.variance_threshold),
            flow_steps: self.flow_steps.or(other.flow_steps),
            flow_hidden: self.flow_hidden.or(other.flow_hidden),
            aux_hidden: self.aux_hidden.or(other.aux_hidden),
            adversarial: self.adversarial.or(other.adversarial),
            anneal: self.anneal.or(other.anneal),
            mc: self.mc.or(other.mc),
            samples: self.samples.or(other.samples),
            hidden_units: self.hidden_units.or(other.hidden_units),
            init: self.init.or(other.init),
            optimizer: self.optimizer.or(other.optimizer),
            moments: self.moments.or(other.moments),
            lr: self.lr.or(other.lr),
            warmup: self.warmup.or(other.warmup),
            decay: self.decay.or(other.decay),
            clip: self.clip.or(other.clip),
            augment: self.augment.or(other.augment),
            batch: self.batch.or(other.batch),
            epochs: self.epochs.or(other.epochs),
            seed: self.seed.or(other.seed),
            train_limit: self.train_limit.or(other.train_limit),
            valid_fraction: self.valid_fraction.or(other.valid_fraction),
            early_stop: self.early_stop.or(other.early_stop),
            eval_samples: self.eval_samples.or(other.eval_samples),
            ood: self.ood.or(other.ood),
        }
    }
}
