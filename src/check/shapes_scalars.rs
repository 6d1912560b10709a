//! Arithmetic of single elements that the planner joins to programs: every step, chains longer than a program, gradients that are
//! set and added to.

use super::case::{Built, Case, argument};
use super::ops::anneal;
use crate::Result;
use crate::call::scalar;
use crate::graph::{Graph, TensorId};
use crate::ops::elementwise::{add, half_squared_norm, multiply, scale, scale_by_step_scalar};

pub(super) fn cases() -> Vec<Case> {
    let every_step = |g: &mut Graph| {
        let (a, b) = (norm(g, "x")?, norm(g, "y")?);
        let product = multiply(g, "product", a, b)?;
        let scaled = scale(g, "scaled", product, -0.7)?;
        let annealed = scale_by_step_scalar(g, "annealed", a, scalar::ANNEAL, 3.0)?;
        let sum = add(g, "sum", scaled, annealed, 0.25)?;
        add(g, "z", sum, b, 2.0)
    };
    let long = |g: &mut Graph| {
        let mut total = norm(g, "x")?;
        for index in 0..40 {
            let other = if index % 7 == 0 { norm(g, &format!("y{index}"))? } else { total };
            let beta = if index % 2 == 0 { -0.3 } else { 0.3 };
            total = add(g, &format!("sum{index}"), total, other, beta)?;
        }
        Ok(total)
    };
    vec![
        Case::with_constants("scalar_program", "every step", move |g| {
            let output = every_step(g)?;
            Ok(Built { output, constants: vec![anneal(g)] })
        }),
        Case::op("scalar_program", "longer than a program", long),
    ]
}

fn norm(g: &mut Graph, name: &str) -> Result<TensorId> {
    let x = argument(g, name, &[('n', 3)])?;
    half_squared_norm(g, &format!("{name}.norm"), &[x])
}
