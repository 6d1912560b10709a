//! Predictions of posterior samples over whole data sets.

use super::plans::{predict_plan, sample_plan};
use super::{Predictive, PredictiveAccumulator};
use crate::Result;
use crate::backend::Backend;
use crate::call::{Region, word};
use crate::graph::Store;
use crate::method::{Method, Networks};
use crate::model::Model;
use crate::ops::batch::DeviceSet;
use crate::plan::Plan;

/// Networks that are drawn and evaluated together.
pub const SAMPLES_AT_ONCE: usize = 10;

/// Distinguishes the noise of evaluations from that of training steps, in the high half of the seed.
const EVALUATION_KEY: u32 = 0x6576_616c;

/// Plans that draw posterior samples and predict with them.
pub struct Posterior {
    networks: Networks,
    /// `None` where networks are not drawn.
    sample: Option<Plan>,
    predict: Vec<Plan>,
    classes: usize,
    batch: usize,
    /// Networks S that a prediction plan holds.
    at_once: usize,
}

impl Posterior {
    /// Plans for a list of data sets, in whose order [`predict`](Self::predict) numbers them.
    ///
    /// # Errors
    /// When model, method and sets do not fit together.
    pub fn new(
        store: &mut Store,
        (model, method): (&dyn Model, &dyn Method),
        sets: &[DeviceSet],
        (batch, classes): (usize, usize),
    ) -> Result<Self> {
        let specs = model.weights();
        let networks = method.networks();
        let at_once = networks.predicting(SAMPLES_AT_ONCE);
        let drawn = networks == Networks::Drawn;
        let sample = if drawn { Some(sample_plan(store, method, &specs, (at_once, size_of::<f32>()))?) } else { None };
        let predict = sets.iter().map(|set| predict_plan(store, (model, method), set, batch, at_once));
        Ok(Self { networks, sample, predict: predict.collect::<Result<_>>()?, classes, batch, at_once })
    }

    /// All plans, for memory and explanation.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.sample.iter().chain(&self.predict)
    }

    /// Mean predictions for the `images` of set `index`: of `samples` networks or masks, or of all members, or of the one network.
    /// The same networks for every set of a checkpoint. `report` hears the share done, 0 to 1.
    ///
    /// # Errors
    /// When a probability is not finite, or `report` asks to stop by returning an error.
    pub fn predict(
        &self,
        (store, device): (&Store, &mut dyn Backend),
        (index, images): (usize, usize),
        samples: usize,
        report: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<Predictive> {
        let plan = &self.predict[index];
        let samples = self.networks.predicting(samples);
        let mut sums = PredictiveAccumulator::new(images, self.classes)?;
        let batches = images.div_ceil(self.batch);
        let blocks = samples.div_ceil(self.at_once);
        for block in 0..blocks {
            self.draw((store, &mut *device), block)?;
            let count = (samples - block * self.at_once).min(self.at_once);
            for batch in 0..batches {
                let batch_word = Region { offset: word::BATCH, len: 1, stride: 1, ..store.words() };
                device.write(batch_word, &[batch as u32])?;
                match self.networks {
                    Networks::Masked => self.run_at((store, &mut *device), plan, block * batches + batch)?,
                    _ => device.run(plan)?,
                }
                let rows = (images - batch * self.batch).min(self.batch);
                let probabilities = device.read::<f32>(plan, plan.kept[0])?;
                for sample in probabilities.chunks_exact(self.batch * self.classes).take(count) {
                    sums.add(batch * self.batch, &sample[..rows * self.classes])?;
                }
                report((block * batches + batch + 1) as f64 / (blocks * batches) as f64)?;
            }
        }
        sums.finish()
    }

    /// Draws block `block` of posterior samples into the store's posterior buffers. The step words are as before.
    ///
    /// # Errors
    /// When the device fails.
    pub fn draw(&self, (store, device): (&Store, &mut dyn Backend), block: usize) -> Result<()> {
        self.sample.as_ref().map_or(Ok(()), |plan| self.run_at((store, device), plan, block))
    }

    /// Runs a plan with the noise of evaluations: that of the `index`-th of its runs. The step words are as before.
    fn run_at(&self, (store, device): (&Store, &mut dyn Backend), plan: &Plan, index: usize) -> Result<()> {
        let saved = device.persistent::<u32>(store.words())?.into_owned();
        let mut words = saved.clone();
        words[word::STEP] = index as u32 + 1;
        words[word::SEED_HIGH] ^= EVALUATION_KEY;
        device.write(store.words(), &words)?;
        device.run(plan)?;
        device.write(store.words(), &saved)
    }

    /// The networks that predictions are the mean of.
    pub fn networks(&self) -> Networks {
        self.networks
    }
}
