//! Gradients of every op and model against finite differences, and the fused training step against the unfused one.

use bbh::backend::cpu::{Cpu, Real};
use bbh::call::{Kind, Moments, Optimizer, Region, scalar};
use bbh::check::gradcheck::{self, Options};
use bbh::check::{Case, Row, table};
use bbh::graph::{Graph, Init, Shape, Store};
use bbh::ops::elementwise::{half_squared_norm, unary};
use bbh::ops::linear::linear;
use bbh::plan::{Plan, Request};
use bbh::random::from_bf16;

const SEED: u64 = 1;

fn rows() -> Vec<Row> {
    gradcheck::run(&Options { seed: SEED, ..Options::default() }).unwrap()
}

#[test]
fn every_gradient_agrees_with_finite_differences() {
    let rows = rows();
    println!("{}", table(&rows, 1e-6));
    gradcheck::verdict(&rows, 1e-6).unwrap();
    let (checked, skipped) = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.checked, sum.1 + row.skipped));
    println!("{} rows, {checked} elements checked, {skipped} skipped", rows.len());
    assert!(skipped * 20 < checked, "{skipped} of {checked} elements skipped");
    for row in rows.iter().filter(|row| !row.op.contains(' ')) {
        assert!(
            row.largest > 1e-3,
            "{} {}: derivatives of at most {:e} prove nothing",
            row.op,
            row.argument,
            row.largest
        );
        assert!(row.skipped * 20 < row.checked, "{} {}: {} skipped", row.op, row.argument, row.skipped);
    }
}

#[test]
fn rows_have_the_promised_fields_and_the_list_of_ops_is_complete() {
    let options = Options { op: Some("multiply".into()), ..Options::default() };
    let rows = gradcheck::run(&options).unwrap();
    let json = serde_json::to_value(&rows[0]).unwrap();
    for field in ["op", "argument", "worst", "index", "checked", "skipped"] {
        assert!(json.get(field).is_some_and(|value| !value.is_null()), "no {field} in {json}");
    }
    assert_eq!(rows.iter().map(|row| row.argument.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let differentiable = [
        "linear",
        "linear_group",
        "conv2d",
        "conv2d_pool",
        "bias",
        "identity",
        "relu",
        "leaky_relu",
        "tanh",
        "sigmoid",
        "exp",
        "log",
        "affine",
        "square",
        "add",
        "multiply",
        "scale",
        "scale_by_scalar",
        "scale_group",
        "sum",
        "half_squared_norm",
        "max_pool2d",
        "avg_pool2d",
        "global_avg_pool2d",
        "norm",
        "shortcut",
        "concat_one_hot",
        "center_samples",
        "mean_samples",
        "softmax",
        "log_mean_softmax",
        "softmax_xent",
        "nearest_neighbour_kl",
        "per_weight_kl",
        "gaussian_samples",
        "gaussian_kl",
        "scaled_samples",
        "capped_variances",
        "local_reparameterization",
        "log_density",
        "coupling_mask",
        "coupling",
        "linear_rank_update",
        "lenet",
        "resnet",
        "mlp",
        "toy",
    ];
    let names = gradcheck::names();
    for op in differentiable {
        assert!(names.iter().any(|name| name == op), "{op} is not in {names:?}");
    }
}

#[test]
fn an_unknown_op_is_refused_with_the_known_ones() {
    let error = gradcheck::run(&Options { op: Some("conv3d".into()), ..Options::default() }).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(text.contains("conv3d") && text.contains("conv2d") && text.contains("lenet"), "{text}");
}

#[test]
fn another_seed_checks_other_points() {
    let check = |seed| gradcheck::run(&Options { op: Some("softmax".into()), seed, ..Options::default() }).unwrap();
    let (one, two) = (check(1), check(2));
    assert!(one[0].expected != two[0].expected);
    assert!(one[0].expected == check(1)[0].expected);
}

/// Weights, first and second moments of the large matrix and of the small parameters after a training step.
fn after_one_step<T: Real>(optimizer: Optimizer, no_fusion: bool) -> (Vec<Vec<f64>>, usize) {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = g.parameter("x", Shape::new(&[('S', 1), ('N', 3), ('I', 5)]), Init::Uniform(1.0)).unwrap();
    let w1 = g.parameter("w1", Shape::new(&[('S', 1), ('O', 64), ('I', 5)]), Init::Uniform(1.0)).unwrap();
    let w2 = g.parameter("w2", Shape::new(&[('S', 1), ('O', 16_411), ('I', 64)]), Init::Uniform(1.0)).unwrap();
    let b2 = g.parameter("b2", Shape::new(&[('S', 1), ('O', 16_411)]), Init::Uniform(1.0)).unwrap();
    let h = linear(&mut g, "h", x, w1, None).unwrap();
    let h = unary(&mut g, "tanh", h, bbh::call::Unary::Tanh).unwrap();
    let y = linear(&mut g, "y", h, w2, Some(b2)).unwrap();
    let loss = half_squared_norm(&mut g, "loss", &[y]).unwrap();
    let request = Request { targets: &[(loss, None)], optimizer: Some(optimizer), no_fusion, ..Request::default() };
    let plan = Plan::build(g, &request, size_of::<T>()).unwrap();
    let updates = plan.calls.iter().filter(|call| matches!(call.kind, Kind::LinearRankUpdate { .. })).count();
    let mut device = Cpu::<T>::new(&store, &[&plan]).unwrap();
    let regions: Vec<Region> = store.parameters().iter().map(|parameter| parameter.region).collect();
    for (index, &region) in regions.iter().enumerate() {
        let value = |i: usize| T::of(((i * 7919 + index * 31) % 2003) as f64 / 2003.0 - 0.5);
        let values: Vec<T> = (0..region.len).map(value).collect();
        device.persistent_mut::<T>(region).copy_from_slice(&values);
    }
    let scalars = device.persistent_mut::<T>(store.scalars());
    scalars[scalar::LEARNING_RATE] = T::of(0.01);
    scalars[scalar::CORRECTION1] = T::of(0.1);
    scalars[scalar::CORRECTION2] = T::of(0.001);
    device.persistent_mut::<u32>(store.words()).copy_from_slice(&[3, 1, 2, 0]);
    device.run(&plan);
    let mut state = Vec::new();
    for region in regions {
        state.push(device.persistent::<T>(region).iter().map(|value| value.f64()).collect());
        for moment in store.moments(region, optimizer).unwrap() {
            state.push(match optimizer.moments() {
                Moments::Fp32 => device.persistent::<T>(moment).iter().map(|value| value.f64()).collect(),
                Moments::Bf16 => device.persistent(moment).iter().map(|&bits| from_bf16(bits).into()).collect(),
            });
        }
    }
    (state, updates)
}

fn fused_step_agrees<T: Real>(optimizer: Optimizer, tolerance: f64) {
    let (unfused, none) = after_one_step::<T>(optimizer, true);
    let (fused, one) = after_one_step::<T>(optimizer, false);
    assert_eq!((none, one), (0, 1), "rank updates in the two plans");
    for (index, (unfused, fused)) in unfused.iter().zip(&fused).enumerate() {
        let scale = unfused.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        assert!(scale > 0.0, "region {index} is all zero");
        for (at, (a, b)) in unfused.iter().zip(fused).enumerate() {
            assert!((a - b).abs() <= tolerance * scale, "region {index}, element {at}: unfused {a}, fused {b}");
        }
    }
}

const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, moments: Moments::Fp32 };
const RMSPROP: Optimizer = Optimizer::RmsProp { decay: 0.9, epsilon: 1e-5, moments: Moments::Fp32 };
const ADAM_BF16: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, moments: Moments::Bf16 };
const RMSPROP_BF16: Optimizer = Optimizer::RmsProp { decay: 0.9, epsilon: 1e-5, moments: Moments::Bf16 };

