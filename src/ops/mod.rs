//! One file per op family: `infer` (the functions that model code calls: they check shapes and add nodes), `forward` and
//! `backward` (the rules that emit calls). The two tables below are the whole list.

pub mod adversarial;
pub mod augment;
pub mod batch;
pub mod bias;
pub mod capped_variances;
pub mod conv2d;
pub mod conv2d_pool;
pub mod coupling;
pub mod dropout;
pub mod elementwise;
pub mod gaussian;
pub mod linear;
pub mod local_reparameterization;
pub mod log_density;
pub mod noise;
pub mod norm;
pub mod pairwise;
pub mod per_weight_kl;
pub mod pool2d;
pub mod samples;
pub mod scaled;
pub mod shortcut;
pub mod softmax;
pub mod subset;

use crate::call::{Dtype, Kind, MOST_PARTS, Region, Write};
use crate::graph::{Emit, Graph, Node, Op, Shape, TensorId};
use crate::{Error, Result};

/// Emits the calls that compute a node's outputs from its inputs.
pub fn forward(e: &mut Emit, node: &Node) {
    match &node.op {
        Op::Linear(d, f) => linear::forward(e, node, d, *f),
        Op::Conv2d(d, f) => conv2d::forward(e, node, d, *f),
        Op::Conv2dPool(d) => conv2d_pool::forward(e, node, d),
        Op::Bias(d) => bias::forward(e, node, d),
        Op::Unary(f) => elementwise::unary_forward(e, node, *f),
        Op::Add(beta) => elementwise::add_forward(e, node, *beta),
        Op::Multiply => elementwise::multiply_forward(e, node),
        Op::Scale(factor) => elementwise::scale_forward(e, node, *factor),
        Op::ScaleByScalar(factor) => elementwise::scale_by_scalar_forward(e, node, *factor),
        Op::Sum => elementwise::sum_forward(e, node),
        Op::HalfSquaredNorm => elementwise::half_squared_norm_forward(e, node),
        Op::MaxPool2d(d) => pool2d::max_forward(e, node, d),
        Op::AvgPool2d(d) => pool2d::avg_forward(e, node, d),
        Op::Norm(d) => norm::forward(e, node, d),
        Op::Shortcut(d) => shortcut::forward(e, node, d),
        Op::ConcatOneHot(d) => samples::concat_one_hot_forward(e, node, d),
        Op::CenterSamples(d) => samples::center_forward(e, node, d),
        Op::MeanSamples(d) => samples::mean_forward(e, node, d),
        Op::Softmax(d) => softmax::forward(e, node, d),
        Op::LogMeanSoftmax(d) => softmax::log_mean_forward(e, node, d),
        Op::SoftmaxXent(d) => softmax::xent_forward(e, node, d),
        Op::Normal(d) => noise::normal_forward(e, node, d),
        Op::Uniform(d) => noise::uniform_forward(e, node, d),
        Op::Subset(parts) => subset::forward(e, node, parts),
        Op::Dropout(d) => dropout::forward(e, node, d),
        Op::FastGradientSign(step) => adversarial::forward(e, node, *step),
        Op::NearestNeighbourKl(parts) => pairwise::forward(e, node, parts),
        Op::PerWeightKl(d) => per_weight_kl::forward(e, node, d),
        Op::GaussianSamples(group) => gaussian::samples_forward(e, node, group),
        Op::GaussianKl { prior_scale } => gaussian::kl_forward(e, node, *prior_scale),
        Op::ScaledSamples(group) => scaled::forward(e, node, group),
        Op::CappedVariances { bound } => capped_variances::forward(e, node, *bound),
        Op::LocalReparameterization(stream) => local_reparameterization::forward(e, node, *stream),
        Op::LogDensity => log_density::forward(e, node),
        Op::CouplingMask(group) => coupling::mask_forward(e, node, group),
        Op::Coupling(group) => coupling::forward(e, node, group),
        Op::GatherBatch(d) => batch::gather_forward(e, node, d),
        Op::Augment(d) => augment::forward(e, node, d),
        Op::AdvanceStep(schedule) => batch::advance_step_forward(e, schedule),
        Op::Metrics => batch::metrics_forward(e, node),
        Op::Keep => elementwise::scale_forward(e, node, 1.0),
    }
}

