//! A run before it has memory: sets, plans, what it will need.

use super::config::Config;
use super::step::Step;
use crate::backend::Target;
use crate::data::ImageSet;
use crate::eval::posterior::Posterior;
use crate::graph::Store;
use crate::machine;
use crate::method::{KlKind, Method, Networks};
use crate::model::{Model, WeightSpec};
use crate::ops::augment::Crop;
use crate::ops::batch::DeviceSet;
use crate::plan::{Plan, bytes};
use crate::{Error, Result};

/// Images of a prediction batch.
const PREDICT_BATCH: usize = 100;

/// Allowance for the program itself, threads' scratch and packed operands.
const OVERHEAD_BYTES: usize = 96 << 20;

/// The image sets of a run. `ood` and `valid` may be absent.
pub struct Sets {
    pub train: ImageSet,
    pub valid: Option<ImageSet>,
    pub test: ImageSet,
    pub ood: Option<ImageSet>,
}

impl Sets {
    fn evaluated(&self) -> impl Iterator<Item = &ImageSet> {
        [Some(&self.test), self.ood.as_ref(), self.valid.as_ref()].into_iter().flatten()
    }

    /// Frees the host's copy of all images; sizes and labels stay.
    pub fn drop_images(&mut self) {
        let sets = [Some(&mut self.train), Some(&mut self.test), self.ood.as_mut(), self.valid.as_mut()];
        sets.into_iter().flatten().for_each(|set| set.images = Vec::new());
    }
}

/// Everything about a run but its memory.
pub struct Planned {
    pub config: Config,
    pub store: Store,
    /// All samples with the KL term.
    pub train: Plan,
    /// One sample without the KL term: the same step while the KL's factor is 0 and the likelihood reads one sample.
    pub early: Option<Plan>,
    pub posterior: Posterior,
    pub specs: Vec<WeightSpec>,
    pub sets: Sets,
    pub steps_per_epoch: usize,
}

impl Planned {
    /// Builds all plans of a run.
    ///
    /// # Errors
    /// When configuration and data do not fit together.
    pub fn new(config: Config, sets: Sets) -> Result<Self> {
        let (model, method) = (config.model(&sets.train)?, config.method());
        let (model, method): (&dyn Model, &dyn Method) = (model.as_ref(), method.as_ref());
        let mut store = Store::new();
        let set = device_set("train", &sets.train, config.crop());
        let steps_per_epoch = set.images.div_ceil(config.batch);
        let step = Step {
            model,
            method,
            set,
            batch: config.batch,
            schedule: config.schedule(steps_per_epoch),
            optimizer: config.optimizer(),
            clip: config.clip,
            mc: config.mc,
            adversarial: config.adversarial_step(),
        };
        let samples = method.networks().samples(config.samples);
        let train = step.plan(&mut store, "train", samples, true)?;
        let one_is_enough = method.networks() == Networks::Drawn
            && config.kl != KlKind::Disc
            && !config.mc
            && !config.zero_mean
            && samples > 1;
        let early = match one_is_enough && step.schedule.anneal_start_step > 0 {
            true => Some(step.plan(&mut store, "train, one sample", 1, false)?),
            false => None,
        };
        let names = ["test", "ood", "valid"];
        let names = names.iter().zip([true, sets.ood.is_some(), sets.valid.is_some()]).filter(|(_, used)| *used);
        let crop = config.crop();
        let device_sets: Vec<_> =
            names.zip(sets.evaluated()).map(|((name, _), set)| device_set(name, set, crop)).collect();
        let sizes = (PREDICT_BATCH, sets.train.classes);
        let posterior = Posterior::new(&mut store, (model, method), &device_sets, sizes)?;
        let specs = model.weights();
        Ok(Self { config, store, train, early, posterior, specs, sets, steps_per_epoch })
    }

    /// All plans.
    pub fn plans(&self) -> Vec<&Plan> {
        [&self.train].into_iter().chain(&self.early).chain(self.posterior.plans()).collect()
    }

    /// Bytes that the run will have resident at most, on the device and on the host together.
    pub fn peak_bytes(&self) -> usize {
        self.device_bytes() + self.host_bytes()
    }

    /// Bytes of the store and of the largest workspace.
    pub fn device_bytes(&self) -> usize {
        let workspace = self.plans().iter().map(|plan| plan.workspace.bytes).max().unwrap_or(0);
        self.store.layout(size_of::<f32>()).bytes + workspace
    }

    fn host_bytes(&self) -> usize {
        let sets = [&self.sets.train].into_iter().chain(self.sets.evaluated());
        sets.map(|set| set.images.len()).sum::<usize>() + OVERHEAD_BYTES
    }

    /// Refuses a run that this machine has not the memory for. A GPU refuses its own part when it is asked for it.
    ///
    /// # Errors
    /// A sentence that says how much is needed and what to change.
    pub fn check_memory(&self, target: Target) -> Result<()> {
        let needed = match target {
            Target::Cuda { .. } => self.host_bytes(),
            Target::Cpu | Target::Sim(_) => self.peak_bytes(),
        };
        match machine::available_memory() {
            Some(available) if available < needed => Err(Error::run(format!(
                "this run needs {} of memory and {} are available; choose --generator sliced or shared, a smaller --batch, --moments bf16, or --optimizer rmsprop",
                bytes(needed),
                bytes(available)
            ))),
            _ => Ok(()),
        }
    }
}

fn device_set(name: &str, set: &ImageSet, crop: Option<Crop>) -> DeviceSet {
    let [channels, height, width] = set.shape();
    DeviceSet { name: name.into(), images: set.len(), channels, height, width, crop }
}
