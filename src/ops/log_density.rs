//! Log densities of independent Gaussians: sum of -(ln 2 pi + v + (z - mean)^2 e^-v) / 2, v the log variance.

use super::{expect_parts, mismatch};
use crate::Result;
use crate::call::{Dtype, Kind, Region, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};
use crate::ops::gaussian::Gaussian;

/// The log density of each z under its Gaussian, summed over all elements of all parts, one element. z, mean and log variance have
/// as many elements each.
///
/// # Errors
/// When there is no part or more than a call takes, or elements are missing.
pub fn log_density(g: &mut Graph, name: &str, parts: &[(TensorId, Gaussian)]) -> Result<TensorId> {
    expect_parts("log_density", name, parts.len())?;
    for (z, Gaussian { mean, log_variance }) in parts {
        for (argument, tensor) in [("mean", *mean), ("log variance", *log_variance)] {
            if g.shape(tensor).elements() != g.shape(*z).elements() {
                let as_z = format!("with as many elements as z {}", g.shape(*z));
                return Err(mismatch(g, "log_density", name, argument, tensor, &as_z));
            }
        }
    }
    let inputs: Vec<TensorId> = parts.iter().flat_map(|(z, part)| [*z, part.mean, part.log_variance]).collect();
    Ok(g.node(Op::LogDensity, name, &inputs, &[("", Shape::scalar(), Dtype::Real)])?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node) {
    let (reads, y) = (e.values(&node.inputs), e.value(node.outputs[0]));
    e.call(Kind::LogDensity { elements: elements(&reads) }, &reads, &[(y, Write::Set)]);
}

/// With u = (z - mean) e^-v: dz = -d u, dmean = d u, dv = d ((z - mean) u - 1) / 2
pub(super) fn backward(e: &mut Emit, node: &Node) {
    let Some(d) = e.gradient(node.outputs[0]) else { return };
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for inputs in node.inputs.chunks(3).filter(|inputs| inputs.iter().any(|&input| e.wants(input))).collect::<Vec<_>>()
    {
        reads.extend(e.values(inputs));
        writes.extend(inputs.iter().map(|&input| e.gradient_or_scratch(input)));
    }
    if !reads.is_empty() {
        let elements = elements(&reads);
        reads.push(d);
        e.call(Kind::LogDensityGrad { elements }, &reads, &writes);
    }
}

/// Elements of all z.
fn elements(reads: &[Region]) -> u32 {
    reads.iter().step_by(3).map(Region::elements).sum::<usize>() as u32
}
