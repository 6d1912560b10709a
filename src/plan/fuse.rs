//! Fusions, as rewrites of nodes before any call is emitted, so that forward and reverse stay one rule:
//! linear + activation, conv2d + activation, norm + ReLU, conv2d + bias + ReLU + 2x2 max pool.

use crate::call::{Conv2dDims, Dtype, NormDims, Pool2dDims, Unary};
use crate::graph::{Graph, Node, Op, Source, Tensor, TensorId};

/// Rewrites the graph's nodes. Tensors in `fixed` keep their own node.
pub fn run(graph: &mut Graph, fixed: &[TensorId], notes: &mut Vec<String>) {
    let mut index = 0;
    while index < graph.nodes.len() {
        if !fuse_at(graph, index, fixed, notes) {
            index += 1;
        }
    }
}

/// Merges the node at `index` into the producer of its input when a pattern fits.
fn fuse_at(graph: &mut Graph, index: usize, fixed: &[TensorId], notes: &mut Vec<String>) -> bool {
    let node = &graph.nodes[index];
    let Some(&input) = node.inputs.first() else { return false };
    let Some(producer) = sole_producer(graph, input, fixed) else { return false };
    let Some(op) = merged(&graph.nodes[producer].op, &node.op) else { return false };
    let consumer = graph.nodes.remove(index);
    let first = graph.nodes.remove(producer);
    notes.push(format!("{}: {} + {} in one call", first.name, first.op.name(), consumer.op.name()));
    let mut outputs = vec![consumer.outputs[0]];
    match op {
        Op::Conv2dPool(_) => outputs.push(argmax(graph, consumer.outputs[0], first.outputs.get(1).copied())),
        Op::Norm(_) => outputs.extend(&first.outputs[1..]),
        _ => {}
    }
    let node = Node { op, name: first.name, inputs: first.inputs, outputs };
    graph.nodes.insert(index - 1, node);
    true
}

/// The node whose first output is `tensor`, when this very tensor is read by one node only and by no view.
fn sole_producer(graph: &Graph, tensor: TensorId, fixed: &[TensorId]) -> Option<usize> {
    let is_root = graph.tensors[tensor.0].source == Source::Node;
    let uses =
        graph.nodes.iter().flat_map(|node| &node.inputs).filter(|&&input| graph.blocks(input).0 == tensor).count();
    if !is_root || uses != 1 || fixed.iter().any(|&kept| graph.blocks(kept).0 == tensor) {
        return None;
    }
    graph.nodes.iter().position(|node| node.outputs.first() == Some(&tensor))
}

/// The op that does what two ops did one after the other.
fn merged(first: &Op, second: &Op) -> Option<Op> {
    match (first, second) {
        (Op::Linear(d, Unary::Identity), Op::Unary(f)) if f.gradient_from_output() => Some(Op::Linear(*d, *f)),
        (Op::Conv2d(d, Unary::Identity), Op::Unary(f)) if f.gradient_from_output() => Some(Op::Conv2d(*d, *f)),
        (Op::Norm(d), Op::Unary(Unary::Relu)) if d.relu == 0 => Some(Op::Norm(NormDims { relu: 1, ..*d })),
        (Op::Conv2d(d, Unary::Relu), Op::MaxPool2d(p)) if halves(d, p) => Some(Op::Conv2dPool(*d)),
        _ => None,
    }
}

fn halves(d: &Conv2dDims, p: &Pool2dDims) -> bool {
    d.bias == 1 && p.kernel == 2 && p.stride == 2
}

/// The tensor of the winners of a fused pool: bytes, one per pooled element.
fn argmax(graph: &mut Graph, pooled: TensorId, known: Option<TensorId>) -> TensorId {
    known.unwrap_or_else(|| {
        let (name, shape) = (format!("{}.argmax", graph.name(pooled)), graph.shape(pooled).clone());
        graph.tensors.push(Tensor { name, shape, dtype: Dtype::U8, source: Source::Node });
        TensorId(graph.tensors.len() - 1)
    })
}
