//! Fusions of nodes, and of the weight gradient with the optimiser.

use super::{ADAM, parameter, two_layers};
use bbh::call::{Call, Unary};
use bbh::graph::{Graph, Shape, Store};
use bbh::ops::conv2d::{Padding, conv2d};
use bbh::ops::elementwise::{add, half_squared_norm, relu, unary};
use bbh::ops::linear::linear;
use bbh::ops::norm::{NormKind, norm};
use bbh::ops::pool2d::max_pool2d;
use bbh::plan::{Plan, Request};

fn notes(no_fusion: bool) -> (Vec<String>, Vec<&'static str>) {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('N', 2), ('C', 1), ('H', 6), ('W', 6)]);
    let w = parameter(&mut g, "w", &[('S', 1), ('O', 3), ('C', 1), ('K', 3), ('K', 3)]);
    let b = parameter(&mut g, "b", &[('S', 1), ('O', 3)]);
    let dense = parameter(&mut g, "dense", &[('S', 1), ('O', 2), ('I', 12)]);
    let h = conv2d(&mut g, "conv", (x, w, Some(b)), 1, Padding::Valid).unwrap();
    let h = relu(&mut g, "relu", h).unwrap();
    let h = max_pool2d(&mut g, "pool", h, 2, 2).unwrap();
    let h = g.reshape(h, Shape::new(&[('S', 1), ('N', 2), ('I', 12)])).unwrap();
    let h = linear(&mut g, "dense", h, dense, None).unwrap();
    let h = unary(&mut g, "tanh", h, Unary::Tanh).unwrap();
    let loss = half_squared_norm(&mut g, "loss", &[h]).unwrap();
    let request = Request { keep: &[loss], no_fusion, ..Request::default() };
    let plan = Plan::build(g, &request, 8).unwrap();
    (plan.notes.clone(), plan.calls.iter().map(|call| call.kind.name()).collect())
}

#[test]
fn fusions_are_made_and_noted() {
    let (notes_made, calls) = notes(false);
    assert_eq!(calls, ["conv2d_pool", "linear", "half_squared_norm"]);
    assert_eq!(notes_made.len(), 3, "{notes_made:?}");
    assert!(notes_made[0].starts_with("conv: conv2d + relu"), "{notes_made:?}");
    assert!(notes_made[2].starts_with("dense: linear + tanh"), "{notes_made:?}");
    let (notes_made, calls) = notes(true);
    assert_eq!(calls, ["conv2d", "unary", "max_pool2d", "linear", "unary", "half_squared_norm"]);
    assert!(notes_made.is_empty());
}

#[test]
fn a_norm_takes_its_relu_along() {
    let kinds = |no_fusion| -> Vec<&str> {
        let mut store = Store::new();
        let mut g = Graph::new(&mut store);
        let x = parameter(&mut g, "x", &[('S', 1), ('N', 2), ('C', 3), ('H', 2), ('W', 2)]);
        let (gamma, beta) =
            (parameter(&mut g, "gamma", &[('S', 1), ('C', 3)]), parameter(&mut g, "beta", &[('S', 1), ('C', 3)]));
        let h = norm(&mut g, "norm", (x, gamma, beta), NormKind::Instance).unwrap();
        let h = relu(&mut g, "relu", h).unwrap();
        let loss = half_squared_norm(&mut g, "loss", &[h]).unwrap();
        let request = Request { targets: &[(loss, None)], gradients: &[x, beta], no_fusion, ..Request::default() };
        let plan = Plan::build(g, &request, 8).unwrap();
        plan.calls.iter().map(|call| call.kind.name()).filter(|name| *name != "fill" && *name != "scale").collect()
    };
    assert_eq!(kinds(false), ["norm", "scale_by_scalar", "norm_grad"]);
    assert_eq!(kinds(true), ["norm", "unary", "scale_by_scalar", "unary_grad", "norm_grad"]);
}

#[test]
fn a_value_that_two_nodes_read_is_not_fused_away() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('N', 2), ('I', 3)]);
    let w = parameter(&mut g, "w", &[('S', 1), ('O', 3), ('I', 3)]);
    let h = linear(&mut g, "h", x, w, None).unwrap();
    let y = relu(&mut g, "y", h).unwrap();
    let y = add(&mut g, "sum", y, h, 1.0).unwrap();
    let plan = Plan::build(g, &Request { keep: &[y], ..Request::default() }, 8).unwrap();
    assert!(plan.notes.is_empty(), "{:?}", plan.notes);
}

/// Kinds of a training step of a large matrix with `rows` rows of input, which `uses` linear maps share.
fn large_step(rows: usize, uses: usize, clip: Option<f32>) -> (Plan, Store) {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('N', rows), ('I', 64)]);
    let w = parameter(&mut g, "w", &[('S', 1), ('O', 16_411), ('I', 64)]);
    let mut y = linear(&mut g, "y", x, w, None).unwrap();
    for index in 1..uses {
        let other = linear(&mut g, &format!("y{index}"), x, w, None).unwrap();
        y = add(&mut g, &format!("sum{index}"), y, other, 1.0).unwrap();
    }
    let loss = half_squared_norm(&mut g, "loss", &[y]).unwrap();
    let request = Request { targets: &[(loss, None)], optimizer: Some(ADAM), clip, ..Request::default() };
    let plan = Plan::build(g, &request, 4).unwrap();
    (plan, store)
}

#[test]
fn the_gradient_of_a_large_matrix_of_few_rows_is_never_stored() {
    let (plan, store) = large_step(5, 1, None);
    assert!(plan.calls.iter().any(|call| call.kind.name() == "linear_rank_update"));
    assert!(plan.notes.iter().any(|note| note.contains("dw of 1050304 elements is never stored")), "{:?}", plan.notes);
    let w = store.find("w").unwrap().elements() * 4;
    // Weights and two moments, and the small parameters besides.
    let bytes = store.layout(4).bytes;
    assert!(bytes < 3 * w + w / 4, "{bytes}");
}

#[test]
fn a_matrix_of_many_rows_or_uses_or_with_clipping_is_updated_apart() {
    for (rows, uses, clip) in [(17, 1, None), (5, 2, None), (5, 1, Some(1.0))] {
        let (plan, _) = large_step(rows, uses, clip);
        let kinds: Vec<&str> = plan.calls.iter().map(|call| call.kind.name()).collect();
        assert!(!kinds.contains(&"linear_rank_update"), "{rows} {uses} {clip:?}");
        assert_eq!(kinds.iter().filter(|kind| **kind == "optimizer_step").count(), 2);
        assert_eq!(kinds.contains(&"clip_by_value"), clip.is_some());
    }
}

#[test]
fn small_parameters_are_updated_by_one_call() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let (loss, _) = two_layers(&mut g).unwrap();
    let request = Request { targets: &[(loss, None)], optimizer: Some(ADAM), ..Request::default() };
    let plan = Plan::build(g, &request, 8).unwrap();
    let steps: Vec<&Call> = plan.calls.iter().filter(|call| call.kind.name() == "optimizer_step").collect();
    assert_eq!(steps.len(), 1);
    let last = store.parameters().last().unwrap().region;
    assert_eq!(steps[0].writes[0].0.len, last.offset + last.len);
}
