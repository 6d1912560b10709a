//! What a step does besides mathematics: move to the next step, gather a batch from the device-resident set, keep metrics.

use super::augment::{Crop, augment};
use crate::call::{Dtype, GatherDims, Kind, Schedule, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};
use crate::{Error, Result};

/// A data set in the persistent region.
#[derive(Clone, Debug)]
pub struct DeviceSet {
    pub name: String,
    pub images: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Batches are standardised crops: at random places when shuffled, else of the centre.
    pub crop: Option<Crop>,
}

/// Which images a plan gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A new permutation each epoch, batch after batch as the step counts.
    Shuffled,
    /// In order; the host sets the batch.
    Sequential,
}

/// The next batch of N images of a data set for each of S members -> x [S, N, C, H, W] in [0, 1] (or its standardised crops),
/// labels U32 [N = S N], row weights [N = S N]. Shuffled, each member has permutations of its own; in order, all have the same.
///
/// # Errors
/// When the set or the batch is empty, or there is no member.
pub fn gather_batch(
    g: &mut Graph,
    set: &DeviceSet,
    (members, batch): (usize, usize),
    order: Order,
) -> Result<[TensorId; 3]> {
    if set.images == 0 || members == 0 || batch == 0 {
        return Err(Error::input(format!("{}: expected at least one image and a batch of at least 1", set.name)));
    }
    let pixels = set.channels * set.height * set.width;
    let images = g.store.buffer(&format!("{}.images", set.name), Dtype::U8, set.images * pixels)?;
    let labels = g.store.buffer(&format!("{}.labels", set.name), Dtype::U8, set.images)?;
    let images = g.persistent("images", Shape::new(&[('N', set.images), ('I', pixels)]), Dtype::U8, images);
    let labels = g.persistent("labels", Shape::new(&[('N', set.images)]), Dtype::U8, labels);
    let dims = GatherDims {
        images: set.images as u32,
        members: members as u32,
        batch: batch as u32,
        pixels: pixels as u32,
        steps_per_epoch: set.images.div_ceil(batch) as u32,
        shuffle: u32::from(order == Order::Shuffled),
        stream: g.store.stream("shuffle")?,
    };
    let x = [('S', members), ('N', batch), ('C', set.channels), ('H', set.height), ('W', set.width)];
    let rows = Shape::new(&[('N', members * batch)]);
    let outputs =
        [("", Shape::new(&x), Dtype::Real), (".labels", rows.clone(), Dtype::U32), (".weights", rows, Dtype::Real)];
    let y = g.node(Op::GatherBatch(dims), "batch", &[images, labels], &outputs)?;
    let x = match set.crop {
        Some(crop) => augment(g, "augment", y[0], crop, order == Order::Shuffled)?,
        None => y[0],
    };
    Ok([x, y[1], y[2]])
}

/// Moves the step words and scalars to the next step. The first node of a training graph.
pub fn advance_step(g: &mut Graph, schedule: Schedule) {
    g.nodes.push(Node { op: Op::AdvanceStep(schedule), name: "step".into(), inputs: vec![], outputs: vec![] });
}

/// The figures of a step that the metrics keep, one element each but the row weights [N].
pub struct StepFigures {
    pub loss: TensorId,
    pub cross_entropy: TensorId,
    pub kl: TensorId,
    pub scaled_kl: TensorId,
    pub correct: TensorId,
    pub row_weights: TensorId,
}

/// Adds the figures of a step to the persistent metrics.
pub fn metrics(g: &mut Graph, figures: &StepFigures) {
    let f = figures;
    let inputs = vec![f.loss, f.cross_entropy, f.kl, f.scaled_kl, f.correct, f.row_weights];
    g.nodes.push(Node { op: Op::Metrics, name: "metrics".into(), inputs, outputs: vec![] });
}

pub(super) fn gather_forward(e: &mut Emit, node: &Node, d: &GatherDims) {
    let mut reads = e.values(&node.inputs);
    reads.push(e.words());
    let writes: Vec<_> = e.values(&node.outputs).into_iter().map(|output| (output, Write::Set)).collect();
    e.call(Kind::GatherBatch(*d), &reads, &writes);
}

pub(super) fn advance_step_forward(e: &mut Emit, schedule: &Schedule) {
    let (words, scalars) = (e.words(), e.scalars());
    e.call(Kind::AdvanceStep(*schedule), &[], &[(words, Write::Update), (scalars, Write::Set)]);
}

pub(super) fn metrics_forward(e: &mut Emit, node: &Node) {
    let reads = e.values(&node.inputs);
    let rows = reads[5].elements() as u32;
    let metrics = e.graph.store.metrics();
    e.call(Kind::AccumulateMetrics { rows }, &reads, &[(metrics, Write::Update)]);
}
