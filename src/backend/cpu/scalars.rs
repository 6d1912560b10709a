//! Programs of single elements.

use super::{Io, Real};
use crate::call::{MOST_STEPS, ScalarCode, ScalarProgram, ScalarStep};

pub fn program<T: Real>(io: &Io<T>, program: &ScalarProgram) {
    let mut values = [T::ZERO; 2 * MOST_STEPS];
    for (place, value) in values.iter_mut().enumerate().take(program.reads as usize) {
        *value = io.read(place)[0];
    }
    let writes = program.writes as usize;
    for (place, value) in values[MOST_STEPS..].iter_mut().enumerate().take(writes) {
        if program.added >> place & 1 == 1 {
            *value = io.write(place)[0];
        }
    }
    for step in program.steps() {
        let value = evaluate(step, values[step.a as usize], values[step.b as usize]);
        let y = &mut values[step.y as usize];
        *y = if step.add == 1 { *y + value } else { value };
    }
    for (place, value) in values[MOST_STEPS..].iter().enumerate().take(writes) {
        io.write(place)[0] = *value;
    }
}

fn evaluate<T: Real>(step: &ScalarStep, a: T, b: T) -> T {
    let factor = T::of(step.factor.into());
    match step.code {
        code if code == ScalarCode::Fill as u32 => factor,
        code if code == ScalarCode::Scale as u32 => factor * a,
        code if code == ScalarCode::ScaleByScalar as u32 => factor * b * a,
        code if code == ScalarCode::Add as u32 => a + factor * b,
        _ => a * b,
    }
}
