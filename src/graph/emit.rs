//! Where the rules of ops put their calls: values forward, gradients in reverse, with set-or-add decided here.

use super::{Graph, Intervals, Node, Source, TensorId};
use crate::call::{BufferId, Call, Dtype, Kind, Moments, Optimizer, Place, Region, Write};
use crate::{Error, Result};

/// A workspace buffer, before it has a place.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub name: String,
    pub dtype: Dtype,
    pub len: usize,
    /// Kept to the end of the plan, for the host to read.
    pub kept: bool,
}

/// Rows above which a weight gradient is stored and updated separately: the rank-S kernel holds its rows in registers.
pub const RANK_UPDATE_ROWS: u32 = 16;

struct Gradient {
    region: Region,
    written: Intervals,
}

/// Collects the calls of a plan.
pub struct Emit<'g, 's> {
    pub graph: &'g mut Graph<'s>,
    pub calls: Vec<Call>,
    pub buffers: Vec<Buffer>,
    /// Sentences about what was fused, for `--explain-plan`.
    pub notes: Vec<String>,
    values: Vec<Option<Region>>,
    gradients: Vec<Option<Gradient>>,
    requires: Vec<bool>,
    label: String,
    optimizer: Option<Optimizer>,
    grouping: bool,
    updated: Vec<usize>,
}

impl<'g, 's> Emit<'g, 's> {
    /// An empty collection. `optimizer` allows updates fused into the reverse pass, `grouping` calls for all gradients of a
    /// small linear map at once.
    pub fn new(graph: &'g mut Graph<'s>, optimizer: Option<Optimizer>, grouping: bool) -> Self {
        let count = graph.tensors.len();
        Self {
            graph,
            calls: Vec::new(),
            buffers: Vec::new(),
            notes: Vec::new(),
            values: vec![None; count],
            gradients: (0..count).map(|_| None).collect(),
            requires: vec![false; count],
            label: String::new(),
            optimizer,
            grouping,
            updated: Vec::new(),
        }
    }

    /// Names the node whose calls follow.
    pub fn begin(&mut self, label: &str) {
        self.label = label.to_string();
    }

    /// Adds a call.
    pub fn call(&mut self, kind: Kind, reads: &[Region], writes: &[(Region, Write)]) {
        self.calls.push(Call { kind, label: self.label.clone(), reads: reads.to_vec(), writes: writes.to_vec() });
    }

    /// A workspace region of its own.
    pub fn scratch(&mut self, name: &str, dtype: Dtype, len: usize) -> Region {
        self.buffers.push(Buffer { name: name.to_string(), dtype, len, kept: false });
        let id = BufferId { place: Place::Workspace, index: self.buffers.len() - 1 };
        Region::contiguous(id, 0, len)
    }

    /// Keeps a tensor's workspace buffer to the end of the plan.
    pub fn keep(&mut self, region: Region) {
        if region.buffer.place == Place::Workspace {
            self.buffers[region.buffer.index].kept = true;
        }
    }

    /// Where the value of a tensor is (or will be).
    pub fn value(&mut self, tensor: TensorId) -> Region {
        let (root, blocks, _) = self.graph.blocks(tensor);
        let region = match (self.values[root.0], &self.graph.tensors[root.0].source) {
            (Some(region), _) => region,
            (None, Source::Parameter(index)) => self.graph.store.parameters()[*index].region,
            (None, Source::Persistent(region)) => *region,
            (None, _) => {
                let (name, dtype) = (self.graph.name(root).to_string(), self.graph.tensors[root.0].dtype);
                let len = self.graph.shape(root).elements();
                self.scratch(&name, dtype, len)
            }
        };
        self.values[root.0] = Some(region);
        blocks.of_region(region)
    }

    /// Values of all tensors of a list.
    pub fn values(&mut self, tensors: &[TensorId]) -> Vec<Region> {
        tensors.iter().map(|&tensor| self.value(tensor)).collect()
    }

    /// The step words of the store.
    pub fn words(&self) -> Region {
        self.graph.store.words()
    }

    /// The step scalars of the store.
    pub fn scalars(&self) -> Region {
        self.graph.store.scalars()
    }

    /// What an optimiser reads besides gradients: step scalars, and step words when it rounds its moments at random.
    pub fn optimizer_state(&self, optimizer: Optimizer) -> Vec<Region> {
        match optimizer.moments() {
            Moments::Fp32 => vec![self.scalars()],
            Moments::Bf16 => vec![self.scalars(), self.words()],
        }
    }

    // ---- reverse ---------------------------------------------------------------------------------------------------

