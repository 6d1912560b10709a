//! linear: y[s,n,o] = f(sum_i x[s,n,i] w[s,o,i] + b[s,o]), one matrix product per weight sample in one call.

use super::{axes, mismatch};
use crate::Result;
use crate::call::{BiasDims, Dtype, Kind, LinearDims, LinearGroup, Moments, Optimizer, Region, Unary, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};

/// x [S or 1, N, I], w [S, O, I], optional b [S, O] -> y [S, N, O].
///
/// # Errors
/// When axes or sizes do not fit.
pub fn linear(g: &mut Graph, name: &str, x: TensorId, w: TensorId, b: Option<TensorId>) -> Result<TensorId> {
    let [x_samples, rows, inputs] = axes(g, "linear", name, "x", x, "SNI")?;
    let [samples, outputs, w_inputs] = axes(g, "linear", name, "w", w, "SOI")?;
    if w_inputs != inputs || (x_samples != samples && x_samples != 1) {
        let expected = format!("[S={x_samples}, O, I={inputs}] for x {}", g.shape(x));
        return Err(mismatch(g, "linear", name, "w", w, &expected));
    }
    if let Some(b) = b
        && g.shape(b) != &Shape::new(&[('S', samples), ('O', outputs)])
    {
        return Err(mismatch(g, "linear", name, "b", b, &format!("[S={samples}, O={outputs}]")));
    }
    let dims = LinearDims {
        samples: samples as u32,
        rows: rows as u32,
        inputs: inputs as u32,
        outputs: outputs as u32,
        shared_input: u32::from(x_samples == 1 && samples > 1),
        bias: u32::from(b.is_some()),
    };
    let shape = Shape::new(&[('S', samples), ('N', rows), ('I', outputs)]);
    let inputs: Vec<TensorId> = [Some(x), Some(w), b].into_iter().flatten().collect();
    Ok(g.node(Op::Linear(dims, Unary::Identity), name, &inputs, &[("", shape, Dtype::Real)])?[0])
}

pub(super) fn forward(e: &mut Emit, node: &Node, d: &LinearDims, f: Unary) {
    let reads = e.values(&node.inputs);
    let y = e.value(node.outputs[0]);
    e.call(Kind::LinearForward(*d, f), &reads, &[(y, Write::Set)]);
}

/// dx = dz w, dw = dz^T x, db = sum_n dz with dz = dy f'(y).
///
/// # Errors
/// When the store has moments of another type.
pub(super) fn backward(e: &mut Emit, node: &Node, d: &LinearDims, f: Unary) -> Result<()> {
    if e.grouping() && fits_one_call(e, node, d) {
        all_gradients(e, node, d, f);
        return Ok(());
    }
    let (x, w) = (node.inputs[0], node.inputs[1]);
    let Some(dz) = activation_gradient(e, node, f) else { return Ok(()) };
    if let Some(&b) = node.inputs.get(2)
        && e.wants(b)
    {
        let db = e.gradient_target(b);
        let dims = BiasDims { samples: d.samples, rows: d.rows, channels: d.outputs, inner: 1 };
        e.call(Kind::BiasGrad(dims), &[dz], &[db]);
    }
    let (x_value, w_value) = (e.value(x), e.value(w));
    if e.wants(w)
        && d.samples == 1
        && let Some(optimizer) = e.rank_update(w, d.rows)
    {
        return rank_update(e, node, d, optimizer, dz);
    }
    if e.wants(w) {
        let dw = e.gradient_target(w);
        e.call(Kind::LinearGradWeight(*d), &[x_value, dz], &[dw]);
    }
    if e.wants(x) {
        let dx = e.gradient_target(x);
        e.call(Kind::LinearGradInput(*d), &[dz, w_value], &[dx]);
    }
    Ok(())
}

