//! The graphs that lead to a kernel's call: one per op family.

use crate::call::{Dtype, Unary, scalar};
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::augment::{Crop, augment};
use crate::ops::batch::{DeviceSet, Order, gather_batch};
use crate::ops::conv2d::Padding;
use crate::ops::dropout::dropout;
use crate::ops::norm::{NormKind, norm};
use crate::ops::shortcut::shortcut;
use crate::ops::subset::subset;
use crate::ops::{
    bias, capped_variances as capped, conv2d, coupling as couplings, elementwise, gaussian, linear,
    local_reparameterization as local, log_density as density, noise, pairwise, per_weight_kl, pool2d, samples, scaled,
    softmax,
};
use crate::{Error, Result};

/// Images of the data set that batches are gathered from.
const IMAGES: usize = 60_000;

/// Name of the weights of a batch's rows.
pub const ROW_WEIGHTS: &str = "row weights";

/// Sizes by letter.
pub struct Sizes<'a>(pub &'a [(char, usize)]);

impl Sizes<'_> {
    /// The size of a letter of the kernel; 1 for one that it has not.
    fn of(&self, letter: char) -> usize {
        self.0.iter().find(|size| size.0 == letter).map_or(1, |size| size.1)
    }

    /// Axes with the sizes of their own letters.
    fn axes(&self, letters: &str) -> Vec<(char, usize)> {
        letters.chars().map(|letter| (letter, self.of(letter))).collect()
    }
}

/// What a graph leads to, and the tensors to differentiate it by.
pub struct Built {
    pub output: TensorId,
    pub arguments: Vec<TensorId>,
}

/// A trained tensor uniform on [-1, 1].
fn argument(g: &mut Graph, name: &str, axes: &[(char, usize)]) -> Result<TensorId> {
    let shape = Shape::new(axes);
    if u32::try_from(shape.elements()).is_err() {
        return Err(Error::input(format!(
            "shape: {name} {shape} has more than 4294967295 elements; give smaller sizes"
        )));
    }
    g.parameter(name, shape, Init::Uniform(1.0))
}

/// A function of one tensor x with these axes.
fn of_one(
    g: &mut Graph,
    axes: &[(char, usize)],
    f: impl FnOnce(&mut Graph, TensorId) -> Result<TensorId>,
) -> Result<Built> {
    let x = argument(g, "x", axes)?;
    Ok(Built { output: f(g, x)?, arguments: vec![x] })
}

/// A function of two vectors [D].
fn of_two(
    g: &mut Graph,
    sizes: &Sizes,
    f: impl FnOnce(&mut Graph, TensorId, TensorId) -> Result<TensorId>,
) -> Result<Built> {
    let (a, b) = (argument(g, "a", &sizes.axes("D"))?, argument(g, "b", &sizes.axes("D"))?);
    Ok(Built { output: f(g, a, b)?, arguments: vec![a, b] })
}

/// x [S, N, I], w [S, O, I], b [S, O]
pub fn linear(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let (x, w) = (argument(g, "x", &sizes.axes("SNI"))?, argument(g, "w", &sizes.axes("SOI"))?);
    let b = argument(g, "b", &sizes.axes("SO"))?;
    Ok(Built { output: linear::linear(g, "y", x, w, Some(b))?, arguments: vec![x, w, b] })
}

/// x [S, N, C, H, W], w [S, O, C, K, K], b [S, O]
pub fn conv2d(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let (x, w) = (argument(g, "x", &sizes.axes("SNCHW"))?, argument(g, "w", &sizes.axes("SOCKK"))?);
    let b = argument(g, "b", &sizes.axes("SO"))?;
    let output = conv2d::conv2d(g, "y", (x, w, Some(b)), 1, Padding::Valid)?;
    Ok(Built { output, arguments: vec![x, w, b] })
}

/// The same with ReLU and a 2x2 max pool.
pub fn conv2d_pool(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let Built { output, arguments } = conv2d(g, sizes)?;
    let open = elementwise::relu(g, "relu", output)?;
    Ok(Built { output: pool2d::max_pool2d(g, "pool", open, 2, 2)?, arguments })
}

/// x [S, N, C = O, H, W], b [S, O]
pub fn bias(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let axes =
        [('S', sizes.of('S')), ('N', sizes.of('N')), ('C', sizes.of('O')), ('H', sizes.of('H')), ('W', sizes.of('W'))];
    let (x, b) = (argument(g, "x", &axes)?, argument(g, "b", &sizes.axes("SO"))?);
    Ok(Built { output: bias::bias(g, "y", x, b)?, arguments: vec![x, b] })
}