/// Emits the calls that compute the gradients of a node's inputs from those of its outputs.
///
/// # Errors
/// When a gradient is asked for through an op that has none.
pub fn backward(e: &mut Emit, node: &Node) -> Result<()> {
    match &node.op {
        Op::Linear(d, f) => linear::backward(e, node, d, *f)?,
        Op::Conv2d(d, f) => conv2d::backward(e, node, d, *f),
        Op::Conv2dPool(d) => conv2d_pool::backward(e, node, d),
        Op::Bias(d) => bias::backward(e, node, d),
        Op::Unary(crate::call::Unary::Sign) => return not_differentiable(node),
        Op::Unary(f) => elementwise::unary_backward(e, node, *f),
        Op::Add(beta) => elementwise::add_backward(e, node, *beta),
        Op::Multiply => elementwise::multiply_backward(e, node),
        Op::Scale(factor) => elementwise::scale_backward(e, node, *factor),
        Op::ScaleByScalar(factor) => elementwise::scale_by_scalar_backward(e, node, *factor)?,
        Op::Sum => elementwise::sum_backward(e, node),
        Op::HalfSquaredNorm => elementwise::half_squared_norm_backward(e, node),
        Op::MaxPool2d(d) => pool2d::max_backward(e, node, d),
        Op::AvgPool2d(d) => pool2d::avg_backward(e, node, d),
        Op::Norm(d) => norm::backward(e, node, d),
        Op::Shortcut(d) => shortcut::backward(e, node, d),
        Op::ConcatOneHot(d) => samples::concat_one_hot_backward(e, node, d),
        Op::CenterSamples(d) => samples::center_backward(e, node, d),
        Op::MeanSamples(d) => samples::mean_backward(e, node, d),
        Op::Softmax(d) => softmax::backward(e, node, d),
        Op::LogMeanSoftmax(d) => softmax::log_mean_backward(e, node, d),
        Op::SoftmaxXent(d) => softmax::xent_backward(e, node, d),
        Op::NearestNeighbourKl(parts) => pairwise::backward(e, node, parts),
        Op::PerWeightKl(d) => per_weight_kl::backward(e, node, d),
        Op::Subset(parts) => subset::backward(e, node, parts),
        Op::Dropout(d) => dropout::backward(e, node, d),
        Op::GaussianSamples(group) => gaussian::samples_backward(e, node, group),
        Op::GaussianKl { prior_scale } => gaussian::kl_backward(e, node, *prior_scale),
        Op::ScaledSamples(group) => scaled::backward(e, node, group),
        Op::CappedVariances { bound } => capped_variances::backward(e, node, *bound),
        Op::LocalReparameterization(stream) => local_reparameterization::backward(e, node, *stream),
        Op::LogDensity => log_density::backward(e, node),
        Op::CouplingMask(group) => coupling::mask_backward(e, node, group),
        Op::Coupling(group) => coupling::backward(e, node, group),
        Op::Normal(_)
        | Op::FastGradientSign(_)
        | Op::Uniform(_)
        | Op::GatherBatch(_)
        | Op::Augment(_)
        | Op::AdvanceStep(_)
        | Op::Metrics
        | Op::Keep => {
            return not_differentiable(node);
        }
    }
    Ok(())
}

fn not_differentiable(node: &Node) -> Result<()> {
    Err(Error::input(format!(
        "{}: {} is not differentiable; put stop_gradient before it if a constant is meant",
        node.name,
        node.op.name()
    )))
}

/// The error of an op whose input has another shape than it can take.
fn mismatch(g: &Graph, op: &str, name: &str, argument: &str, found: TensorId, expected: &str) -> Error {
    Error::input(format!("{op} {name}: expected {argument} {expected}, found {} in {}", g.shape(found), g.name(found)))
}

/// The complete gradient of an output, or zeros where nothing that depends on it has one.
fn gradient_or_zero(e: &mut Emit, output: TensorId) -> Region {
    if let Some(gradient) = e.gradient(output) {
        return gradient;
    }
    let len = e.graph.shape(output).elements();
    let zeros = e.scratch("unused.zero", Dtype::Real, len);
    e.call(Kind::Fill { elements: len as u32, value: 0.0 }, &[], &[(zeros, Write::Set)]);
    zeros
}

/// Checks the number of tensors that one call is to handle.
fn expect_parts(op: &str, name: &str, parts: usize) -> Result<()> {
    if parts == 0 || parts > MOST_PARTS {
        return Err(Error::input(format!(
            "{op} {name}: expected 1 to {MOST_PARTS} tensors, found {parts}; split the list"
        )));
    }
    Ok(())
}

/// Outputs of a node, one for each part, in the form that [`Graph::node`] takes.
fn outputs(parts: &[(String, Shape)]) -> Vec<(&str, Shape, Dtype)> {
    parts.iter().map(|(suffix, shape)| (suffix.as_str(), shape.clone(), Dtype::Real)).collect()
}

/// Checks that a tensor has the axes `letters` (any sizes) and returns the sizes.
fn axes<const R: usize>(
    g: &Graph,
    op: &str,
    name: &str,
    argument: &str,
    x: TensorId,
    letters: &str,
) -> Result<[usize; R]> {
    let shape = g.shape(x);
    if shape.letters() != letters {
        return Err(mismatch(g, op, name, argument, x, &format!("with axes {letters}")));
    }
    shape.sizes().try_into().map_err(|_| mismatch(g, op, name, argument, x, &format!("with axes {letters}")))
}
