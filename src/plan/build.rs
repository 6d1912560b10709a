//! From a graph to a plan: forward calls, the reverse pass, the optimiser.

use super::{Plan, fuse, group, live, memory, scalars, verify};
use crate::Result;
use crate::call::{Kind, Optimizer, Region, Write};
use crate::graph::{Emit, Graph, Node, Op, Source, TensorId};
use crate::ops;

/// What a plan is to compute.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    pub name: &'a str,
    /// Where the reverse pass starts, with the tensor whose value is the gradient there (None: 1, for a loss of one element).
    /// Empty for a forward plan.
    pub targets: &'a [(TensorId, Option<TensorId>)],
    /// Gradients to keep, in this order. All parameters of the graph get one besides when there is an optimiser.
    pub gradients: &'a [TensorId],
    /// Values to keep to the end of the plan for the host to read.
    pub keep: &'a [TensorId],
    /// Trains the parameters.
    pub optimizer: Option<Optimizer>,
    /// Clips each element of the stored gradients to [-bound, bound] before the optimiser.
    pub clip: Option<f32>,
    /// Leaves nodes as they were said (for comparisons with the fused plan).
    pub no_fusion: bool,
    /// Leaves small linear maps, and the gradients of each, in calls of their own (for comparisons with the grouped plan).
    pub no_grouping: bool,
}

impl Plan {
    /// Builds the plan of a graph for Real elements of `real_bytes` (4 or 8).
    ///
    /// # Errors
    /// When a gradient is asked for that does not exist, or (a defect of the engine) the plan does not verify.
    pub fn build(mut graph: Graph, request: &Request, real_bytes: usize) -> Result<Self> {
        let mut notes = Vec::new();
        if !request.no_fusion {
            let mut fixed: Vec<TensorId> = request.keep.to_vec();
            fixed.extend(request.targets.iter().map(|target| target.0));
            fixed.extend(request.gradients);
            fuse::run(&mut graph, &fixed, &mut notes);
        }
        let nodes = graph.nodes.clone();
        // Updates fused into the reverse pass would escape the clipping of stored gradients.
        let fused_optimizer = request.optimizer.filter(|_| request.clip.is_none() && !request.no_fusion);
        let grouping = !request.no_fusion && !request.no_grouping;
        let mut e = Emit::new(&mut graph, fused_optimizer, grouping);
        e.require(&wanted(e.graph, request));
        let mut reversed = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            if let Op::FastGradientSign(_) = node.op {
                reverse_between(&mut e, &nodes[..index], node, &mut reversed)?;
            }
            e.begin(&node.name);
            ops::forward(&mut e, node);
        }
        let kept = e.values(request.keep);
        kept.iter().for_each(|&region| e.keep(region));
        let gradients = reverse(&mut e, &nodes, request, &reversed)?;
        if let Some(optimizer) = request.optimizer {
            update(&mut e, optimizer, request.clip)?;
        }
        notes.append(&mut e.notes);
        let (mut calls, mut buffers) = (std::mem::take(&mut e.calls), std::mem::take(&mut e.buffers));
        live::drop_dead(&mut calls, &mut buffers);
        if grouping {
            scalars::run(&mut calls, &mut notes);
            group::run(&mut calls, &mut notes);
        }
        let workspace = memory::place(&calls, &buffers, real_bytes);
        let plan = Self { name: request.name.to_string(), calls, workspace, kept, gradients, notes };
        verify::run(&plan, graph.store)?;
        Ok(plan)
    }
}

/// Tensors whose gradients a plan needs.
fn wanted(graph: &Graph, request: &Request) -> Vec<TensorId> {
    let moved = graph.nodes.iter().filter(|node| matches!(node.op, Op::FastGradientSign(_)));
    let mut wanted: Vec<TensorId> = moved.map(|node| node.inputs[0]).collect();
    if request.targets.is_empty() {
        return wanted;
    }
    wanted.extend(request.gradients);
    if request.optimizer.is_some() {
        wanted.extend(parameters(graph));
    }
    wanted
}

/// The reverse pass of a fast gradient sign's loss, over the nodes between its x and the loss. Nodes that made the weights wait
/// for the main pass, which adds to the weights' gradients.
fn reverse_between(e: &mut Emit, nodes: &[Node], sign: &Node, reversed: &mut [bool]) -> Result<()> {
    let root = |e: &Emit, tensor: TensorId| e.graph.blocks(tensor).0;
    let mut depends = vec![root(e, sign.inputs[0])];
    let mut between = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        if node.inputs.iter().any(|&input| depends.contains(&root(e, input))) {
            depends.extend(&node.outputs);
            between.push(index);
        }
    }
    seed(e, sign.inputs[1], None);
    for &index in between.iter().rev() {
        reverse_node(e, &nodes[index])?;
        reversed[index] = true;
    }
    Ok(())
}

