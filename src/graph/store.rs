//! The persistent region: parameters, their gradients and moments, data sets, step words. All plans share one store.

use super::{Layout, Shape, Slot, layout::aligned};
use crate::call::{BufferId, Dtype, Optimizer, Place, Region, metric, scalar, word};
use crate::{Error, Result};

/// Parameters of at least this many elements stand in a group of their own, so that the small ones form one
/// contiguous range that a single optimiser call updates.
pub const LARGE: usize = 1 << 20;

/// Parameters start on multiples of this many elements: 16-byte accesses stay aligned.
const PARAMETER_ALIGNMENT: usize = 16;

/// How a parameter starts. The numbers are drawn on the host from the run's seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Constant(f32),
    /// Uniform on [-bound, bound].
    Uniform(f32),
    /// N(0, deviation^2).
    Normal(f32),
    /// N(mean, deviation^2).
    NormalAbout {
        mean: f32,
        deviation: f32,
    },
    /// A matrix [O, I]: N(0, first^2) in columns below `split`, N(0, rest^2) from there on.
    NormalColumns {
        split: usize,
        first: f32,
        rest: f32,
    },
}

/// A trained tensor.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: String,
    pub shape: Shape,
    pub init: Init,
    /// Its values in the weights of its group.
    pub region: Region,
    /// True when the group is the one of large parameters.
    pub large: bool,
}

/// Fixed buffers of every store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fixed {
    Words,
    Scalars,
    Metrics,
    Weights,
    LargeWeights,
    Gradients,
    LargeGradients,
    FirstMoments,
    LargeFirstMoments,
    SecondMoments,
    LargeSecondMoments,
    Count,
}

/// Names and sizes of everything persistent. Sizes of the parameter groups grow until the store is laid out.
#[derive(Clone, Debug)]
pub struct Store {
    slots: Vec<(String, Dtype, usize)>,
    parameters: Vec<Parameter>,
    streams: Vec<(String, u32)>,
    gradients: bool,
    large_gradients: bool,
    moments: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// A store with the step words, scalars and metrics, and no parameters.
    pub fn new() -> Self {
        let fixed = [
            ("words", Dtype::U32, word::COUNT),
            ("scalars", Dtype::Real, scalar::COUNT),
            ("metrics", Dtype::F64, metric::COUNT),
            ("weights", Dtype::Real, 0),
            ("weights.large", Dtype::Real, 0),
            ("gradients", Dtype::Real, 0),
            ("gradients.large", Dtype::Real, 0),
            ("moments.first", Dtype::Real, 0),
            ("moments.first.large", Dtype::Real, 0),
            ("moments.second", Dtype::Real, 0),
            ("moments.second.large", Dtype::Real, 0),
        ];
        debug_assert_eq!(fixed.len(), Fixed::Count as usize);
        Self {
            slots: fixed.iter().map(|(name, dtype, len)| (name.to_string(), *dtype, *len)).collect(),
            parameters: Vec::new(),
            streams: Vec::new(),
            gradients: false,
            large_gradients: false,
            moments: 0,
        }
    }

    /// The parameter called `name`, created on first use. Later uses must ask for the same shape.
    pub fn parameter(&mut self, name: &str, shape: &Shape, init: Init) -> Result<usize> {
        if let Some(index) = self.parameters.iter().position(|p| p.name == name) {
            let found = &self.parameters[index].shape;
            if found != shape {
                return Err(Error::input(format!("parameter {name} is {found}, but was asked for again as {shape}")));
            }
            return Ok(index);
        }
        let len = shape.elements();
        let large = len >= LARGE;
        let group = if large { Fixed::LargeWeights } else { Fixed::Weights };
        let slot = &mut self.slots[group as usize].2;
        let offset = slot.next_multiple_of(PARAMETER_ALIGNMENT);
        *slot = offset + len;
        let region = Region::contiguous(buffer(group), offset, len);
        let (name, shape) = (name.to_string(), shape.clone());
        self.parameters.push(Parameter { name, shape, init, region, large });
        Ok(self.parameters.len() - 1)
    }

