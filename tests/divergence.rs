//! Divergences estimated from samples, beside the closed form: KL(N(m, s^2) || N(0, 1)) = (s^2 + m^2 - 1 - ln s^2) / 2 for each
//! weight.

use bbh::backend::Target;
use bbh::call::{Moments, Optimizer, Schedule, Unary};
use bbh::graph::{Graph, Shape, Store};
use bbh::method::{Bbb, KlKind, Method};
use bbh::model::Weights;
use bbh::ops::batch::advance_step;
use bbh::ops::elementwise::unary;
use bbh::ops::noise::normal;
use bbh::plan::{Plan, Request};
use bbh::train::initialise;

/// Weights D of a sample.
const WEIGHTS: usize = 400;
const SAMPLES: usize = 10;

fn closed_form(mean: f64, deviation: f64) -> f64 {
    WEIGHTS as f64 * 0.5 * (deviation * deviation + mean * mean - 1.0 - (deviation * deviation).ln())
}

/// The mean of the estimate over the last `counted` of `steps` steps, in which the estimator trains if it has anything to train.
fn estimate(kl: KlKind, (mean, deviation): (f32, f32), (steps, counted): (usize, usize)) -> f64 {
    let method = Bbb { kl, random_weights: 200, prior_scale: 1.0, aligned_noise: false, initial_sigma: 0.1 };
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    advance_step(
        &mut g,
        Schedule {
            learning_rate: 2e-3,
            warmup_steps: 0,
            decay_steps: steps as u32,
            final_fraction: 0.0,
            anneal_start_step: 0,
            anneal_length_steps: 0,
            beta1: 0.9,
            beta2: 0.999,
        },
    );
    let noise = normal(&mut g, "noise", Shape::new(&[('S', SAMPLES), ('D', WEIGHTS)]), 1.0).unwrap();
    let w = unary(&mut g, "w", noise, Unary::Affine(deviation, mean)).unwrap();
    let found = method.kl(&mut g, &[], &Weights::new(vec![w])).unwrap().unwrap();
    let auxiliary = method.auxiliary_loss(&mut g, &[w]).unwrap();
    let targets: Vec<_> = auxiliary.into_iter().map(|loss| (loss, None)).collect();
    let optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, moments: Moments::Fp32 };
    let request = Request {
        name: "estimate",
        targets: &targets,
        keep: &[found],
        optimizer: (!targets.is_empty()).then_some(optimizer),
        ..Request::default()
    };
    let plan = Plan::build(g, &request, size_of::<f32>()).unwrap();
    let mut device = Target::Cpu.open(&store, &[&plan]).unwrap();
    initialise(&store, device.as_mut(), 1).unwrap();
    let mut sum = 0.0;
    for step in 0..steps {
        device.run(&plan).unwrap();
        if step + counted >= steps {
            sum += f64::from(device.read::<f32>(&plan, plan.kept[0]).unwrap()[0]);
        }
    }
    sum / counted as f64
}

const GAUSSIANS: [(f32, f32); 3] = [(0.0, 0.5), (0.7, 0.8), (-1.0, 1.0)];

fn compare(kl: KlKind, steps: (usize, usize), tolerance: f64) {
    for gaussian in GAUSSIANS {
        let (found, expected) =
            (estimate(kl, gaussian, steps), closed_form(f64::from(gaussian.0), f64::from(gaussian.1)));
        println!("{kl:?} of N({}, {}^2): {found:.1}, closed form {expected:.1}", gaussian.0, gaussian.1);
        let difference = (found - expected).abs() / expected;
        assert!(difference <= tolerance, "{kl:?} {gaussian:?}: {found}, closed form {expected}");
    }
}

#[test]
fn the_discriminator_estimates_the_divergence_of_gaussians() {
    compare(KlKind::Disc, (1000, 200), 0.05);
}

#[test]
fn nearest_neighbours_of_each_weight_estimate_the_divergence_of_gaussians() {
    compare(KlKind::PerWeight, (40, 40), 0.25);
}
