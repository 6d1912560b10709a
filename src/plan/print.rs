//! A plan as text: calls, shapes, bytes, fusions, arena size (`--explain-plan`).

use super::Plan;
use crate::call::{Call, Kind, Place, Region, Unary, Write};
use crate::graph::Store;
use std::fmt::Write as _;

impl Plan {
    /// The plan as a table for people.
    pub fn explain(&self, store: &Store) -> String {
        let persistent = store.layout(self.workspace.real_bytes);
        let mut text = format!(
            "plan {}: {} calls, workspace {}, persistent {} ({} parameters)\n",
            self.name,
            self.calls.len(),
            bytes(self.workspace.bytes),
            bytes(persistent.bytes),
            store.parameter_elements()
        );
        for note in &self.notes {
            let _ = writeln!(text, "fused: {note}");
        }
        let _ = writeln!(text, "{:>4}  {:<26} {:<24} {:<34} {:>10}  writes", "#", "call", "for", "shape", "bytes");
        for (index, call) in self.calls.iter().enumerate() {
            let writes: Vec<String> = call
                .writes
                .iter()
                .map(|(region, write)| format!("{}{}", mark(*write), self.buffer(store, region)))
                .collect();
            let _ = writeln!(
                text,
                "{index:>4}  {:<26} {:<24} {:<34} {:>10}  {}",
                call.kind.name(),
                call.label,
                call.kind.shape(),
                bytes(self.call_bytes(store, call)),
                writes.join(" ")
            );
        }
        text
    }

    /// Bytes that a call reads and writes at least: every region once, updated or added-to ones twice; of a data set only
    /// the images of the batch.
    pub fn call_bytes(&self, store: &Store, call: &Call) -> usize {
        let size = |region: &Region| {
            let dtype = match region.buffer.place {
                Place::Workspace => self.workspace.slots[region.buffer.index].dtype,
                Place::Persistent => store.dtype(region.buffer),
            };
            region.elements() * self.workspace.element_bytes(dtype)
        };
        let reads: usize = match call.kind {
            Kind::GatherBatch(d) => (d.members * d.batch * (d.pixels + 1)) as usize,
            _ => call.reads.iter().map(size).sum(),
        };
        let writes: usize =
            call.writes.iter().map(|(region, write)| size(region) * if *write == Write::Set { 1 } else { 2 }).sum();
        reads + writes
    }

    /// Name of the buffer of a region.
    pub fn buffer(&self, store: &Store, region: &Region) -> String {
        match region.buffer.place {
            Place::Workspace => self.workspace.slots[region.buffer.index].name.clone(),
            Place::Persistent => store.name(region.buffer).to_string(),
        }
    }
}

fn mark(write: Write) -> &'static str {
    match write {
        Write::Set => "=",
        Write::Add => "+=",
        Write::Update => "~",
    }
}

/// A size for people: 1.5 GiB, 20.0 MiB, 512 B.
pub fn bytes(bytes: usize) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

