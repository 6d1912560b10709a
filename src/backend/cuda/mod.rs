//! The CUDA backend: one file per op family, the same names as `ops`. A family's file turns a call into launches (kernel, grid,
//! arguments); a [`Launcher`] carries them out. The kernels stand in kernels/.

mod augment;
mod batch;
mod bias;
mod capped_variances;
pub mod ceilings;
mod conv2d;
mod conv2d_pool;
mod conv2d_tensor;
mod conv2d_tensor_weight;
mod coupling;
mod device;
pub mod driver;
mod dropout;
mod elementwise;
pub mod embedded;
mod gaussian;
mod launch;
mod linear;
mod linear_group;
mod local_reparameterization;
mod log_density;
mod lowering;
mod noise;
mod norm;
mod optim;
mod pairwise;
mod per_weight_kl;
mod pool2d;
mod rank_update;
mod samples;
mod scalars;
mod scaled;
mod shortcut;
#[cfg(feature = "sim")]
pub mod sim;
mod softmax;
mod subset;

pub use device::Cuda;
pub use launch::{Address, Arguments, Graph, Launch, Launcher};
pub use lowering::{Addresses, Lowering, Math};

use crate::call::Kind;

/// Appends the launches of a call.
pub fn lower(l: &mut Lowering) {
    match &l.call.kind {
        Kind::LinearForward(d, function) => linear::forward(l, d, *function),
        Kind::LinearGradInput(d) => linear::grad_input(l, d),
        Kind::LinearGradWeight(d) => linear::grad_weight(l, d),
        Kind::LinearRankUpdate { dims, optimizer, input_gradient } => {
            rank_update::rank_update(l, dims, *optimizer, *input_gradient)
        }
        Kind::LinearGroupForward(group) => linear_group::forward(l, group),
        Kind::LinearGroupGrad { group, input_gradient } => linear_group::grad(l, group, *input_gradient),
        Kind::Conv2dForward(d, function) => conv2d::forward(l, d, *function),
        Kind::Conv2dGradInput(d) => conv2d::grad_input(l, d),
        Kind::Conv2dGradWeight(d) => conv2d::grad_weight(l, d),
        Kind::Conv2dPoolForward(d) => conv2d_pool::forward(l, d),
        Kind::Conv2dPoolGradInput(d) => conv2d_pool::grad_input(l, d),
        Kind::Conv2dPoolGradWeight(d) => conv2d_pool::grad_weight(l, d),
        Kind::BiasForward(d) => bias::forward(l, d),
        Kind::BiasGrad(d) => bias::grad(l, d),
        Kind::UnaryForward { elements, function } => elementwise::unary_forward(l, *elements, *function),
        Kind::UnaryGrad { elements, function } => elementwise::unary_grad(l, *elements, *function),
        Kind::AddForward { elements, beta } => elementwise::add_forward(l, *elements, *beta),
        Kind::Multiply { elements } => elementwise::multiply(l, *elements),
        Kind::Scale { elements, factor } => elementwise::scale(l, *elements, *factor),
        Kind::ScaleGroup(group) => elementwise::scale_group(l, group),
        Kind::ScaleByScalar { factor, .. } => elementwise::scale_by_scalar(l, *factor),
        Kind::ScalarProgram(program) => scalars::program(l, program),
        Kind::Fill { elements, value } => elementwise::fill(l, *elements, *value),
        Kind::Sum { elements } => elementwise::sum(l, *elements),
        Kind::SumGrad { elements } => elementwise::sum_grad(l, *elements),
        Kind::HalfSquaredNorm { .. } => elementwise::half_squared_norm(l),
        Kind::MaxPool2dForward(d) => pool2d::max_forward(l, d),
        Kind::MaxPool2dGrad(d) => pool2d::max_grad(l, d),
        Kind::AvgPool2dForward(d) => pool2d::avg_forward(l, d),
        Kind::AvgPool2dGrad(d) => pool2d::avg_grad(l, d),
        Kind::NormForward(d) => norm::forward(l, d),
        Kind::NormGrad(d) => norm::grad(l, d),
        Kind::ShortcutForward(d) => shortcut::forward(l, d),
        Kind::ShortcutGrad(d) => shortcut::grad(l, d),
        Kind::ConcatOneHot(d) => samples::concat_one_hot(l, d),
        Kind::ConcatOneHotGrad(d) => samples::concat_one_hot_grad(l, d),
        Kind::CenterSamples(d) => samples::center(l, d),
        Kind::MeanSamples(d) => samples::mean(l, d),
        Kind::MeanSamplesGrad(d) => samples::mean_grad(l, d),
        Kind::Softmax(d) => softmax::forward(l, d),
        Kind::SoftmaxGrad(d) => softmax::grad(l, d),
        Kind::LogMeanSoftmax(d) => softmax::log_mean_forward(l, d),
        Kind::LogMeanSoftmaxGrad(d) => softmax::log_mean_grad(l, d),
        Kind::SoftmaxXentForward(d) => softmax::xent_forward(l, d),
        Kind::SoftmaxXentGrad(d) => softmax::xent_grad(l, d),
        Kind::Normal(d) => noise::normal(l, d),
        Kind::Uniform(d) => noise::uniform(l, d),
        Kind::PairwiseDistances(d) => pairwise::distances(l, d),
        Kind::NearestNeighbourKl(d) => pairwise::nearest_neighbour_kl(l, d),
        Kind::PairwiseDistancesGrad(d) => pairwise::distances_grad(l, d),
        Kind::PerWeightKl(d) => per_weight_kl::forward(l, d),
        Kind::PerWeightKlGrad(d) => per_weight_kl::grad(l, d),
        Kind::GaussianSamples(group) => gaussian::samples(l, group),
        Kind::GaussianSamplesGrad(group) => gaussian::samples_grad(l, group),
        Kind::GaussianKl { prior_scale, .. } => gaussian::kl(l, *prior_scale),
        Kind::GaussianKlGrad { prior_scale, .. } => gaussian::kl_grad(l, *prior_scale),
        Kind::ScaledSamples(group) => scaled::samples(l, group),
        Kind::ScaledSamplesGrad(group) => scaled::samples_grad(l, group),
        Kind::CappedVariances { bound, .. } => capped_variances::forward(l, *bound),
        Kind::CappedVariancesGrad { bound, of_log, .. } => capped_variances::grad(l, *bound, *of_log),
        Kind::LocalReparameterization { elements, stream } => local_reparameterization::forward(l, *elements, *stream),
        Kind::LocalReparameterizationGrad { elements, stream } => local_reparameterization::grad(l, *elements, *stream),
        Kind::LogDensity { .. } => log_density::forward(l),
        Kind::LogDensityGrad { .. } => log_density::grad(l),
        Kind::CouplingMask(group) => coupling::mask(l, group),
        Kind::Coupling(group) => coupling::forward(l, group),
        Kind::CouplingLogDeterminant(group) => coupling::log_determinant(l, group),
        Kind::CouplingGrad(group) => coupling::grad(l, group),
        Kind::OptimizerStep { elements, optimizer } => optim::step(l, *elements, *optimizer),
        Kind::ClipByValue { elements, bound } => optim::clip_by_value(l, *elements, *bound),
        Kind::GatherBatch(d) => batch::gather(l, d),
        Kind::Subset(d) => subset::forward(l, d),
        Kind::SubsetGrad(d) => subset::grad(l, d),
        Kind::Dropout(d) => dropout::dropout(l, d),
        Kind::Augment(d) => augment::augment(l, d),
        Kind::AdvanceStep(schedule) => batch::advance_step(l, schedule),
        Kind::AccumulateMetrics { rows } => batch::accumulate_metrics(l, *rows),
    }
}
