//! Places in the persistent buffers that hold the state of a run.

/// Indices into the persistent U32 buffer of step words.
pub mod word {
    /// Training steps begun: 1 during the first. Part of every training noise counter, and Adam's t.
    pub const STEP: usize = 0;
    /// Low and high half of the seed: the key of every noise counter.
    pub const SEED_LOW: usize = 1;
    pub const SEED_HIGH: usize = 2;
    /// Batch that an evaluation plan gathers, set by the host.
    pub const BATCH: usize = 3;
    pub const COUNT: usize = 4;
}

/// Indices into the persistent Real buffer of step scalars.
pub mod scalar {
    pub const LEARNING_RATE: usize = 0;
    /// Factor of KL / N.
    pub const ANNEAL: usize = 1;
    /// 1 - beta1^t and 1 - beta2^t.
    pub const CORRECTION1: usize = 2;
    pub const CORRECTION2: usize = 3;
    pub const COUNT: usize = 4;
}

/// Indices into the persistent F64 buffer of sums since the host last cleared it.
pub mod metric {
    pub const LOSS: usize = 0;
    pub const CROSS_ENTROPY: usize = 1;
    pub const KL: usize = 2;
    /// anneal * KL / N
    pub const SCALED_KL: usize = 3;
    pub const CORRECT: usize = 4;
    pub const IMAGES: usize = 5;
    pub const STEPS: usize = 6;
    pub const COUNT: usize = 7;
}