#[test]
fn a_step_with_a_rank_update_leaves_the_weights_of_one_without_in_f64() {
    fused_step_agrees::<f64>(ADAM, 1e-12);
    fused_step_agrees::<f64>(RMSPROP, 1e-12);
}

/// The random numbers belong to a weight's place, not to the call that updates it: nearly all moments have the same bits (a sum
/// in another order may end on the other side of a boundary), where other numbers would part a third of them.
#[test]
fn a_rank_update_rounds_bf16_moments_as_a_step_without_does() {
    for optimizer in [ADAM_BF16, RMSPROP_BF16] {
        let (unfused, _) = after_one_step::<f64>(optimizer, true);
        let (fused, updates) = after_one_step::<f64>(optimizer, false);
        assert_eq!(updates, 1);
        for (index, (unfused, fused)) in unfused.iter().zip(&fused).enumerate() {
            let close = |a: &f64, b: &f64| (a - b).abs() <= 1e-9 * a.abs();
            let apart = unfused.iter().zip(fused).filter(|(a, b)| !close(a, b)).count();
            assert!(apart <= unfused.len() / 100_000, "region {index}: {apart} of {} differ", unfused.len());
        }
    }
}

#[test]
fn a_step_with_a_rank_update_leaves_the_weights_of_one_without_in_f32() {
    fused_step_agrees::<f32>(ADAM, 1e-4);
    fused_step_agrees::<f32>(RMSPROP, 1e-4);
}

/// relu of x [S = 3, D = 40], all of whose elements are within `bound` of the kink.
fn near_the_kink(bound: f32) -> Row {
    let case = Case::op("relu", "near the kink", move |g| {
        let x = g.parameter("x", Shape::new(&[('S', 3), ('D', 40)]), Init::Uniform(bound))?;
        unary(g, "y", x, bbh::call::Unary::Relu)
    });
    gradcheck::check_case(&case, SEED, &mut |_| ()).unwrap().remove(0)
}

#[test]
fn points_on_a_kink_are_skipped_and_a_case_without_others_fails() {
    let row = near_the_kink(0.0);
    assert_eq!((row.checked, row.skipped), (0, 120));
    assert!(!row.passes(1e-6));
}

#[test]
fn points_near_a_kink_are_checked_with_smaller_steps() {
    let row = near_the_kink(1e-3);
    assert!(row.skipped < 6 && row.checked + row.skipped == 120, "{row:?}");
    assert!(row.passes(1e-6), "{row:?}");
}