    /// A persistent buffer called `name`, created on first use.
    pub fn buffer(&mut self, name: &str, dtype: Dtype, len: usize) -> Result<Region> {
        if let Some(index) = self.slots.iter().position(|slot| slot.0 == name) {
            let (_, found, elements) = &self.slots[index];
            if (*found, *elements) != (dtype, len) {
                return Err(Error::input(format!(
                    "buffer {name} holds {elements} of {found:?}, but was asked for again with {len} of {dtype:?}"
                )));
            }
            return Ok(Region::contiguous(BufferId { place: Place::Persistent, index }, 0, len));
        }
        self.slots.push((name.to_string(), dtype, len));
        Ok(Region::contiguous(BufferId { place: Place::Persistent, index: self.slots.len() - 1 }, 0, len))
    }

    /// Number of the random stream called `name`: a hash, so that it is the same in every graph, whatever was asked before.
    ///
    /// # Errors
    /// When two names of this store have the same number.
    pub fn stream(&mut self, name: &str) -> Result<u32> {
        let number = stream_number(name);
        match self.streams.iter().find(|(_, known)| *known == number) {
            Some((known, _)) if known != name => {
                Err(Error::input(format!("random streams {known} and {name} have the same number; rename one")))
            }
            Some(_) => Ok(number),
            None => {
                self.streams.push((name.to_string(), number));
                Ok(number)
            }
        }
    }

    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Sum of the elements of all parameters.
    pub fn parameter_elements(&self) -> usize {
        self.parameters.iter().map(|p| p.region.len).sum()
    }

    /// Step words (see [`word`]).
    pub fn words(&self) -> Region {
        self.whole(Fixed::Words)
    }

    /// Step scalars (see [`scalar`]).
    pub fn scalars(&self) -> Region {
        self.whole(Fixed::Scalars)
    }

    /// Sums of a run's figures (see [`metric`]).
    pub fn metrics(&self) -> Region {
        self.whole(Fixed::Metrics)
    }

    /// The region of a parameter's stored gradient; the store then holds gradients of its group.
    pub fn gradient(&mut self, parameter: usize) -> Region {
        let p = &self.parameters[parameter];
        let region = Region { buffer: self.gradient_buffer(p), ..p.region };
        if p.large {
            self.large_gradients = true;
        } else {
            self.gradients = true;
        }
        region
    }

    /// The buffer in which a parameter's gradient is stored.
    pub fn gradient_buffer(&self, parameter: &Parameter) -> BufferId {
        buffer(if parameter.large { Fixed::LargeGradients } else { Fixed::Gradients })
    }

    /// The regions that hold an optimiser's moments of a range of weights: first and second for 2, second alone for 1.
    ///
    /// # Errors
    /// When a plan over this store has moments of another type.
    pub fn moments(&mut self, weights: Region, optimizer: Optimizer) -> Result<Vec<Region>> {
        let (count, dtype) = (optimizer.moment_count(), optimizer.moments().dtype());
        let all = [Fixed::FirstMoments, Fixed::LargeFirstMoments, Fixed::SecondMoments, Fixed::LargeSecondMoments];
        let found = self.slots[all[0] as usize].1;
        if self.moments > 0 && found != dtype {
            return Err(Error::input(format!(
                "moments of this store are {found:?}, but were asked for again as {dtype:?}"
            )));
        }
        all.iter().for_each(|&group| self.slots[group as usize].1 = dtype);
        self.moments = self.moments.max(count);
        let large = weights.buffer == buffer(Fixed::LargeWeights);
        let groups = if large {
            [Fixed::LargeFirstMoments, Fixed::LargeSecondMoments]
        } else {
            [Fixed::FirstMoments, Fixed::SecondMoments]
        };
        Ok(groups[2 - count..].iter().map(|&group| Region { buffer: buffer(group), ..weights }).collect())
    }

