//! The graph: tensors and the nodes that make them, in the order in which the model said them.

use super::{Op, Shape, Store};
use crate::call::{Dtype, Region};
use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// Where a tensor's elements are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// In the workspace, made by a node.
    Node,
    /// A trained parameter (index in the store).
    Parameter(usize),
    /// A persistent buffer that is no parameter: data, step scalars, kept values.
    Persistent(Region),
    /// Elements of another tensor: blocks relative to the root's first element.
    View { root: TensorId, blocks: Blocks, detached: bool },
}

/// `count` blocks of `len` elements, `stride` apart, from `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    pub offset: usize,
    pub count: usize,
    pub len: usize,
    pub stride: usize,
}

impl Blocks {
    /// A contiguous tensor as one block per sample.
    fn of(shape: &Shape) -> Self {
        let count = shape.samples().max(1);
        let len = shape.elements() / count;
        Self { offset: 0, count, len, stride: len }
    }

    fn is_contiguous(&self) -> bool {
        self.count == 1 || self.stride == self.len
    }

    /// These blocks of a region.
    pub fn of_region(&self, region: Region) -> Region {
        Region {
            buffer: region.buffer,
            offset: region.offset + self.offset,
            count: self.count,
            len: self.len,
            stride: self.stride,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub shape: Shape,
    pub dtype: Dtype,
    pub source: Source,
}

/// One op with its tensors.
#[derive(Clone, Debug)]
pub struct Node {
    pub op: Op,
    pub name: String,
    pub inputs: Vec<TensorId>,
    pub outputs: Vec<TensorId>,
}

/// Tensors and nodes over one store. Building it checks every shape; nothing runs.
pub struct Graph<'s> {
    pub store: &'s mut Store,
    pub tensors: Vec<Tensor>,
    pub nodes: Vec<Node>,
}

impl<'s> Graph<'s> {
    pub fn new(store: &'s mut Store) -> Self {
        Self { store, tensors: Vec::new(), nodes: Vec::new() }
    }

    pub fn shape(&self, tensor: TensorId) -> &Shape {
        &self.tensors[tensor.0].shape
    }

    pub fn name(&self, tensor: TensorId) -> &str {
        &self.tensors[tensor.0].name
    }

    /// The parameter called `name`, as a tensor: one for each parameter, so that all its uses share one gradient.
    ///
    /// # Errors
    /// When the store has it with another shape.
    pub fn parameter(&mut self, name: &str, shape: Shape, init: super::Init) -> Result<TensorId> {
        let index = self.store.parameter(name, &shape, init)?;
        let known = self.tensors.iter().position(|tensor| tensor.source == Source::Parameter(index));
        Ok(known.map(TensorId).unwrap_or_else(|| self.tensor(name, shape, Dtype::Real, Source::Parameter(index))))
    }

    /// A persistent region as a tensor without gradient.
    pub fn persistent(&mut self, name: &str, shape: Shape, dtype: Dtype, region: Region) -> TensorId {
        self.tensor(name, shape, dtype, Source::Persistent(region))
    }

    /// Adds a node called `name` and returns its outputs, each given as (suffix of its name, shape, element type).
    ///
    /// # Errors
    /// When an output is empty or too large, or an input lies in strided blocks that the op's kernels cannot read.
    pub fn node(
        &mut self,
        op: Op,
        name: &str,
        inputs: &[TensorId],
        outputs: &[(&str, Shape, Dtype)],
    ) -> Result<Vec<TensorId>> {
        for (index, &input) in inputs.iter().enumerate() {
            if !self.blocks(input).1.is_contiguous() && !op.reads_blocks(index) {
                return Err(Error::input(format!(
                    "{name}: {} reads contiguous tensors, but {} is a part of each sample's vector; copy it with scale by 1",
                    op.name(),
                    self.name(input)
                )));
            }
        }
        let outputs: Vec<TensorId> = outputs
            .iter()
            .map(|(suffix, shape, dtype)| self.tensor(&format!("{name}{suffix}"), shape.clone(), *dtype, Source::Node))
            .collect();
        for &output in &outputs {
            let elements = self.shape(output).elements();
            if u32::try_from(elements).is_err() || elements == 0 {
                let shape = self.shape(output);
                return Err(Error::input(format!("{name}: {shape} has {elements} elements; expected 1 to 4294967295")));
            }
        }
        self.nodes.push(Node { op, name: name.to_string(), inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// The same elements under another shape.
    pub fn reshape(&mut self, tensor: TensorId, shape: Shape) -> Result<TensorId> {
        let (root, blocks, detached) = self.blocks(tensor);
        let found = self.shape(tensor);
        if found.elements() != shape.elements() || (!blocks.is_contiguous() && found.samples() != shape.samples()) {
            return Err(Error::input(format!("{}: cannot view {found} as {shape}", self.name(tensor))));
        }
        let blocks =
            if blocks.is_contiguous() { Blocks { offset: blocks.offset, ..Blocks::of(&shape) } } else { blocks };
        Ok(self.view(tensor, shape, root, blocks, detached))
    }

    /// Elements `offset ..` of every sample's vector: `x [S, D] -> [S, ..shape]`.
    pub fn part(&mut self, tensor: TensorId, name: &str, offset: usize, shape: Shape) -> Result<TensorId> {
        let (root, blocks, detached) = self.blocks(tensor);
        let len = shape.elements() / shape.samples();
        if shape.samples() != blocks.count || offset + len > blocks.len {
            let found = self.shape(tensor);
            return Err(Error::input(format!("{name}: elements {offset}..{} of {found} do not exist", offset + len)));
        }
        let blocks = Blocks { offset: blocks.offset + offset, len, ..blocks };
        let part = self.view(tensor, shape, root, blocks, detached);
        self.tensors[part.0].name = name.to_string();
        Ok(part)
    }

    /// The first `samples` samples of `x [S, ..]`.
    pub fn first_samples(&mut self, tensor: TensorId, samples: usize) -> Result<TensorId> {
        let (root, blocks, detached) = self.blocks(tensor);
        let found = self.shape(tensor).clone();
        if samples == 0 || samples > found.samples() {
            return Err(Error::input(format!("{}: expected at least {samples} samples in {found}", self.name(tensor))));
        }
        let blocks = Blocks { count: samples, ..blocks };
        Ok(self.view(tensor, found.with_samples(samples), root, blocks, detached))
    }

    /// The same tensor as a constant: no gradient flows through it.
    pub fn stop_gradient(&mut self, tensor: TensorId) -> TensorId {
        let (root, blocks, _) = self.blocks(tensor);
        let shape = self.shape(tensor).clone();
        self.view(tensor, shape, root, blocks, true)
    }

    /// Root tensor, blocks relative to it, and whether gradients stop on the way.
    pub fn blocks(&self, tensor: TensorId) -> (TensorId, Blocks, bool) {
        match &self.tensors[tensor.0].source {
            Source::View { root, blocks, detached } => (*root, *blocks, *detached),
            _ => (tensor, Blocks::of(self.shape(tensor)), false),
        }
    }

    fn view(&mut self, tensor: TensorId, shape: Shape, root: TensorId, blocks: Blocks, detached: bool) -> TensorId {
        let (name, dtype) = (self.name(tensor).to_string(), self.tensors[tensor.0].dtype);
        self.tensor(&name, shape, dtype, Source::View { root, blocks, detached })
    }

    fn tensor(&mut self, name: &str, shape: Shape, dtype: Dtype, source: Source) -> TensorId {
        self.tensors.push(Tensor { name: name.to_string(), shape, dtype, source });
        TensorId(self.tensors.len() - 1)
    }
}