/// ReLU of x [D].
pub fn unary(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("D"), |g, x| elementwise::unary(g, "y", x, Unary::Relu))
}

pub fn add(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_two(g, sizes, |g, a, b| elementwise::add(g, "y", a, b, 0.5))
}

pub fn multiply(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_two(g, sizes, |g, a, b| elementwise::multiply(g, "y", a, b))
}

pub fn scale(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("D"), |g, x| elementwise::scale(g, "y", x, 0.5))
}

pub fn scale_by_scalar(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("D"), |g, x| elementwise::scale_by_step_scalar(g, "y", x, scalar::ANNEAL, 0.5))
}

pub fn sum(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("D"), |g, x| elementwise::sum(g, "y", x))
}

pub fn half_squared_norm(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("D"), |g, x| elementwise::half_squared_norm(g, "y", &[x]))
}

/// Windows of K x K, K apart.
pub fn max_pool2d(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("SNCHW"), |g, x| pool2d::max_pool2d(g, "y", x, sizes.of('K'), sizes.of('K')))
}

/// Statistics of each image, gamma and beta of each sample.
pub fn norm_of(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let x = argument(g, "x", &sizes.axes("SNCHW"))?;
    let (gamma, beta) = (argument(g, "gamma", &sizes.axes("SC"))?, argument(g, "beta", &sizes.axes("SC"))?);
    Ok(Built { output: norm(g, "y", (x, gamma, beta), NormKind::Instance)?, arguments: vec![x, gamma, beta] })
}

/// C channels added to O.
pub fn shortcut_of(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let mut wide = sizes.axes("SNCHW");
    wide[2].1 = sizes.of('O');
    let (h, x) = (argument(g, "h", &wide)?, argument(g, "x", &sizes.axes("SNCHW"))?);
    Ok(Built { output: shortcut(g, "y", h, x)?, arguments: vec![h, x] })
}

pub fn avg_pool2d(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("SNCHW"), |g, x| pool2d::avg_pool2d(g, "y", x, sizes.of('K'), sizes.of('K')))
}

/// z [S, I], C conditions
pub fn concat_one_hot(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("SI"), |g, z| samples::concat_one_hot(g, "y", z, sizes.of('C')))
}

pub fn center_samples(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("SD"), |g, x| samples::center_samples(g, "y", x))
}

pub fn mean_samples(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("SD"), |g, x| samples::mean_samples(g, "y", x))
}

/// Logits [S, N, I = O classes].
fn logits(sizes: &Sizes) -> [(char, usize); 3] {
    [('S', sizes.of('S')), ('N', sizes.of('N')), ('I', sizes.of('O'))]
}

pub fn softmax(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &logits(sizes), |g, x| softmax::softmax(g, "y", x))
}

pub fn log_mean_softmax(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &logits(sizes), |g, x| softmax::log_mean_softmax(g, "y", x))
}

/// All rows of weight 1 and class 0.
pub fn softmax_xent(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &logits(sizes), |g, x| {
        let rows = Shape::new(&sizes.axes("N"));
        let labels = g.store.buffer("labels", Dtype::U32, rows.elements())?;
        let weights = g.store.buffer(ROW_WEIGHTS, Dtype::Real, rows.elements())?;
        let labels = g.persistent("labels", rows.clone(), Dtype::U32, labels);
        let weights = g.persistent(ROW_WEIGHTS, rows, Dtype::Real, weights);
        softmax::softmax_xent(g, "loss", x, labels, weights).map(|loss| loss.0)
    })
}

pub fn normal(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let output = noise::normal(g, "y", Shape::new(&sizes.axes("D")), 1.0)?;
    Ok(Built { output, arguments: Vec::new() })
}

pub fn uniform(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let output = noise::uniform(g, "y", Shape::new(&sizes.axes("D")), 0.0, 1.0)?;
    Ok(Built { output, arguments: Vec::new() })
}

/// w [S, D]
pub fn nearest_neighbour_kl(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("SD"), |g, w| pairwise::nearest_neighbour_kl(g, "kl", &[w], 1.0))
}

pub fn per_weight_kl(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("SD"), |g, w| {
        let parts = per_weight_kl::per_weight_kl(g, "kl", &[w], 1.0)?;
        parts.first().copied().ok_or_else(|| Error::run("per_weight_kl: no part for one tensor"))
    })
}