    /// Marks the tensors whose gradients are wanted, and every tensor that depends on one.
    pub fn require(&mut self, wanted: &[TensorId]) {
        for &tensor in wanted {
            let (root, _, _) = self.graph.blocks(tensor);
            self.requires[root.0] = true;
        }
        for index in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[index];
            if node.inputs.iter().any(|&input| self.wants(input)) {
                for output in &node.outputs {
                    self.requires[output.0] = true;
                }
            }
        }
    }

    /// True when a gradient is to be written for this input of a node.
    pub fn wants(&self, tensor: TensorId) -> bool {
        let (root, _, detached) = self.graph.blocks(tensor);
        !detached && self.requires[root.0]
    }

    /// True when something has written (a part of) the gradient of a node's output.
    pub fn has_gradient(&self, tensor: TensorId) -> bool {
        let (root, _, _) = self.graph.blocks(tensor);
        self.gradients[root.0].is_some()
    }

    /// The complete gradient of a node's output; `None` when nothing that depends on it has one.
    /// Elements that no one wrote are zero: a call that fills them is emitted first.
    pub fn gradient(&mut self, tensor: TensorId) -> Option<Region> {
        let (root, blocks, _) = self.graph.blocks(tensor);
        let gradient = self.gradients[root.0].as_mut()?;
        let region = gradient.region;
        let gaps = gradient.written.gaps(region.offset, region.offset + region.len);
        gradient.written.insert(region.offset, region.offset + region.len);
        self.fill(region.buffer, &gaps);
        Some(blocks.of_region(region))
    }

    /// Where to write the gradient of a node's input, and whether to set it or to add to it.
    pub fn gradient_target(&mut self, tensor: TensorId) -> (Region, Write) {
        let (root, blocks, _) = self.graph.blocks(tensor);
        if self.gradients[root.0].is_none() {
            let region = self.gradient_region(root);
            self.gradients[root.0] = Some(Gradient { region, written: Intervals::default() });
        }
        let Some(gradient) = self.gradients[root.0].as_mut() else { unreachable!("set just above") };
        let target = blocks.of_region(gradient.region);
        let touched = target.intervals().any(|(start, end)| gradient.written.touches(start, end));
        let gaps: Vec<_> = target.intervals().flat_map(|(start, end)| gradient.written.gaps(start, end)).collect();
        target.intervals().for_each(|(start, end)| gradient.written.insert(start, end));
        if !touched {
            return (target, Write::Set);
        }
        self.fill(target.buffer, &gaps);
        (target, Write::Add)
    }

    /// Where the gradient of an input goes; memory that nobody reads when it is not wanted.
    pub fn gradient_or_scratch(&mut self, input: TensorId) -> (Region, Write) {
        if self.wants(input) {
            return self.gradient_target(input);
        }
        let len = self.graph.shape(input).elements();
        (self.scratch("unused.gradient", Dtype::Real, len), Write::Set)
    }

    /// The optimiser to apply in the reverse pass to a weight [1, O, I] of a linear map over `rows` rows, when its gradient
    /// need not be stored: one use, few rows, and too large to be one of the small parameters. Marks it as updated.
    pub fn rank_update(&mut self, weight: TensorId, rows: u32) -> Option<Optimizer> {
        let optimizer = self.optimizer?;
        let Source::Parameter(index) = self.graph.tensors[weight.0].source else { return None };
        let uses = |node: &Node| node.inputs.iter().filter(|&&input| self.graph.blocks(input).0 == weight).count();
        let single = self.graph.nodes.iter().map(uses).sum::<usize>() == 1;
        if rows > RANK_UPDATE_ROWS || !single || !self.graph.store.parameters()[index].large {
            return None;
        }
        self.updated.push(index);
        Some(optimizer)
    }

    /// True when the gradients of a small linear map are to be one call.
    pub fn grouping(&self) -> bool {
        self.grouping
    }

    /// Parameters that the reverse pass has updated already.
    pub fn updated(&self) -> &[usize] {
        &self.updated
    }

    /// The gradient of a wanted tensor after the reverse pass, complete.
    pub fn final_gradient(&mut self, tensor: TensorId) -> Result<Region> {
        self.gradient(tensor).ok_or_else(|| {
            Error::input(format!("{}: no path to the loss, so it would never be trained", self.graph.name(tensor)))
        })
    }

    fn gradient_region(&mut self, root: TensorId) -> Region {
        match self.graph.tensors[root.0].source {
            Source::Parameter(index) => self.graph.store.gradient(index),
            _ => {
                let name = format!("d.{}", self.graph.name(root));
                let len = self.graph.shape(root).elements();
                self.scratch(&name, Dtype::Real, len)
            }
        }
    }

    fn fill(&mut self, buffer: BufferId, gaps: &[(usize, usize)]) {
        for &(start, end) in gaps {
            let region = Region::contiguous(buffer, start, end - start);
            let kind = Kind::Fill { elements: region.len as u32, value: 0.0 };
            self.call(kind, &[], &[(region, Write::Set)]);
        }
    }
}
