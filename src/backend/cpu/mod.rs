//! The native CPU backend: one file per op family, the same names as `ops`. Kernels are generic over f32 and f64, run in
//! parallel over tiles whose number does not depend on the number of threads, and reduce in a fixed order: the same bits
//! for any thread count.

mod activation;
mod augment;
mod batch;
mod bias;
mod capped_variances;
pub mod ceilings;
mod columns;
mod conv2d;
mod conv2d_grad;
mod conv2d_pool;
mod conv_parallel;
mod coupling;
mod device;
mod dropout;
mod elementwise;
mod exponential;
mod gaussian;
mod gemm;
mod lanes;
mod linear;
mod linear_group;
mod local_reparameterization;
mod log_density;
mod matmul;
mod memory;
mod moments;
mod noise;
mod norm;
mod norm_lanes;
mod optim;
mod pairwise;
mod patch_weights;
mod patches;
mod per_weight_kl;
mod pool2d;
mod rank_update;
mod real;
mod samples;
mod scalars;
mod scaled;
mod shortcut;
mod skinny;
mod softmax;
mod subset;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod testing;
mod tiles;
mod update_rule;

pub use device::Cpu;
pub use memory::{ALIGNMENT, Arena, Io, Memory, Strided, StridedMut};
pub use real::Real;

use crate::call::{Call, Kind};