/// S networks of D weights.
pub fn gaussian_samples(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let part = gaussian_of(g, sizes)?;
    let output = gaussian::gaussian_samples(g, "y", &[part], (sizes.of('S'), false))?;
    let output = output.first().copied().ok_or_else(|| Error::run("gaussian_samples: no sample of one tensor"))?;
    Ok(Built { output, arguments: vec![part.mean, part.log_variance] })
}

pub fn gaussian_kl(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let part = gaussian_of(g, sizes)?;
    let output = gaussian::gaussian_kl(g, "kl", &[part], 1.0)?;
    Ok(Built { output, arguments: vec![part.mean, part.log_variance] })
}

pub fn dropout_of(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("D"), |g, x| dropout(g, "y", x, 0.5))
}

/// N of D weights.
pub fn subset_of(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("SD"), |g, x| subset(g, "y", &[x], sizes.of('N')))
}

/// Parameters of D weights.
fn gaussian_of(g: &mut Graph, sizes: &Sizes) -> Result<gaussian::Gaussian> {
    let axes = [('S', 1), ('D', sizes.of('D'))];
    Ok(gaussian::Gaussian { mean: argument(g, "mean", &axes)?, log_variance: argument(g, "log_variance", &axes)? })
}

/// A dense layer [O, I], scaled by S samples of multipliers of its inputs.
pub fn scaled_means(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let mean = argument(g, "mean", &[('S', 1), ('O', sizes.of('O')), ('I', sizes.of('I'))])?;
    let multipliers = argument(g, "z", &sizes.axes("SI"))?;
    let output = only(scaled::scaled_means(g, "y", &[scaled::Scaled { mean, multipliers }])?)?;
    Ok(Built { output, arguments: vec![mean, multipliers] })
}

pub fn capped_variances(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("D"), |g, v| {
        let pairs = capped::capped_variances(g, "y", &[v], 1.2)?;
        only(pairs.into_iter().map(|(_, variance)| variance).collect())
    })
}

pub fn local_reparameterization(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let (mean, variance) = (argument(g, "mean", &sizes.axes("D"))?, argument(g, "variance", &sizes.axes("D"))?);
    let output = local::local_reparameterization(g, "y", mean, variance)?;
    Ok(Built { output, arguments: vec![mean, variance] })
}

pub fn log_density(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let (z, part) = (argument(g, "z", &sizes.axes("D"))?, gaussian_of(g, sizes)?);
    let output = density::log_density(g, "y", &[(z, part)])?;
    Ok(Built { output, arguments: vec![z, part.mean, part.log_variance] })
}

pub fn coupling_mask(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    of_one(g, &sizes.axes("D"), |g, z| only(couplings::coupling_mask(g, "y", &[z], &["mask".into()], 1)?))
}

pub fn coupling(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let (y, _, arguments) = coupled(g, sizes)?;
    Ok(Built { output: y, arguments })
}

pub fn coupling_log_determinant(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let (_, output, arguments) = coupled(g, sizes)?;
    Ok(Built { output, arguments })
}

/// A RealNVP step of D multipliers, its log-determinant, and its arguments.
fn coupled(g: &mut Graph, sizes: &Sizes) -> Result<(TensorId, TensorId, Vec<TensorId>)> {
    let mut vector = |name: &str| argument(g, name, &sizes.axes("D"));
    let part = couplings::Coupled { z: vector("z")?, mean: vector("mean")?, gate: vector("gate")? };
    let (y, log_determinant) = couplings::coupling(g, "y", &[part], &["mask".into()], 1)?;
    Ok((only(y)?, log_determinant, vec![part.z, part.mean, part.gate]))
}

/// The output of an op on a list of one tensor.
fn only(outputs: Vec<TensorId>) -> Result<TensorId> {
    outputs.first().copied().ok_or_else(|| Error::run("profile: an op on one tensor made none"))
}

/// A batch of N of 60,000 images [C, H, W], shuffled.
pub fn gather_batch_of(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let set = DeviceSet {
        name: "train".into(),
        images: IMAGES,
        channels: sizes.of('C'),
        height: sizes.of('H'),
        width: sizes.of('W'),
        crop: None,
    };
    let [x, ..] = gather_batch(g, &set, (1, sizes.of('N')), Order::Shuffled)?;
    Ok(Built { output: x, arguments: Vec::new() })
}

/// Random crops of K x K of N images [C, H, W].
pub fn augment_of(g: &mut Graph, sizes: &Sizes) -> Result<Built> {
    let crop = Crop { pad: 2, side: sizes.of('K') };
    let shape = [('S', 1)].into_iter().chain(sizes.axes("NCHW")).collect::<Vec<_>>();
    of_one(g, &shape, |g, x| augment(g, "augment", x, crop, true))
}
