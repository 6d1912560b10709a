//! Calls that compute single elements become programs: a GPU spends one launch on each program instead of one on each call.

use super::group::depends;
use crate::call::{Call, Kind, MOST_STEPS, Region, ScalarCode, ScalarProgram, ScalarStep, Write};
use bytemuck::Zeroable;

/// Joins calls of one element: each moves up to the first program that it may join, or begins one. One note for each program of
/// more than one call.
pub fn run(calls: &mut Vec<Call>, notes: &mut Vec<String>) {
    let mut kept: Vec<Call> = Vec::with_capacity(calls.len());
    let mut programs: Vec<(usize, Program)> = Vec::new();
    for call in calls.drain(..) {
        let Some(step) = Step::of(&call) else {
            kept.push(call);
            continue;
        };
        match first_open(&call, &step, &kept, &programs) {
            Some(open) => {
                let (at, program) = &mut programs[open];
                program.append(&step);
                kept[*at].reads.clone_from(&program.reads);
                kept[*at].writes.clone_from(&program.writes);
            }
            None => {
                let mut program = Program::default();
                program.append(&step);
                programs.push((kept.len(), program));
                kept.push(call);
            }
        }
    }
    for (at, program) in programs.into_iter().filter(|(_, program)| program.steps.len() > 1) {
        notes.push(format!("{} and {} more single elements in one call", kept[at].label, program.steps.len() - 1));
        kept[at].kind = Kind::ScalarProgram(program.kind());
    }
    *calls = kept;
}

/// The first program that a call may move up to: it depends on nothing behind it, and there is room. `kept` holds each program
/// with the regions of all its steps.
fn first_open(call: &Call, step: &Step, kept: &[Call], programs: &[(usize, Program)]) -> Option<usize> {
    let behind = |at: usize| kept[at + 1..].iter().any(|other| depends(call, other));
    programs.iter().position(|(at, program)| program.takes(step) && !behind(*at))
}

/// A call of one element as a step.
struct Step {
    code: ScalarCode,
    factor: f32,
    /// Elements a and b.
    operands: Vec<Region>,
    y: Region,
    add: bool,
}

impl Step {
    fn of(call: &Call) -> Option<Self> {
        let (code, factor) = match call.kind {
            Kind::Fill { elements: 1, value } => (ScalarCode::Fill, value),
            Kind::Scale { elements: 1, factor } => (ScalarCode::Scale, factor),
            Kind::ScaleByScalar { elements: 1, factor } => (ScalarCode::ScaleByScalar, factor),
            Kind::AddForward { elements: 1, beta } => (ScalarCode::Add, beta),
            Kind::Multiply { elements: 1 } => (ScalarCode::Multiply, 0.0),
            _ => return None,
        };
        let [(y, write)] = call.writes[..] else { return None };
        Some(Self { code, factor, operands: call.reads.clone(), y, add: write == Write::Add })
    }
}

/// Steps under construction.
#[derive(Default)]
struct Program {
    steps: Vec<ScalarStep>,
    reads: Vec<Region>,
    writes: Vec<(Region, Write)>,
}

impl Program {
    /// True when there is room, and no element would be both read from outside and written.
    fn takes(&self, step: &Step) -> bool {
        let is_written = |region: &&Region| self.writes.iter().any(|(other, _)| other.touches(region));
        let outside = step.operands.iter().filter(|region| !is_written(region)).count();
        let clashes = self.reads.iter().chain(&step.operands).filter(|region| !is_written(region));
        self.steps.len() < MOST_STEPS
            && self.reads.len() + outside <= MOST_STEPS
            && !clashes.into_iter().any(|region| region.touches(&step.y))
    }

    fn append(&mut self, step: &Step) {
        let places: Vec<u32> = step.operands.iter().map(|region| self.place(region)).collect();
        let place = |index: usize| places.get(index).copied().unwrap_or(0);
        let write = if step.add { Write::Add } else { Write::Set };
        let known = self.writes.iter().position(|(region, _)| region.touches(&step.y));
        let y = known.unwrap_or_else(|| {
            self.writes.push((step.y, write));
            self.writes.len() - 1
        });
        let (code, factor, y) = (step.code as u32, step.factor, (MOST_STEPS + y) as u32);
        self.steps.push(ScalarStep { code, factor, a: place(0), b: place(1), y, add: step.add.into() });
    }

    /// Place of an element that is read.
    fn place(&mut self, region: &Region) -> u32 {
        if let Some(written) = self.writes.iter().position(|(other, _)| other.touches(region)) {
            return (MOST_STEPS + written) as u32;
        }
        let known = self.reads.iter().position(|other| other.touches(region));
        known.unwrap_or_else(|| {
            self.reads.push(*region);
            self.reads.len() - 1
        }) as u32
    }

    fn kind(&self) -> ScalarProgram {
        let mut program = ScalarProgram::zeroed();
        program.steps = self.steps.len() as u32;
        program.reads = self.reads.len() as u32;
        program.writes = self.writes.len() as u32;
        for (place, (_, write)) in self.writes.iter().enumerate() {
            program.added |= u32::from(*write == Write::Add) << place;
        }
        program.step[..self.steps.len()].copy_from_slice(&self.steps);
        program
    }
}
