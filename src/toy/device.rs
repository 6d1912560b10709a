//! Where a method trains: any device in f32, or the CPU in f64.

use crate::Result;
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, Target};
use crate::call::{Region, word};
use crate::graph::Store;
use crate::plan::Plan;
use crate::train::first_values;

/// What a method computes in, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    F32(Target),
    /// On the CPU.
    F64,
}

impl Arithmetic {
    /// Bytes of a Real element.
    pub fn real_bytes(self) -> usize {
        match self {
            Self::F32(_) => size_of::<f32>(),
            Self::F64 => size_of::<f64>(),
        }
    }
}

/// A device with memory for one store and its plans, told and asked in f64.
pub enum Device {
    Single(Box<dyn Backend>),
    Double(Cpu<f64>),
}

impl Device {
    /// Takes the memory.
    ///
    /// # Errors
    /// When there is not enough, or the device fails.
    pub fn open(arithmetic: Arithmetic, store: &Store, plans: &[&Plan]) -> Result<Self> {
        match arithmetic {
            Arithmetic::F32(target) => target.open(store, plans).map(Self::Single),
            Arithmetic::F64 => Cpu::new(store, plans).map(Self::Double),
        }
    }

    /// Runs a plan.
    ///
    /// # Errors
    /// When the device fails.
    pub fn run(&mut self, plan: &Plan) -> Result<()> {
        match self {
            Self::Single(device) => device.run(plan),
            Self::Double(device) => {
                device.run(plan);
                Ok(())
            }
        }
    }

    /// Overwrites a persistent region of Real elements.
    ///
    /// # Errors
    /// When the device fails.
    pub fn write(&mut self, region: Region, values: &[f64]) -> Result<()> {
        match self {
            Self::Single(device) => device.write(region, &values.iter().map(|&value| value as f32).collect::<Vec<_>>()),
            Self::Double(device) => {
                device.persistent_mut::<f64>(region).copy_from_slice(values);
                Ok(())
            }
        }
    }

    /// Real elements of a region of the persistent memory or of the plan that ran last.
    ///
    /// # Errors
    /// When the device fails.
    pub fn read(&self, plan: &Plan, region: Region) -> Result<Vec<f64>> {
        match self {
            Self::Single(device) => {
                Ok(device.read::<f32>(plan, region)?.iter().map(|&value| f64::from(value)).collect())
            }
            Self::Double(device) => Ok(device.read::<f64>(plan, region).to_vec()),
        }
    }

    /// Sets seed and step of all noise.
    ///
    /// # Errors
    /// When the device fails.
    pub fn write_words(&mut self, store: &Store, seed: u64, step: u32) -> Result<()> {
        let mut words = [0; word::COUNT];
        (words[word::STEP], words[word::SEED_LOW], words[word::SEED_HIGH]) = (step, seed as u32, (seed >> 32) as u32);
        match self {
            Self::Single(device) => device.write(store.words(), &words),
            Self::Double(device) => {
                device.persistent_mut::<u32>(store.words()).copy_from_slice(&words);
                Ok(())
            }
        }
    }

    /// First values of the parameters, and step 0 of the seed.
    ///
    /// # Errors
    /// When the device fails.
    pub fn start(&mut self, store: &Store, seed: u64) -> Result<()> {
        for (index, parameter) in store.parameters().iter().enumerate() {
            let mut values = vec![0.0; parameter.region.len];
            first_values((parameter, index), seed, 0, &mut values);
            self.write(parameter.region, &values.into_iter().map(f64::from).collect::<Vec<_>>())?;
        }
        self.write_words(store, seed, 0)
    }
}
