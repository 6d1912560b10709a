//! One generator: an MLP from [z, one-hot(slice)] to a slice of weights.

use super::bbh::InitKind;
use crate::Result;
use crate::call::Unary;
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::elementwise::unary;
use crate::ops::linear::linear;
use crate::ops::samples::concat_one_hot;

/// Slope of the generators' LeakyReLU below 0.
const SLOPE: f32 = 0.1;

/// Share of the first layer's variance that comes from the noise; the rest comes from the one-hot condition.
const NOISE_SHARE: f32 = 0.02;

/// Sizes of a generator.
pub struct Generator<'a> {
    /// `gen.conv1.w`: prefix of its parameters.
    pub name: &'a str,
    pub hidden: &'a [usize],
    /// Slices C: conditions of the one-hot input.
    pub slices: usize,
    /// Weights of one slice.
    pub outputs: usize,
    pub init: InitKind,
}

impl Generator<'_> {
    /// z [S, I = k] -> [S = 1, N = S C, I = outputs], row s C + c being slice c of sample s, of second moment about 1
    /// under [`InitKind::HyperfanIn`].
    pub fn generate(&self, g: &mut Graph, z: TensorId) -> Result<TensorId> {
        let (samples, noise) = (g.shape(z).samples(), g.shape(z).elements() / g.shape(z).samples());
        let x = concat_one_hot(g, &format!("{}.input", self.name), z, self.slices)?;
        let mut inputs = noise + self.slices;
        let mut h = g.reshape(x, Shape::new(&[('S', 1), ('N', samples * self.slices), ('I', inputs)]))?;
        let widths: Vec<usize> = self.hidden.iter().copied().chain([self.outputs]).collect();
        for (index, &outputs) in widths.iter().enumerate() {
            let name = format!("{}.layer{}", self.name, index + 1);
            let last = index == self.hidden.len();
            let init = self.layer_init(index, noise, inputs, outputs);
            let w = g.parameter(&format!("{name}.w"), matrix(outputs, inputs), init)?;
            let bias = Shape::new(&[('S', 1), ('O', outputs)]);
            let b = g.parameter(&format!("{name}.b"), bias, Init::Constant(0.0))?;
            h = linear(g, &name, h, w, Some(b))?;
            if !last {
                h = unary(g, &format!("{name}.leaky_relu"), h, Unary::LeakyRelu(SLOPE))?;
            }
            inputs = outputs;
        }
        Ok(h)
    }

    /// Glorot & Bengio 2010, or fan-in variances that keep the second moment of every layer near 1: for the first layer
    /// E z^2 = 1 for each of k inputs and exactly one active one-hot input; for a layer after LeakyReLU
    /// E h^2 = (1 + slope^2) / 2 (He et al. 2015); cf. Chang, Flokas & Lipson 2020, hyperfan-in.
    fn layer_init(&self, index: usize, noise: usize, inputs: usize, outputs: usize) -> Init {
        match self.init {
            InitKind::Glorot => Init::Uniform((6.0 / (inputs + outputs) as f32).sqrt()),
            InitKind::HyperfanIn if index == 0 => Init::NormalColumns {
                split: noise,
                first: (NOISE_SHARE / noise as f32).sqrt(),
                rest: (1.0 - NOISE_SHARE).sqrt(),
            },
            InitKind::HyperfanIn => Init::Normal((2.0 / ((1.0 + SLOPE * SLOPE) * inputs as f32)).sqrt()),
        }
    }
}

fn matrix(outputs: usize, inputs: usize) -> Shape {
    Shape::new(&[('S', 1), ('O', outputs), ('I', inputs)])
}

/// Slices C and weights L of each for a generator of `total` weights: C L >= total, with C near sqrt(total) / 5 and a
/// divisor of `total` where there is one (130 x 3,316 for the paper's LeNet).
pub fn shared_slices(total: usize) -> (usize, usize) {
    let root = (total as f64).sqrt();
    let wanted = ((root / 5.0).round() as usize).max(1);
    let range = (root / 6.0).ceil().max(1.0) as usize..=(root / 2.5).ceil().max(1.0) as usize;
    let divisor = range.filter(|slices| total.is_multiple_of(*slices)).min_by_key(|slices| slices.abs_diff(wanted));
    let slices = divisor.unwrap_or(wanted);
    (slices, total.div_ceil(slices))
}

#[cfg(test)]
mod tests {
    use super::shared_slices;

    #[test]
    fn shared_slices_of_the_paper() {
        assert_eq!(shared_slices(431_080), (130, 3316));
        assert_eq!(shared_slices(462_693), (231, 2003));
    }

    #[test]
    fn shared_slices_cover_any_total() {
        for total in 1..3000 {
            let (slices, outputs) = shared_slices(total);
            assert!(slices * outputs >= total && (slices - 1) * outputs < total, "{total}: {slices} x {outputs}");
        }
    }
}