/// True for small maps whose weight is trained and whose gradients stand apart from each other.
fn fits_one_call(e: &mut Emit, node: &Node, d: &LinearDims) -> bool {
    let values = e.values(&node.inputs);
    let apart = |(index, value): (usize, &Region)| !values[..index].iter().any(|other| value.touches(other));
    LinearGroup::takes(d)
        && e.wants(node.inputs[1])
        && values.iter().all(Region::is_contiguous)
        && values.iter().enumerate().all(apart)
}

/// All gradients of a small map in one call: a group of one, for `plan::group` to join to others.
fn all_gradients(e: &mut Emit, node: &Node, d: &LinearDims, f: Unary) {
    let (x, w) = (node.inputs[0], node.inputs[1]);
    let Some(dy) = e.gradient(node.outputs[0]) else { return };
    let (rows, outputs) = (d.rows as usize, d.outputs as usize);
    let db = node.inputs.get(2).filter(|&&b| e.wants(b)).map(|&b| e.gradient_target(b));
    let (dw, set_dw) = e.gradient_target(w);
    let input_gradient = e.wants(x);
    let mut reads = vec![e.value(x).in_blocks(rows), dy.in_blocks(rows)];
    let mut writes = vec![(dw.in_blocks(outputs), set_dw)];
    writes.extend(db);
    if f != Unary::Identity {
        reads.push(e.value(node.outputs[0]).in_blocks(rows));
    }
    if input_gradient {
        reads.push(e.value(w).in_blocks(outputs));
        let (dx, set_dx) = e.gradient_target(x);
        writes.push((dx.in_blocks(rows), set_dx));
    }
    if f != Unary::Identity {
        let dz = e.scratch(&format!("partials.{}", node.name), Dtype::Real, dy.elements());
        writes.push((dz.in_blocks(rows), Write::Set));
    }
    let group = LinearGroup { bias: db.is_some(), ..LinearGroup::of(d, f) };
    e.call(Kind::LinearGroupGrad { group, input_gradient }, &reads, &writes);
}

/// One pass over (w, m, v) that forms dw = dz^T x in registers, applies the optimiser and accumulates dx from the old w.
fn rank_update(e: &mut Emit, node: &Node, d: &LinearDims, optimizer: Optimizer, dz: Region) -> Result<()> {
    let (x, w) = (node.inputs[0], node.inputs[1]);
    let (x_value, w_value) = (e.value(x), e.value(w));
    let mut writes = vec![(w_value, Write::Update)];
    let moments = e.graph.store.moments(w_value, optimizer)?;
    writes.extend(moments.into_iter().map(|moment| (moment, Write::Update)));
    let input_gradient = e.wants(x);
    if input_gradient {
        writes.push(e.gradient_target(x));
        writes.push((e.scratch(&format!("partials.{}", node.name), Dtype::Real, d.rank_update_scratch()), Write::Set));
    }
    let note = format!(
        "{}: weight gradient of rank {} + {} update{}{} in one pass; dw of {} elements is never stored",
        node.name,
        d.rows,
        optimizer.name(),
        if optimizer.moments() == Moments::Bf16 { " of bf16 moments" } else { "" },
        if input_gradient { " + input gradient" } else { "" },
        w_value.elements()
    );
    e.notes.push(note);
    let reads = [&[x_value, dz], &e.optimizer_state(optimizer)[..]].concat();
    e.call(Kind::LinearRankUpdate { dims: *d, optimizer, input_gradient }, &reads, &writes);
    Ok(())
}

/// The gradient before the activation: dy itself for the identity, else dy f'(y) in scratch.
pub(super) fn activation_gradient(e: &mut Emit, node: &Node, f: Unary) -> Option<Region> {
    let dy = e.gradient(node.outputs[0])?;
    if f == Unary::Identity {
        return Some(dy);
    }
    let y = e.value(node.outputs[0]);
    let dz = e.scratch(&format!("dz.{}", node.name), Dtype::Real, dy.elements());
    let dz = Region { count: dy.count, len: dy.len, stride: dy.stride, ..dz };
    e.call(Kind::UnaryGrad { elements: dy.elements() as u32, function: f }, &[y, dy], &[(dz, Write::Set)]);
    Some(dz)
}