/// Runs one call.
pub fn run_call<T: Real>(memory: &Memory, call: &Call) {
    let io = &Io::<T>::new(memory, call);
    match &call.kind {
        Kind::LinearForward(d, f) => linear::forward(io, d, *f),
        Kind::LinearGradInput(d) => linear::grad_input(io, d),
        Kind::LinearGradWeight(d) => linear::grad_weight(io, d),
        Kind::LinearRankUpdate { dims, optimizer, input_gradient } => {
            rank_update::rank_update(io, dims, *optimizer, *input_gradient)
        }
        Kind::LinearGroupForward(group) => linear_group::forward(io, group),
        Kind::LinearGroupGrad { group, input_gradient } => linear_group::grad(io, group, *input_gradient),
        Kind::Conv2dForward(d, f) => conv2d::forward(io, d, *f),
        Kind::Conv2dGradInput(d) => conv2d_grad::grad_input(io, d),
        Kind::Conv2dGradWeight(d) => conv2d_grad::grad_weight(io, d),
        Kind::Conv2dPoolForward(d) => conv2d_pool::forward(io, d),
        Kind::Conv2dPoolGradInput(d) => conv2d_pool::grad_input(io, d),
        Kind::Conv2dPoolGradWeight(d) => conv2d_pool::grad_weight(io, d),
        Kind::BiasForward(d) => bias::forward(io, d),
        Kind::BiasGrad(d) => bias::grad(io, d),
        Kind::UnaryForward { function, .. } => elementwise::unary_forward(io, *function),
        Kind::UnaryGrad { function, .. } => elementwise::unary_grad(io, *function),
        Kind::AddForward { beta, .. } => elementwise::add_forward(io, *beta),
        Kind::Multiply { .. } => elementwise::multiply(io),
        Kind::Scale { factor, .. } => elementwise::scale(io, *factor),
        Kind::ScaleGroup(group) => elementwise::scale_group(io, group),
        Kind::ScaleByScalar { factor, .. } => elementwise::scale_by_scalar(io, *factor),
        Kind::ScalarProgram(program) => scalars::program(io, program),
        Kind::Fill { value, .. } => elementwise::fill(io, *value),
        Kind::Sum { .. } => elementwise::sum(io),
        Kind::SumGrad { .. } => elementwise::sum_grad(io),
        Kind::HalfSquaredNorm { .. } => elementwise::half_squared_norm(io),
        Kind::MaxPool2dForward(d) => pool2d::max_forward(io, d),
        Kind::MaxPool2dGrad(d) => pool2d::max_grad(io, d),
        Kind::AvgPool2dForward(d) => pool2d::avg_forward(io, d),
        Kind::AvgPool2dGrad(d) => pool2d::avg_grad(io, d),
        Kind::NormForward(d) => norm::forward(io, d),
        Kind::NormGrad(d) => norm::grad(io, d),
        Kind::ShortcutForward(d) => shortcut::forward(io, d),
        Kind::ShortcutGrad(d) => shortcut::grad(io, d),
        Kind::ConcatOneHot(d) => samples::concat_one_hot(io, d),
        Kind::ConcatOneHotGrad(d) => samples::concat_one_hot_grad(io, d),
        Kind::CenterSamples(d) => samples::center(io, d),
        Kind::MeanSamples(d) => samples::mean(io, d),
        Kind::MeanSamplesGrad(d) => samples::mean_grad(io, d),
        Kind::Softmax(d) => softmax::forward(io, d),
        Kind::SoftmaxGrad(d) => softmax::grad(io, d),
        Kind::LogMeanSoftmax(d) => softmax::log_mean_forward(io, d),
        Kind::LogMeanSoftmaxGrad(d) => softmax::log_mean_grad(io, d),
        Kind::SoftmaxXentForward(d) => softmax::xent_forward(io, d),
        Kind::SoftmaxXentGrad(d) => softmax::xent_grad(io, d),
        Kind::Normal(d) => noise::normal(io, d),
        Kind::Uniform(d) => noise::uniform(io, d),
        Kind::PairwiseDistances(d) => pairwise::distances(io, d),
        Kind::NearestNeighbourKl(d) => pairwise::nearest_neighbour_kl(io, d),
        Kind::PairwiseDistancesGrad(d) => pairwise::distances_grad(io, d),
        Kind::PerWeightKl(d) => per_weight_kl::forward(io, d),
        Kind::PerWeightKlGrad(d) => per_weight_kl::grad(io, d),
        Kind::GaussianSamples(group) => gaussian::samples(io, group),
        Kind::GaussianSamplesGrad(group) => gaussian::samples_grad(io, group),
        Kind::GaussianKl { prior_scale, .. } => gaussian::kl(io, *prior_scale),
        Kind::GaussianKlGrad { prior_scale, .. } => gaussian::kl_grad(io, *prior_scale),
        Kind::ScaledSamples(group) => scaled::samples(io, group),
        Kind::ScaledSamplesGrad(group) => scaled::samples_grad(io, group),
        Kind::CappedVariances { bound, .. } => capped_variances::forward(io, *bound),
        Kind::CappedVariancesGrad { bound, of_log, .. } => capped_variances::grad(io, *bound, *of_log),
        Kind::LocalReparameterization { stream, .. } => local_reparameterization::forward(io, *stream),
        Kind::LocalReparameterizationGrad { stream, .. } => local_reparameterization::grad(io, *stream),
        Kind::LogDensity { .. } => log_density::forward(io),
        Kind::LogDensityGrad { .. } => log_density::grad(io),
        Kind::CouplingMask(group) => coupling::mask(io, group),
        Kind::Coupling(group) => coupling::forward(io, group),
        Kind::CouplingLogDeterminant(group) => coupling::log_determinant(io, group),
        Kind::CouplingGrad(group) => coupling::grad(io, group),
        Kind::OptimizerStep { optimizer, .. } => optim::step(io, *optimizer),
        Kind::ClipByValue { bound, .. } => optim::clip_by_value(io, *bound),
        Kind::GatherBatch(d) => batch::gather(io, d),
        Kind::Subset(d) => subset::forward(io, d),
        Kind::SubsetGrad(d) => subset::grad(io, d),
        Kind::Dropout(d) => dropout::dropout(io, d),
        Kind::Augment(d) => augment::augment(io, d),
        Kind::AdvanceStep(schedule) => batch::advance_step(io, schedule),
        Kind::AccumulateMetrics { .. } => batch::accumulate_metrics(io),
    }
}
