//! Which branch a plan took at every kink: signs at ReLUs, winners of max pools, nearest neighbours of KL estimates.
//! Two points with the same branches lie on one smooth piece of the function, up to a crossing and a return in between.

use crate::Result;
use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::call::{Call, Dtype, Kind, PairwiseDims, Region, Unary, word};
use crate::plan::Plan;
use crate::random::Stream;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Runs a plan and returns a digest of its branches.
pub fn run(device: &mut Cpu<f64>, plan: &Plan) -> u64 {
    let mut digest = DefaultHasher::new();
    for (index, call) in plan.calls.iter().enumerate() {
        device.run_one(plan, index);
        let Some(region) = branching(call) else { continue };
        match (call.kind, device.dtype(plan, &region)) {
            (Kind::PerWeightKl(dims), _) => {
                let words = device.read::<u32>(plan, call.reads[1]);
                neighbours(&blocks(region, |block| device.read::<f64>(plan, block).to_vec()), words, dims)
                    .hash(&mut digest);
            }
            (_, Dtype::Real | Dtype::F64) => signs(device.read::<f64>(plan, region).iter().copied(), &mut digest),
            (_, Dtype::U32) => device.read::<u32>(plan, region).hash(&mut digest),
            (_, Dtype::Bf16) => device.read::<u16>(plan, region).hash(&mut digest),
            (_, Dtype::U8) => device.read::<u8>(plan, region).hash(&mut digest),
        }
    }
    digest.finish()
}

/// The same on another backend: equal to that of [`run`] when the same branches were taken.
///
/// # Errors
/// When the backend fails.
pub fn run_on(device: &mut dyn Backend, plan: &Plan) -> Result<u64> {
    let mut digest = DefaultHasher::new();
    for (index, call) in plan.calls.iter().enumerate() {
        device.run_one(plan, index)?;
        let Some(region) = branching(call) else { continue };
        match (call.kind, device.dtype(plan, &region)) {
            (Kind::PerWeightKl(dims), _) => {
                let words = device.read::<u32>(plan, call.reads[1])?;
                let mut w = Vec::new();
                for s in 0..region.count {
                    let values = device.read::<f32>(plan, block(region, s))?;
                    w.push(values.iter().map(|&value| f64::from(value)).collect());
                }
                neighbours(&w, &words, dims).hash(&mut digest);
            }
            (_, Dtype::Real | Dtype::F64) => {
                signs(device.read::<f32>(plan, region)?.iter().map(|&y| f64::from(y)), &mut digest);
            }
            (_, Dtype::U32) => device.read::<u32>(plan, region)?.hash(&mut digest),
            (_, Dtype::Bf16) => device.read::<u16>(plan, region)?.hash(&mut digest),
            (_, Dtype::U8) => device.read::<u8>(plan, region)?.hash(&mut digest),
        }
    }
    Ok(digest.finish())
}

/// The region that tells which branch a call took: an output whose sign is that of the input (so for all functions with a
/// kink), winners of pools, partners; the weights of a divergence of each weight alone.
fn branching(call: &Call) -> Option<Region> {
    match call.kind {
        Kind::UnaryForward { function, .. } | Kind::LinearForward(_, function) | Kind::Conv2dForward(_, function) => {
            has_kink(function).then_some(call.writes[0].0)
        }
        Kind::NormForward(d) => (d.relu == 1).then_some(call.writes[0].0),
        Kind::Conv2dPoolForward(_) | Kind::MaxPool2dForward(_) | Kind::NearestNeighbourKl(_) => Some(call.writes[1].0),
        Kind::PerWeightKl(_) => Some(call.reads[0]),
        _ => None,
    }
}

fn signs(values: impl Iterator<Item = f64>, digest: &mut DefaultHasher) {
    values.for_each(|y| (y > 0.0).hash(digest));
}

fn has_kink(function: Unary) -> bool {
    matches!(function, Unary::Relu | Unary::LeakyRelu(_) | Unary::Sign)
}

/// Block `s` of a strided region.
fn block(region: Region, s: usize) -> Region {
    Region::contiguous(region.buffer, region.offset + s * region.stride, region.len)
}

/// The samples w_s [weights] of a strided region.
fn blocks(region: Region, read: impl Fn(Region) -> Vec<f64>) -> Vec<Vec<f64>> {
    (0..region.count).map(|s| read(block(region, s))).collect()
}

/// For each weight and sample: the nearest other sample and the nearest prior draw, each with the side it lies on (the
/// distance itself has a kink where the two are equal).
fn neighbours(w: &[Vec<f64>], words: &[u32], d: PairwiseDims) -> Vec<(usize, bool)> {
    let prior = prior(words, d);
    let mut found = Vec::new();
    for weight in 0..d.weights as usize {
        for (j, sample) in w.iter().enumerate() {
            let others = w.iter().enumerate().filter(|&(i, _)| i != j).map(|(i, other)| (i, other[weight]));
            found.push(nearest(sample[weight], others));
            found.push(nearest(sample[weight], prior.iter().map(|draw| draw[weight]).enumerate()));
        }
    }
    found
}

/// Prior draws of this part of the weights, as the kernel draws them.
fn prior(words: &[u32], d: PairwiseDims) -> Vec<Vec<f64>> {
    let stream = Stream::of_words(&words[..word::COUNT], d.stream);
    let draw = |i: u32| {
        let mut draw = vec![0.0; d.weights as usize];
        stream.normals_f64(u64::from(i) * u64::from(d.total) + u64::from(d.first), &mut draw);
        draw.iter().map(|normal| normal * f64::from(d.prior_scale)).collect()
    };
    (0..d.samples).map(draw).collect()
}

fn nearest(from: f64, others: impl Iterator<Item = (usize, f64)>) -> (usize, bool) {
    let nearest = others.min_by(|a, b| (a.1 - from).abs().total_cmp(&(b.1 - from).abs()));
    nearest.map_or((0, false), |(index, value)| (index, value > from))
}
