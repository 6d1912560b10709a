//! Arithmetic of single elements, many steps in one call: what a GPU would otherwise spend a launch on for each.

use bytemuck::{Pod, Zeroable};

/// Steps of a program, and elements that it reads or writes.
pub const MOST_STEPS: usize = 16;

/// What a step computes, from elements a and b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ScalarCode {
    /// factor
    Fill = 0,
    /// factor * a
    Scale = 1,
    /// (factor * b) * a
    ScaleByScalar = 2,
    /// a + factor * b
    Add = 3,
    /// a * b
    Multiply = 4,
}

/// One step: y = value, or y += value. Elements by place: 0.. read by the call, [`MOST_STEPS`].. written by it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct ScalarStep {
    /// A [`ScalarCode`].
    pub code: u32,
    pub factor: f32,
    pub a: u32,
    pub b: u32,
    pub y: u32,
    /// 1: added to y.
    pub add: u32,
}

/// Steps, one after another. Elements that are written may be read by later steps.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct ScalarProgram {
    pub steps: u32,
    pub reads: u32,
    pub writes: u32,
    /// Bit i: element i of those written is added to, so that its former value counts.
    pub added: u32,
    pub step: [ScalarStep; MOST_STEPS],
}

impl ScalarProgram {
    /// The steps in use.
    pub fn steps(&self) -> &[ScalarStep] {
        &self.step[..self.steps as usize]
    }
}