/// Where a reverse pass starts: the gradient of `target` is the value of `seed`, or 1.
fn seed(e: &mut Emit, target: TensorId, seed: Option<TensorId>) {
    e.begin(&format!("d.{}", e.graph.name(target)));
    let seed_value = seed.map(|seed| e.value(seed));
    let (region, write) = e.gradient_target(target);
    let elements = region.elements() as u32;
    match seed_value {
        Some(seed) => e.call(Kind::Scale { elements, factor: 1.0 }, &[seed], &[(region, write)]),
        None => e.call(Kind::Fill { elements, value: 1.0 }, &[], &[(region, write)]),
    }
}

/// A node's gradient rule, where its gradient is wanted and known.
fn reverse_node(e: &mut Emit, node: &Node) -> Result<()> {
    let needed = node.inputs.iter().any(|&input| e.wants(input));
    let reached = node.outputs.iter().any(|&output| e.has_gradient(output));
    if needed && reached {
        e.begin(&format!("d.{}", node.name));
        ops::backward(e, node)?;
    }
    Ok(())
}

/// The reverse pass: seeds, then the rules of the nodes from last to first, but for those `reversed` already. Returns the gradients
/// asked for.
fn reverse(e: &mut Emit, nodes: &[Node], request: &Request, reversed: &[bool]) -> Result<Vec<Region>> {
    if request.targets.is_empty() {
        return Ok(Vec::new());
    }
    for &(target, gradient) in request.targets {
        seed(e, target, gradient);
    }
    for (node, _) in nodes.iter().zip(reversed).rev().filter(|(_, done)| !**done) {
        reverse_node(e, node)?;
    }
    let mut gradients = Vec::with_capacity(request.gradients.len());
    for &tensor in request.gradients {
        let region = e.final_gradient(tensor)?;
        e.keep(region);
        gradients.push(region);
    }
    Ok(gradients)
}

/// The graph's parameters, each once, as tensors.
fn parameters(graph: &Graph) -> Vec<TensorId> {
    let mut seen = Vec::new();
    let mut tensors = Vec::new();
    for (index, tensor) in graph.tensors.iter().enumerate() {
        if let Source::Parameter(parameter) = tensor.source
            && !seen.contains(&parameter)
        {
            seen.push(parameter);
            tensors.push(TensorId(index));
        }
    }
    tensors
}

/// One optimiser call for each contiguous run of parameters that the reverse pass has not updated already.
fn update(e: &mut Emit, optimizer: Optimizer, clip: Option<f32>) -> Result<()> {
    let mut stored: Vec<(Region, Region)> = Vec::new();
    for tensor in parameters(e.graph) {
        let Source::Parameter(index) = e.graph.tensors[tensor.0].source else { continue };
        if !e.updated().contains(&index) {
            e.begin("optimizer");
            let gradient = e.final_gradient(tensor)?;
            stored.push((e.graph.store.parameters()[index].region, gradient));
        }
    }
    stored.sort_by_key(|(weights, _)| (weights.buffer, weights.offset));
    let all: Vec<Region> = e.graph.store.parameters().iter().map(|parameter| parameter.region).collect();
    let mut runs: Vec<(Region, Region)> = Vec::new();
    for (weights, gradient) in stored {
        let joins = runs.last().is_some_and(|(run, _)| {
            let between =
                |p: &Region| p.buffer == run.buffer && p.offset >= run.offset + run.len && p.offset < weights.offset;
            run.buffer == weights.buffer && !all.iter().any(between)
        });
        match runs.last_mut().filter(|_| joins) {
            Some((run, run_gradient)) => {
                let len = weights.offset + weights.len - run.offset;
                *run = Region::contiguous(run.buffer, run.offset, len);
                *run_gradient = Region::contiguous(run_gradient.buffer, run_gradient.offset, len);
            }
            None => runs.push((weights, gradient)),
        }
    }
    for (weights, gradient) in runs {
        e.begin("optimizer");
        let elements = weights.len as u32;
        if let Some(bound) = clip {
            e.call(Kind::ClipByValue { elements, bound }, &[], &[(gradient, Write::Update)]);
        }
        let mut writes = vec![(weights, Write::Update)];
        let moments = e.graph.store.moments(weights, optimizer)?;
        writes.extend(moments.into_iter().map(|moment| (moment, Write::Update)));
        let reads = [&[gradient], &e.optimizer_state(optimizer)[..]].concat();
        e.call(Kind::OptimizerStep { elements, optimizer }, &reads, &writes);
    }
    Ok(())
}
