//! The auxiliary distribution r(z | W) of Louizos & Welling 2017, which bounds the entropy of the marginal q(W): a
//! Gaussian of flowed multipliers, whose parameters depend on the weights.

use super::flow::{Flow, Layer};
use super::total;
use crate::Result;
use crate::call::{MOST_PARTS, Unary};
use crate::graph::{Graph, Init, Shape, TensorId};
use crate::ops::elementwise::{add, scale, sum, unary};
use crate::ops::gaussian::Gaussian;
use crate::ops::linear::linear;
use crate::ops::local_reparameterization::local_reparameterization;
use crate::ops::log_density::log_density;
use crate::ops::samples::mean_samples;
use crate::ops::scaled::{Scaled, scaled_means};

/// A kernel as the auxiliary distribution sees it: independent Gaussians.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// [S = 1, ..], scaled by the multipliers.
    pub mean: TensorId,
    /// As the mean.
    pub variance: TensorId,
}

/// log r(z | W) of all layers together, one element: log N(z'; b1 a, e^(b2 a)) + log |dz' / dz|, z' being the flow's result for
/// z and a the mean over the columns j of W of tanh(c^T W_j), with W drawn.
///
/// # Errors
/// When shapes do not fit.
pub fn log_auxiliary(g: &mut Graph, flow: &Flow, kernels: &[Kernel], z: Vec<TensorId>) -> Result<Option<TensorId>> {
    let (flowed, log_determinants) = flow.apply(g, z)?;
    let mut parts = Vec::with_capacity(kernels.len());
    for ((layer, &kernel), z) in flow.layers.iter().zip(kernels).zip(flowed) {
        parts.push((z, conditional(g, layer, kernel)?));
    }
    let mut terms = log_determinants;
    for (index, parts) in parts.chunks(MOST_PARTS).enumerate() {
        terms.push(log_density(g, &format!("mnf.aux.log_density{index}"), parts)?);
    }
    total(g, "mnf.aux.log_r", &terms)
}

/// Mean b1 a and log variance b2 a, [S = 1, N = 1, I = D] each.
fn conditional(g: &mut Graph, layer: &Layer, kernel: Kernel) -> Result<Gaussian> {
    let name = format!("mnf.{}.aux", layer.name);
    let projected = match g.shape(kernel.mean).letters().as_str() {
        "SOI" => projected_rows(g, &name, layer.multipliers, kernel)?,
        _ => projected_filters(g, &name, layer.multipliers, kernel)?,
    };
    let projected = unary(g, &format!("{name}.tanh"), projected, Unary::Tanh)?;
    let columns = g.shape(projected).elements() as f32;
    let activation = sum(g, &format!("{name}.sum"), projected)?;
    let activation = scale(g, &format!("{name}.activation"), activation, 1.0 / columns)?;
    let activation = g.reshape(activation, Shape::new(&[('S', 1), ('N', 1), ('I', 1)]))?;
    let mut of_activation = |parameter: &str| {
        let shape = Shape::new(&[('S', 1), ('O', layer.multipliers), ('I', 1)]);
        let b = g.parameter(&format!("{name}.{parameter}.w"), shape, Init::Normal(1.0))?;
        linear(g, &format!("{name}.{parameter}"), activation, b, None)
    };
    Ok(Gaussian { mean: of_activation("mean")?, log_variance: of_activation("log_variance")? })
}

/// c^T W_j for the O units j of a dense layer, drawn, [S = 1, N = 1, I = O]: by local reparameterisation.
fn projected_rows(g: &mut Graph, name: &str, inputs: usize, kernel: Kernel) -> Result<TensorId> {
    let c = g.parameter(
        &format!("{name}.projection"),
        Shape::new(&[('S', 1), ('N', 1), ('I', inputs)]),
        Init::Normal(1.0),
    )?;
    let mean = linear(g, &format!("{name}.projected"), c, kernel.mean, None)?;
    let squared = unary(g, &format!("{name}.projection.squared"), c, Unary::Square)?;
    let variance = linear(g, &format!("{name}.projected.variance"), squared, kernel.variance, None)?;
    local_reparameterization(g, &format!("{name}.drawn"), mean, variance)
}

/// c^T W_j for the C K K places j of filters, W being [O, C K K], drawn, [S = 1, D = C K K]. The authors' code has no tanh here;
/// their paper has.
fn projected_filters(g: &mut Graph, name: &str, filters: usize, kernel: Kernel) -> Result<TensorId> {
    let shape = Shape::new(&[('S', 1), ('I', filters)]);
    let c = g.parameter(&format!("{name}.projection"), shape, Init::Normal(1.0))?;
    let squared = unary(g, &format!("{name}.projection.squared"), c, Unary::Square)?;
    let parts = [Scaled { mean: kernel.mean, multipliers: c }, Scaled { mean: kernel.variance, multipliers: squared }];
    let products = scaled_means(g, &format!("{name}.products"), &parts)?;
    let mut sums = Vec::with_capacity(2);
    for (product, label) in products.into_iter().zip(["projected", "projected.variance"]) {
        let places = g.shape(product).elements() / filters;
        let rows = g.reshape(product, Shape::new(&[('S', filters), ('D', places)]))?;
        let mean = mean_samples(g, &format!("{name}.{label}.mean"), rows)?;
        sums.push(scale(g, &format!("{name}.{label}"), mean, filters as f32)?);
    }
    local_reparameterization(g, &format!("{name}.drawn"), sums[0], sums[1])
}

/// `first` - `second`, or `first` alone.
pub fn less(g: &mut Graph, name: &str, first: TensorId, second: Option<TensorId>) -> Result<TensorId> {
    second.map_or(Ok(first), |second| add(g, name, first, second, -1.0))
}