    /// True for buffers of gradients: each step writes them before it reads them.
    pub fn is_transient(&self, id: BufferId) -> bool {
        [Fixed::Gradients, Fixed::LargeGradients].iter().any(|&group| buffer(group) == id)
    }

    /// True for buffers of weights: a plan may not write them but by an optimiser.
    pub fn is_weights(&self, id: BufferId) -> bool {
        [Fixed::Weights, Fixed::LargeWeights].iter().any(|&group| buffer(group) == id)
    }

    /// Buffers that a checkpoint must hold besides the parameters: step words and moments in use, by name.
    pub fn saved_buffers(&self) -> Vec<Region> {
        let mut saved = vec![Fixed::Words];
        if self.moments == 2 {
            saved.extend([Fixed::FirstMoments, Fixed::LargeFirstMoments]);
        }
        if self.moments >= 1 {
            saved.extend([Fixed::SecondMoments, Fixed::LargeSecondMoments]);
        }
        saved.iter().map(|&fixed| self.whole(fixed)).filter(|region| region.len > 0).collect()
    }

    /// The region of the parameter or buffer called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &str) -> Result<Region> {
        let parameter = self.parameters.iter().find(|p| p.name == name).map(|p| p.region);
        let buffer = || {
            let index = self.slots.iter().position(|slot| slot.0 == name)?;
            Some(Region::contiguous(BufferId { place: Place::Persistent, index }, 0, self.len(index)))
        };
        parameter.or_else(buffer).ok_or_else(|| Error::input(format!("no parameter or buffer is called {name}")))
    }

    /// Name of a persistent buffer.
    pub fn name(&self, id: BufferId) -> &str {
        &self.slots[id.index].0
    }

    /// Element type of a persistent buffer.
    pub fn dtype(&self, id: BufferId) -> Dtype {
        self.slots[id.index].1
    }

    /// Offsets of all buffers in one arena. Gradient and moment groups that no plan asked for take no room.
    pub fn layout(&self, real_bytes: usize) -> Layout {
        let mut layout = Layout { slots: Vec::new(), bytes: 0, real_bytes };
        for (index, (name, dtype, _)) in self.slots.iter().enumerate() {
            let len = self.len(index);
            let offset = layout.bytes;
            layout.slots.push(Slot { name: name.clone(), dtype: *dtype, len, offset });
            layout.bytes = aligned(offset + len * layout.element_bytes(*dtype));
        }
        layout
    }

    fn len(&self, index: usize) -> usize {
        let of = |group: Fixed, used: bool| if used { self.slots[group as usize].2 } else { 0 };
        match index {
            i if i == Fixed::Gradients as usize => of(Fixed::Weights, self.gradients),
            i if i == Fixed::LargeGradients as usize => of(Fixed::LargeWeights, self.large_gradients),
            i if i == Fixed::FirstMoments as usize => of(Fixed::Weights, self.moments == 2),
            i if i == Fixed::LargeFirstMoments as usize => of(Fixed::LargeWeights, self.moments == 2),
            i if i == Fixed::SecondMoments as usize => of(Fixed::Weights, self.moments >= 1),
            i if i == Fixed::LargeSecondMoments as usize => of(Fixed::LargeWeights, self.moments >= 1),
            _ => self.slots[index].2,
        }
    }

    fn whole(&self, fixed: Fixed) -> Region {
        Region::contiguous(buffer(fixed), 0, self.len(fixed as usize))
    }
}

fn buffer(fixed: Fixed) -> BufferId {
    BufferId { place: Place::Persistent, index: fixed as usize }
}

/// FNV-1a of the name, below 2^30: initial values and data sets draw from streams above.
fn stream_number(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash & 0x3fff_ffff
}
