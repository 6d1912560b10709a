//! A run's settings, complete: options over a preset, checked.

use super::defaults::{
    RESNET_SIGMA, default_anneal, default_aux_hidden, default_depth, default_flow_hidden, default_flow_steps,
    default_keep, default_members, default_ood, default_random_weights, default_rate, default_sigma, default_threshold,
    default_width, is_cifar,
};
use super::options::{Anneal, DecayKind, MethodKind, ModelKind, OptimizerKind, Options};
use super::presets::Preset;
use crate::call::{Moments, Optimizer, Schedule};
use crate::data::ImageSet;
use crate::method::{Bbb, Bbh, Dropout, Ensemble, GeneratorKind, InitKind, KlKind, Map, Method, Mnf, NoiseKind};
use crate::model::{LeNet, Mlp, Model, ResNet};
use crate::ops::augment::Crop;
use crate::ops::norm::NormKind;
use crate::ops::pairwise::MAX_SAMPLES;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Steps in which a discriminator trains while the KL's factor is 0.
const PRE_TRAINING_STEPS: u32 = 100;

/// Everything that decides a run's result. Written to config.toml as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    pub data: String,
    pub method: MethodKind,
    pub model: ModelKind,
    pub mlp_units: Vec<usize>,
    #[serde(default = "default_depth")]
    pub depth: usize,
    #[serde(default = "default_width")]
    pub width: usize,
    #[serde(default)]
    pub norm: NormKind,
    pub generator: GeneratorKind,
    pub noise_dim: usize,
    pub noise: NoiseKind,
    pub zero_mean: bool,
    pub kl: KlKind,
    #[serde(default = "default_random_weights")]
    pub random_weights: usize,
    pub prior_scale: f32,
    #[serde(default = "default_sigma")]
    pub initial_sigma: f32,
    #[serde(default = "default_keep")]
    pub keep: f32,
    #[serde(default)]
    pub aligned_noise: bool,
    #[serde(default = "default_members")]
    pub members: usize,
    #[serde(default = "default_threshold")]
    pub variance_threshold: f32,
    #[serde(default = "default_flow_steps")]
    pub flow_steps: usize,
    #[serde(default = "default_flow_hidden")]
    pub flow_hidden: usize,
    #[serde(default = "default_aux_hidden")]
    pub aux_hidden: usize,
    #[serde(default)]
    pub adversarial: f32,
    pub anneal: Anneal,
    pub mc: bool,
    pub samples: usize,
    pub hidden_units: Vec<usize>,
    pub init: InitKind,
    pub optimizer: OptimizerKind,
    #[serde(default)]
    pub moments: Moments,
    pub lr: f32,
    pub warmup: u32,
    pub decay: DecayKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f32>,
    #[serde(default)]
    pub augment: bool,
    pub batch: usize,
    pub epochs: usize,
    pub seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    pub valid_fraction: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<usize>,
    pub eval_samples: usize,
    pub ood: String,
}

