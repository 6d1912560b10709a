//! Which branch a plan took at every kink: signs at ReLUs, winners of max pools, nearest neighbours of KL estimates.
//! Two points with the same branches lie on one smooth piece of the function, up to a crossing and a return in between.

use crate::backend::cpu::Cpu;
use crate::call::{Call, Kind, PairwiseDims, Region, Unary, word};
use crate::plan::Plan;
use crate::random::Stream;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Runs a plan and returns a digest of its branches.
pub fn run(device: &mut Cpu<f64>, plan: &Plan) -> u64 {
    let mut digest = DefaultHasher::new();
    for (index, call) in plan.calls.iter().enumerate() {
        device.run_one(plan, index);
        call_branches(device, plan, call, &mut digest);
    }
    digest.finish()
}

fn call_branches(device: &Cpu<f64>, plan: &Plan, call: &Call, digest: &mut DefaultHasher) {
    match call.kind {
        Kind::UnaryForward { function, .. } | Kind::LinearForward(_, function) | Kind::Conv2dForward(_, function)
            if has_kink(function) =>
        {
            // The sign of the output is that of the input for all functions with a kink.
            device.read::<f64>(plan, call.writes[0].0).iter().for_each(|y| (*y > 0.0).hash(digest));
        }
        Kind::Conv2dPoolForward(_) => device.read::<u8>(plan, call.writes[1].0).hash(digest),
        Kind::MaxPool2dForward(_) | Kind::NearestNeighbourKl(_) => {
            device.read::<u32>(plan, call.writes[1].0).hash(digest);
        }
        Kind::PerWeightKl(dims) => {
            let words = device.read::<u32>(plan, call.reads[1]);
            neighbours(&blocks(device, plan, call.reads[0]), words, dims).hash(digest);
        }
        _ => {}
    }
}

fn has_kink(function: Unary) -> bool {
    matches!(function, Unary::Relu | Unary::LeakyRelu(_) | Unary::Sign)
}

/// The samples w_s [weights] of a strided region.
fn blocks(device: &Cpu<f64>, plan: &Plan, region: Region) -> Vec<Vec<f64>> {
    let block = |s: usize| Region::contiguous(region.buffer, region.offset + s * region.stride, region.len);
    (0..region.count).map(|s| device.read::<f64>(plan, block(s)).to_vec()).collect()
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
