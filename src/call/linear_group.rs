//! Small linear maps that do not depend on each other, many in one call: the layers of generators.

use super::{LinearDims, Unary};

/// What the maps of a call have in common. Their sizes may differ and follow from the regions: x stands as N blocks of I,
/// w as O blocks of I, y as N blocks of O.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearGroup {
    /// Maps, at most [`LinearGroup::MOST_MAPS`].
    pub maps: u32,
    /// Products N * I * O, summed over the maps.
    pub products: u32,
    pub function: Unary,
    pub bias: bool,
}

/// Places of one map's gradients in the lists of regions that the call reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradPlaces {
    pub x: usize,
    pub dy: usize,
    /// Read for the gradient of the function, unless that is the identity.
    pub y: Option<usize>,
    /// Read for dx.
    pub w: Option<usize>,
    pub dw: usize,
    pub db: Option<usize>,
    pub dx: Option<usize>,
    /// Scratch for dy f'(y), unless the function is the identity.
    pub dz: Option<usize>,
}

impl LinearGroup {
    /// Maps of one call: their addresses and sizes travel with a launch.
    pub const MOST_MAPS: usize = 16;
    /// Rows N of a map: the gradient of x, and all sums of a weight, are held in registers.
    pub const MOST_ROWS: u32 = 16;
    /// Weights of a map: above, the time of a single call is no longer that of its launch.
    pub const MOST_WEIGHTS: usize = 1 << 18;

    /// True for maps that are worth a place in a group.
    pub fn takes(d: &LinearDims) -> bool {
        d.samples == 1 && d.rows <= Self::MOST_ROWS && d.inputs as usize * d.outputs as usize <= Self::MOST_WEIGHTS
    }

    /// One map as a group.
    pub fn of(d: &LinearDims, function: Unary) -> Self {
        Self { maps: 1, products: d.rows * d.inputs * d.outputs, function, bias: d.bias == 1 }
    }

    /// Regions that each map of a forward call reads: x, w, b if `bias`.
    pub fn forward_reads(&self) -> usize {
        2 + usize::from(self.bias)
    }

    /// Where the regions of map `map` stand in a call for gradients.
    pub fn grad_places(&self, input_gradient: bool, map: usize) -> GradPlaces {
        let (function, bias) = (usize::from(self.function != Unary::Identity), usize::from(self.bias));
        let input = usize::from(input_gradient);
        let (read, write) = (map * (2 + function + input), map * (1 + bias + input + function));
        let if_any = |count: usize, place: usize| (count == 1).then_some(place);
        GradPlaces {
            x: read,
            dy: read + 1,
            y: if_any(function, read + 2),
            w: if_any(input, read + 2 + function),
            dw: write,
            db: if_any(bias, write + 1),
            dx: if_any(input, write + 1 + bias),
            dz: if_any(function, write + 1 + bias + input),
        }
    }
}