impl Config {
    /// Completes options with their preset's values and checks every one.
    ///
    /// # Errors
    /// One sentence for the first value that no run can have.
    pub fn resolve(options: Options) -> Result<Self> {
        let options = match options.preset.clone() {
            Some(name) => options.or(Preset::named(&name)?.options()?),
            None => options,
        };
        let method = options.method.unwrap_or(MethodKind::Bbh);
        let model = options.model.unwrap_or(ModelKind::Lenet);
        let data = options.data.unwrap_or_else(|| "synthetic".into());
        let synthetic = data == "synthetic";
        let epochs = options.epochs.unwrap_or(if synthetic { 6 } else { 10 });
        let bbb = method == MethodKind::Bbb;
        let kl = options.kl.unwrap_or(if bbb || method == MethodKind::Mnf { KlKind::ClosedForm } else { KlKind::Full });
        let mc = options.mc.unwrap_or(false);
        let drawn_once = bbb && !mc && !is_estimate(kl) && kl != KlKind::Disc;
        let one_is_enough = drawn_once || method == MethodKind::Mnf;
        let generator = options.generator.unwrap_or(GeneratorKind::Shared);
        let config = Self {
            ood: options.ood.unwrap_or_else(|| default_ood(&data).into()),
            method,
            model,
            mlp_units: options.mlp_units.unwrap_or_else(|| vec![400, 400]),
            depth: options.depth.unwrap_or_else(default_depth),
            width: options.width.unwrap_or_else(default_width),
            norm: options.norm.unwrap_or_default(),
            generator,
            noise_dim: options.noise_dim.unwrap_or(8),
            noise: options.noise.unwrap_or(NoiseKind::Aligned),
            zero_mean: options.zero_mean.unwrap_or(false),
            kl,
            random_weights: options.random_weights.unwrap_or_else(default_random_weights),
            prior_scale: options.prior_scale.unwrap_or(1.0),
            initial_sigma: options.initial_sigma.unwrap_or_else(|| match model {
                ModelKind::Resnet => RESNET_SIGMA,
                _ => default_sigma(),
            }),
            aligned_noise: options.aligned_noise.unwrap_or(false),
            keep: options.keep.unwrap_or_else(default_keep),
            members: options.members.unwrap_or(if is_cifar(&data) { 5 } else { default_members() }),
            variance_threshold: options.variance_threshold.unwrap_or(if model == ModelKind::Resnet {
                0.3
            } else {
                default_threshold()
            }),
            flow_steps: options.flow_steps.unwrap_or_else(default_flow_steps),
            flow_hidden: options.flow_hidden.unwrap_or_else(default_flow_hidden),
            aux_hidden: options.aux_hidden.unwrap_or_else(default_aux_hidden),
            adversarial: options.adversarial.unwrap_or(if method == MethodKind::Ensemble { 0.01 } else { 0.0 }),
            anneal: options.anneal.unwrap_or_else(|| default_anneal(epochs as f32, synthetic)),
            mc,
            samples: options.samples.unwrap_or(if one_is_enough { 1 } else { 5 }),
            hidden_units: options.hidden_units.unwrap_or_else(|| vec![64, 256, 512]),
            init: options.init.unwrap_or(InitKind::HyperfanIn),
            optimizer: options.optimizer.unwrap_or(OptimizerKind::Adam),
            moments: options.moments.unwrap_or_default(),
            lr: options.lr.unwrap_or(default_rate(method, generator)),
            warmup: options.warmup.unwrap_or(100),
            decay: options.decay.unwrap_or(DecayKind::Cosine),
            clip: options.clip.or((kl == KlKind::Disc).then_some(5.0)),
            augment: options.augment.unwrap_or(is_cifar(&data)),
            batch: options.batch.unwrap_or(100),
            epochs,
            seed: options.seed.unwrap_or(0),
            train_limit: options.train_limit,
            valid_fraction: options.valid_fraction.unwrap_or(0.0),
            early_stop: options.early_stop,
            eval_samples: options.eval_samples.unwrap_or(100),
            data,
        };
        config.check()?;
        Ok(config)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// One sentence for the first value that no run can have.
    pub fn check(&self) -> Result<()> {
        at_least_one("batch", self.batch)?;
        at_least_one("epochs", self.epochs)?;
        at_least_one("depth", self.depth)?;
        at_least_one("width", self.width)?;
        at_least_one("noise-dim", self.noise_dim)?;
        at_least_one("eval-samples", self.eval_samples)?;
        at_least_one("members", self.members)?;
        at_least_one("random-weights", self.random_weights)?;
        self.hidden_units.iter().try_for_each(|&units| at_least_one("hidden-units", units))?;
        self.mlp_units.iter().try_for_each(|&units| at_least_one("mlp-units", units))?;
        positive("lr", self.lr)?;
        positive("prior-scale", self.prior_scale)?;
        positive("initial-sigma", self.initial_sigma)?;
        positive("variance-threshold", self.variance_threshold)?;
        at_least_one("flow-hidden", self.flow_hidden)?;
        at_least_one("aux-hidden", self.aux_hidden)?;
        if self.method == MethodKind::Mnf && self.samples != 1 {
            return Err(Error::input(format!(
                "samples: expected 1 for --method mnf, which draws the outputs of its layers, found {}",
                self.samples
            )));
        }
        if !(self.keep > 0.0 && self.keep <= 1.0) {
            return Err(Error::input(format!("keep: expected above 0 and up to 1, found {}", self.keep)));
        }
        if !(self.adversarial >= 0.0 && self.adversarial.is_finite()) {
            return Err(Error::input(format!(
                "adversarial: expected a step of at least 0, found {}",
                self.adversarial
            )));
        }
        if self.kl == KlKind::ClosedForm && self.method == MethodKind::Bbh {
            return Err(Error::input(
                "kl: closed-form is for --method bbb, whose weights are Gaussian; choose full or per-weight",
            ));
        }
        self.clip.map_or(Ok(()), |bound| positive("clip", bound))?;
        let needs_neighbours = matches!(self.method, MethodKind::Bbh | MethodKind::Bbb) && is_estimate(self.kl);
        let least = if needs_neighbours { 2 } else { 1 };
        if !(least..=MAX_SAMPLES).contains(&self.samples) {
            let why = if needs_neighbours { " (the KL estimate compares samples; or choose --kl none)" } else { "" };
            return Err(Error::input(format!(
                "samples: expected {least} to {MAX_SAMPLES}{why}, found {}",
                self.samples
            )));
        }
        if !(0.0..1.0).contains(&self.valid_fraction) {
            return Err(Error::input(format!(
                "valid-fraction: expected 0 up to below 1, found {}",
                self.valid_fraction
            )));
        }
        if self.early_stop.is_some() && self.valid_fraction == 0.0 {
            return Err(Error::input("early-stop: needs a validation set; add --valid-fraction 0.1"));
        }
        if self.early_stop == Some(0) {
            return Err(Error::input("early-stop: expected a patience of at least 1 epoch, found 0"));
        }
        if self.zero_mean && (self.samples < 2 || self.generator != GeneratorKind::Shared) {
            return Err(Error::input("zero-mean: needs --generator shared and at least 2 samples"));
        }
        if !(self.anneal.0 >= 0.0 && self.anneal.1 >= 0.0) {
            return Err(Error::input("anneal: expected START,LENGTH in epochs, both at least 0, as in 5,15"));
        }
        Ok(())
    }

    /// `synthetic-bbh-shared`: the data set called `data`, method and, for generated weights, generator.
    pub fn label(&self, data: &str) -> String {
        let method = match (self.method, self.generator) {
            (MethodKind::Bbh, GeneratorKind::LayerWise) => "bbh-layer-wise",
            (MethodKind::Bbh, GeneratorKind::Sliced) => "bbh-sliced",
            (MethodKind::Bbh, GeneratorKind::Shared) => "bbh-shared",
            (MethodKind::Map, _) => "map",
            (MethodKind::Bbb, _) => "bbb",
            (MethodKind::Dropout, _) => "dropout",
            (MethodKind::Ensemble, _) => "ensemble",
            (MethodKind::Mnf, _) => "mnf",
        };
        format!("{data}-{method}")
    }

    /// The method with its settings.
    pub fn method(&self) -> Box<dyn Method> {
        match self.method {
            MethodKind::Map => Box::new(Map { prior_scale: self.prior_scale }),
            MethodKind::Dropout => Box::new(Dropout { keep: self.keep, prior_scale: self.prior_scale }),
            MethodKind::Ensemble => Box::new(Ensemble { members: self.members, prior_scale: self.prior_scale }),
            MethodKind::Mnf => Box::new(Mnf {
                prior_scale: self.prior_scale,
                initial_sigma: self.initial_sigma,
                variance_threshold: self.variance_threshold,
                flow_steps: self.flow_steps,
                flow_hidden: self.flow_hidden,
                aux_hidden: self.aux_hidden,
            }),
            MethodKind::Bbb => Box::new(Bbb {
                kl: self.kl,
                random_weights: self.random_weights,
                prior_scale: self.prior_scale,
                aligned_noise: self.aligned_noise,
                initial_sigma: self.initial_sigma,
            }),
            MethodKind::Bbh => Box::new(Bbh {
                generator: self.generator,
                noise_dim: self.noise_dim,
                noise: self.noise,
                zero_mean: self.zero_mean,
                kl: self.kl,
                random_weights: self.random_weights,
                prior_scale: self.prior_scale,
                hidden: self.hidden_units.clone(),
                init: self.init,
            }),
        }
    }

    /// Step of the adversarial images, when there are any.
    pub fn adversarial_step(&self) -> Option<f32> {
        (self.adversarial > 0.0).then_some(self.adversarial)
    }

    /// How images are cut, when they are, as arXiv 1711.01297 cuts CIFAR-10: zero-padded from 32 to 36, crops of 24.
    pub fn crop(&self) -> Option<Crop> {
        self.augment.then_some(Crop { pad: 2, side: 24 })
    }

    /// The main network for images like those of `set`, or for their crops.
    ///
    /// # Errors
    /// When the images are too small for it.
    pub fn model(&self, set: &ImageSet) -> Result<Box<dyn Model>> {
        let [height, width] = self.crop().map_or([set.height, set.width], |crop| [crop.side; 2]);
        Ok(match self.model {
            ModelKind::Lenet => Box::new(LeNet::new(set.channels, height, width, set.classes)?),
            ModelKind::Mlp => {
                let inputs = set.channels * height * width;
                Box::new(Mlp { inputs, hidden: self.mlp_units.clone(), classes: set.classes })
            }
            ModelKind::Resnet => {
                let network = ResNet {
                    channels: set.channels,
                    height,
                    width,
                    depth: self.depth,
                    filters: self.width,
                    norm: self.norm,
                    final_norm: !matches!(self.method, MethodKind::Bbh | MethodKind::Bbb),
                    classes: set.classes,
                };
                Box::new(network.checked()?)
            }
        })
    }

    /// The optimiser; constants as in the authors' code (METHODS: Adam 0.9, 0.999, 1e-5; RMSProp 0.9, 1e-5).
    pub fn optimizer(&self) -> Optimizer {
        let moments = self.moments;
        match self.optimizer {
            OptimizerKind::Adam => Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, moments },
            OptimizerKind::Rmsprop => Optimizer::RmsProp { decay: 0.9, epsilon: 1e-5, moments },
        }
    }

