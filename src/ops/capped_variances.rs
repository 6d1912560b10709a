//! Variances from their logarithms, with an upper bound: the thresholded variances of Louizos & Welling 2017.

use super::{expect_parts, gradient_or_zero, outputs};
use crate::Result;
use crate::call::{Kind, Region, Write};
use crate::graph::{Emit, Graph, Node, Op, TensorId};

/// Log variance, at most ln `cap`, and variance e^ that, of each part, of its shape.
///
/// # Errors
/// When there is no part or more than a call takes.
pub fn capped_variances(
    g: &mut Graph,
    name: &str,
    log_variances: &[TensorId],
    cap: f32,
) -> Result<Vec<(TensorId, TensorId)>> {
    expect_parts("capped_variances", name, log_variances.len())?;
    let both = |&v: &TensorId| ["log_", ""].map(|log| (format!(".{log}of.{}", g.name(v)), g.shape(v).clone()));
    let shapes: Vec<_> = log_variances.iter().flat_map(both).collect();
    let y = g.node(Op::CappedVariances { bound: cap.ln() }, name, log_variances, &outputs(&shapes))?;
    Ok(y.chunks(2).map(|pair| (pair[0], pair[1])).collect())
}

pub(super) fn forward(e: &mut Emit, node: &Node, bound: f32) {
    let reads = e.values(&node.inputs);
    let writes: Vec<_> = e.values(&node.outputs).into_iter().map(|y| (y, Write::Set)).collect();
    e.call(Kind::CappedVariances { elements: elements(&reads), bound }, &reads, &writes);
}

/// dv = 0 above the bound, else dlog variance + variance dvariance. One call for the parts whose logarithms have gradients, one for
/// those whose have none.
pub(super) fn backward(e: &mut Emit, node: &Node, bound: f32) {
    for of_log in [false, true] {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (&v, y) in node.inputs.iter().zip(node.outputs.chunks(2)) {
            let reached = y.iter().any(|&y| e.has_gradient(y));
            if !e.wants(v) || !reached || e.has_gradient(y[0]) != of_log {
                continue;
            }
            reads.extend([e.value(v), e.value(y[1]), gradient_or_zero(e, y[1])]);
            if of_log {
                reads.push(gradient_or_zero(e, y[0]));
            }
            writes.push(e.gradient_target(v));
        }
        if !writes.is_empty() {
            let written: Vec<Region> = writes.iter().map(|(region, _)| *region).collect();
            let elements = elements(&written);
            e.call(Kind::CappedVariancesGrad { elements, bound, of_log }, &reads, &writes);
        }
    }
}

fn elements(parts: &[Region]) -> u32 {
    parts.iter().map(Region::elements).sum::<usize>() as u32
}