impl Kind {
    /// The dims in one short text, letters as in `call`.
    pub fn shape(&self) -> String {
        match self {
            Self::LinearForward(d, f) => format!("{}{}", linear(d), epilogue(*f)),
            Self::LinearGradInput(d) | Self::LinearGradWeight(d) | Self::LinearRankUpdate { dims: d, .. } => linear(d),
            Self::LinearGroupForward(group) | Self::LinearGroupGrad { group, .. } => {
                format!("{} maps, {} products{}", group.maps, group.products, epilogue(group.function))
            }
            Self::Conv2dForward(d, f) => format!("{}{}", conv2d(d), epilogue(*f)),
            Self::Conv2dGradInput(d)
            | Self::Conv2dGradWeight(d)
            | Self::Conv2dPoolForward(d)
            | Self::Conv2dPoolGradInput(d)
            | Self::Conv2dPoolGradWeight(d) => conv2d(d),
            Self::BiasForward(d) | Self::BiasGrad(d) => {
                format!("S{} N{} O{} inner {}", d.samples, d.rows, d.channels, d.inner)
            }
            Self::UnaryForward { elements, function } | Self::UnaryGrad { elements, function } => {
                format!("{elements} {}", function.name())
            }
            Self::AddForward { elements, .. }
            | Self::Multiply { elements }
            | Self::Scale { elements, .. }
            | Self::ScaleByScalar { elements, .. }
            | Self::Fill { elements, .. }
            | Self::Sum { elements }
            | Self::SumGrad { elements }
            | Self::HalfSquaredNorm { elements }
            | Self::GaussianKl { elements, .. }
            | Self::CappedVariances { elements, .. }
            | Self::CappedVariancesGrad { elements, .. }
            | Self::LocalReparameterization { elements, .. }
            | Self::LocalReparameterizationGrad { elements, .. }
            | Self::LogDensity { elements }
            | Self::LogDensityGrad { elements }
            | Self::GaussianKlGrad { elements, .. }
            | Self::OptimizerStep { elements, .. }
            | Self::ClipByValue { elements, .. } => elements.to_string(),
            Self::ScalarProgram(program) => format!("{} steps", program.steps),
            Self::ScaleGroup(group) => format!("{} parts, {} elements", group.parts, group.elements),
            Self::MaxPool2dForward(d) | Self::MaxPool2dGrad(d) | Self::AvgPool2dForward(d) | Self::AvgPool2dGrad(d) => {
                format!("{} images {}x{} K{} stride {}", d.images, d.height, d.width, d.kernel, d.stride)
            }
            Self::NormForward(d) | Self::NormGrad(d) => {
                let (over, relu) =
                    (if d.per_image == 1 { "instance" } else { "batch" }, if d.relu == 1 { " relu" } else { "" });
                format!("S{} N{} C{} inner {} {over}{relu}", d.samples, d.batch, d.channels, d.inner)
            }
            Self::ShortcutForward(d) | Self::ShortcutGrad(d) => {
                format!("{} images C{} + C{} inner {}", d.images, d.channels, d.narrow, d.inner)
            }
            Self::ConcatOneHot(d) | Self::ConcatOneHotGrad(d) => {
                format!("S{} C{} k{}", d.samples, d.conditions, d.noise)
            }
            Self::CenterSamples(d) | Self::MeanSamples(d) | Self::MeanSamplesGrad(d) => {
                format!("S{} inner {}", d.samples, d.inner)
            }
            Self::Softmax(d)
            | Self::SoftmaxGrad(d)
            | Self::LogMeanSoftmax(d)
            | Self::LogMeanSoftmaxGrad(d)
            | Self::SoftmaxXentForward(d)
            | Self::SoftmaxXentGrad(d) => format!("S{} N{} classes {}", d.samples, d.rows, d.classes),
            Self::Normal(d) | Self::Uniform(d) => format!("{} stream {}", d.elements, d.stream),
            Self::PairwiseDistances(d)
            | Self::PairwiseDistancesGrad(d)
            | Self::PerWeightKl(d)
            | Self::PerWeightKlGrad(d) => {
                format!("S{} D{} of {}", d.samples, d.weights, d.total)
            }
            Self::NearestNeighbourKl(d) => format!("S{} D{} in {} parts", d.samples, d.total, d.parts),
            Self::ScaledSamples(group) | Self::ScaledSamplesGrad(group) => {
                format!("S{} D{} in {} parts", group.samples, group.elements(), group.parts)
            }
            Self::GaussianSamples(group)
            | Self::GaussianSamplesGrad(group)
            | Self::CouplingMask(group)
            | Self::Coupling(group)
            | Self::CouplingLogDeterminant(group)
            | Self::CouplingGrad(group) => {
                format!("S{} D{} in {} parts", group.samples, group.elements, group.parts)
            }
            Self::GatherBatch(d) => format!("S{} N{} of {} x {} pixels", d.members, d.batch, d.images, d.pixels),
            Self::Subset(d) | Self::SubsetGrad(d) => {
                format!("S{} {} of {}, part of {}", d.samples, d.chosen, d.total, d.weights)
            }
            Self::Dropout(d) => format!("{} keep {}", d.elements, d.keep),
            Self::Augment(d) => format!("N{} of {} x {} x {} to {}", d.batch, d.channels, d.height, d.width, d.side),
            Self::AdvanceStep(_) => String::new(),
            Self::AccumulateMetrics { rows } => format!("N{rows}"),
        }
    }
}

fn linear(d: &crate::call::LinearDims) -> String {
    format!("S{} N{} I{} O{}", d.samples, d.rows, d.inputs, d.outputs)
}

fn conv2d(d: &crate::call::Conv2dDims) -> String {
    format!("S{} N{} {}x{}x{} O{} K{}", d.samples, d.batch, d.channels, d.height, d.width, d.outputs, d.kernel)
}

fn epilogue(f: Unary) -> String {
    if f == Unary::Identity { String::new() } else { format!(" {}", f.name()) }
}