    /// Learning rate and annealing in steps.
    pub fn schedule(&self, steps_per_epoch: usize) -> Schedule {
        let steps = |epochs: f32| (epochs * steps_per_epoch as f32).round() as u32;
        let (beta1, beta2) = match self.optimizer() {
            Optimizer::Adam { beta1, beta2, .. } => (beta1, beta2),
            Optimizer::RmsProp { .. } => (0.0, 0.0),
        };
        Schedule {
            learning_rate: self.lr,
            warmup_steps: self.warmup,
            decay_steps: if self.decay == DecayKind::Cosine { (self.epochs * steps_per_epoch) as u32 } else { 0 },
            final_fraction: 0.0,
            anneal_start_step: steps(self.anneal.0).max(if self.kl == KlKind::Disc { PRE_TRAINING_STEPS } else { 0 }),
            anneal_length_steps: steps(self.anneal.1),
            beta1,
            beta2,
        }
    }
}

/// True for a KL that compares samples with each other.
fn is_estimate(kl: KlKind) -> bool {
    matches!(kl, KlKind::Full | KlKind::PerWeight)
}

fn at_least_one(key: &str, value: usize) -> Result<()> {
    if value == 0 {
        return Err(Error::input(format!("{key}: expected at least 1, found 0")));
    }
    Ok(())
}

fn positive(key: &str, value: f32) -> Result<()> {
    if !(value > 0.0 && value.is_finite()) {
        return Err(Error::input(format!("{key}: expected a positive number, found {value}")));
    }
    Ok(())
}
