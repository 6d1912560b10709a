//! A case of the gradient check: a small graph whose parameters are the arguments to differentiate by.

use crate::Result;
use crate::call::Region;
use crate::graph::{Graph, Init, Parameter, Shape, TensorId};
use crate::ops::elementwise::add;
use crate::random::Stream;

/// What a case's graph leads to.
pub struct Built {
    /// The tensor that is differentiated: any shape when the case is seeded, else one element.
    pub output: TensorId,
    /// Contents of persistent buffers that are no parameters: labels, step scalars.
    pub constants: Vec<Constant>,
}

/// The content of a persistent region.
#[derive(Clone, Debug)]
pub enum Constant {
    Real(Region, Vec<f64>),
    Words(Region, Vec<u32>),
}

/// Says the case's graph. Called once for each plan, always over the same store.
pub type Builder = Box<dyn Fn(&mut Graph) -> Result<Built> + Send + Sync>;

/// One graph to check, by every parameter in it.
pub struct Case {
    /// `conv2d`, or `lenet bbh ...` for a whole model.
    pub op: String,
    /// What sets this case of the op apart.
    pub name: String,
    /// Most elements of an argument that are checked; the others are drawn by lot out of it.
    pub limit: usize,
    /// True when the reverse pass starts from fixed random numbers, false when it starts from 1.
    pub seeded: bool,
    pub build: Builder,
}

impl Case {
    /// A case of an op: every element of every argument, random seed of the reverse pass.
    pub fn op(op: &str, name: &str, build: impl Fn(&mut Graph) -> Result<TensorId> + Send + Sync + 'static) -> Self {
        let build = move |g: &mut Graph| build(g).map(|output| Built { output, constants: Vec::new() });
        Self::with_constants(op, name, build)
    }

    /// The same, for a graph that needs constants.
    pub fn with_constants(
        op: &str,
        name: &str,
        build: impl Fn(&mut Graph) -> Result<Built> + Send + Sync + 'static,
    ) -> Self {
        Self { op: op.into(), name: name.into(), limit: usize::MAX, seeded: true, build: Box::new(build) }
    }

    /// The same case with at most `limit` elements of each argument checked.
    pub fn at_most(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

/// An argument with elements uniform on [-1, 1].
pub fn argument(g: &mut Graph, name: &str, axes: &[(char, usize)]) -> Result<TensorId> {
    g.parameter(name, Shape::new(axes), Init::Uniform(1.0))
}

/// An op said twice over the same arguments, so that each gradient is set once and added to once, with different weights.
pub fn twice(
    g: &mut Graph,
    op: impl Fn(&mut Graph, &str) -> Result<TensorId> + Send + Sync + 'static,
) -> Result<TensorId> {
    let (first, second) = (op(g, "first")?, op(g, "second")?);
    add(g, "both", first, second, -0.4)
}

/// `count` numbers on [-1, 1], the ones called `name` under `seed`. They fit into an f32, so that a step of a power of two
/// from them is exact in f64.
pub fn uniform(seed: u64, name: &str, count: usize) -> Vec<f64> {
    let mut values = vec![0.0; count];
    stream(seed, name, 0).uniforms_f64(0, &mut values);
    values.iter().map(|value| f64::from((2.0 * value - 1.0) as f32)).collect()
}

/// Starting values of a parameter as its `Init` says, with constants spread by 0.4 on either side: a bias of exactly 0
/// hides errors.
pub fn start(seed: u64, parameter: &Parameter) -> Vec<f64> {
    let name = &parameter.name;
    let uniforms = uniform(seed, name, parameter.region.len);
    let mut normals = vec![0.0; parameter.region.len];
    stream(seed, name, 1).normals_f64(0, &mut normals);
    let columns = parameter.shape.sizes().last().copied().unwrap_or(1);
    let value = |index: usize| -> f64 {
        match parameter.init {
            Init::Constant(center) => f64::from(center) + 0.4 * uniforms[index],
            Init::Uniform(bound) => f64::from(bound) * uniforms[index],
            Init::Normal(deviation) => f64::from(deviation) * normals[index],
            Init::NormalAbout { mean, deviation } => f64::from(mean) + f64::from(deviation) * normals[index],
            Init::NormalColumns { split, first, rest } => {
                f64::from(if index % columns < split { first } else { rest }) * normals[index]
            }
        }
    };
    (0..parameter.region.len).map(|index| f64::from(value(index) as f32)).collect()
}

/// Seeds of the reverse pass: between 0.5 and 1.5 in size, either sign.
pub fn seeds(seed: u64, count: usize) -> Vec<f64> {
    uniform(seed, "seed", count).iter().map(|value| value + 0.5f64.copysign(*value)).collect()
}

/// Distinct indices below `count`, in rising order: all of them, or `limit` drawn by lot.
pub fn chosen(seed: u64, name: &str, count: usize, limit: usize) -> Vec<usize> {
    if count <= limit {
        return (0..count).collect();
    }
    let mut lots = vec![0.0; 4 * limit];
    stream(seed, name, 2).uniforms_f64(0, &mut lots);
    let mut indices: Vec<usize> = Vec::with_capacity(limit);
    for lot in lots {
        let index = (lot * count as f64) as usize;
        if indices.len() < limit && !indices.contains(&index) {
            indices.push(index);
        }
    }
    indices.sort_unstable();
    indices
}

fn stream(seed: u64, name: &str, purpose: u32) -> Stream {
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Stream { key: [seed as u32, (seed >> 32) as u32], stream: hash, step: purpose }
}
