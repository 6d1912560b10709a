//! What the reverse pass makes of a graph: set or add, gaps, constants, refusals.

use super::{ADAM, gradients, parameter, two_layers};
use bbh::backend::cpu::Cpu;
use bbh::call::{Call, Kind, Region, Unary, Write};
use bbh::graph::{Graph, Init, Shape, Store};
use bbh::ops::conv2d::{Padding, conv2d};
use bbh::ops::elementwise::{add, half_squared_norm, multiply, relu, scale, sum, unary};
use bbh::ops::pool2d::max_pool2d;
use bbh::plan::{Plan, Request};

/// Calls of the plan that write the gradient of its first wanted tensor.
fn writers(plan: &Plan) -> Vec<(&Call, Write)> {
    let gradient = plan.gradients[0];
    let inside = |region: &Region| {
        region.buffer == gradient.buffer
            && region.offset >= gradient.offset
            && region.offset < gradient.offset + gradient.span()
    };
    let write = |call: &'_ Call| call.writes.iter().find(|(region, _)| inside(region)).map(|(_, write)| *write);
    plan.calls.iter().filter_map(|call| write(call).map(|write| (call, write))).collect()
}

#[test]
fn the_first_gradient_sets_and_later_ones_add() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 3), ('D', 4)]);
    let square = multiply(&mut g, "square", x, x).unwrap();
    let total = add(&mut g, "sum", square, x, 0.5).unwrap();
    let loss = half_squared_norm(&mut g, "loss", &[total]).unwrap();
    let plan = gradients(g, loss, &[x]).unwrap();
    let modes: Vec<Write> = writers(&plan).iter().map(|writer| writer.1).collect();
    assert_eq!(modes, [Write::Set, Write::Add, Write::Add]);
}

#[test]
fn elements_that_no_rule_writes_are_filled_with_zero() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let w = parameter(&mut g, "w", &[('S', 3), ('D', 4)]);
    let first = g.first_samples(w, 1).unwrap();
    let loss = half_squared_norm(&mut g, "loss", &[first]).unwrap();
    let plan = gradients(g, loss, &[w]).unwrap();
    let fills: Vec<&Call> =
        plan.calls.iter().filter(|call| matches!(call.kind, Kind::Fill { value: 0.0, .. })).collect();
    assert_eq!(fills.len(), 1);
    assert_eq!((fills[0].writes[0].0.offset, fills[0].writes[0].0.elements()), (4, 8));
    let mut device = Cpu::<f64>::new(&store, &[&plan]).unwrap();
    device.persistent_mut::<f64>(store.parameters()[0].region).fill(2.0);
    device.persistent_mut::<f64>(plan.gradients[0]).fill(f64::NAN);
    device.run(&plan);
    let expected: Vec<f64> = (0..12).map(|index| if index < 4 { 2.0 } else { 0.0 }).collect();
    assert_eq!(device.read::<f64>(&plan, plan.gradients[0]), expected);
}

#[test]
fn dead_calls_and_their_buffers_are_dropped() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('D', 4096)]);
    let y = scale(&mut g, "y", x, 2.0).unwrap();
    let unused = unary(&mut g, "unused", x, Unary::Tanh).unwrap();
    unary(&mut g, "unused too", unused, Unary::Exp).unwrap();
    let plan = Plan::build(g, &Request { keep: &[y], ..Request::default() }, 8).unwrap();
    assert_eq!(plan.calls.iter().map(|call| call.label.as_str()).collect::<Vec<_>>(), ["y"]);
    assert_eq!(plan.workspace.bytes, 4096 * 8);
}

#[test]
fn no_gradient_flows_through_stop_gradient() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('D', 4)]);
    let constant = g.stop_gradient(x);
    let y = multiply(&mut g, "y", x, constant).unwrap();
    let loss = sum(&mut g, "loss", y).unwrap();
    let plan = gradients(g, loss, &[x]).unwrap();
    assert_eq!(writers(&plan).len(), 1);
    let mut device = Cpu::<f64>::new(&store, &[&plan]).unwrap();
    device.persistent_mut::<f64>(store.parameters()[0].region).copy_from_slice(&[1.0, 2.0, 3.0, -4.0]);
    device.run(&plan);
    assert_eq!(device.read::<f64>(&plan, plan.gradients[0]), [1.0, 2.0, 3.0, -4.0]);
}

/// Gradient of b, which is both a detached bias of a convolution and, squared, a term of the loss.
fn gradient_beside_detached_bias(no_fusion: bool) -> Vec<f64> {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('N', 2), ('C', 1), ('H', 6), ('W', 6)]);
    let w = parameter(&mut g, "w", &[('S', 1), ('O', 3), ('C', 1), ('K', 3), ('K', 3)]);
    let b = parameter(&mut g, "b", &[('S', 1), ('O', 3)]);
    let constant = g.stop_gradient(b);
    let h = conv2d(&mut g, "conv", (x, w, Some(constant)), 1, Padding::Valid).unwrap();
    let h = relu(&mut g, "relu", h).unwrap();
    let h = max_pool2d(&mut g, "pool", h, 2, 2).unwrap();
    let (h, norm) = (half_squared_norm(&mut g, "h", &[h]).unwrap(), half_squared_norm(&mut g, "norm", &[b]).unwrap());
    let loss = add(&mut g, "loss", h, norm, 1.0).unwrap();
    let request = Request { targets: &[(loss, None)], gradients: &[b, w], no_fusion, ..Request::default() };
    let plan = Plan::build(g, &request, 8).unwrap();
    let mut device = Cpu::<f64>::new(&store, &[&plan]).unwrap();
    for parameter in store.parameters() {
        device.persistent_mut::<f64>(parameter.region).fill(0.5);
    }
    device.run(&plan);
    device.read::<f64>(&plan, plan.gradients[0]).to_vec()
}

#[test]
fn a_fused_pool_gives_a_detached_bias_no_gradient() {
    assert_eq!(gradient_beside_detached_bias(true), [0.5; 3]);
    assert_eq!(gradient_beside_detached_bias(false), [0.5; 3]);
}

#[test]
fn a_gradient_through_sign_is_refused_by_name() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('D', 4)]);
    let y = unary(&mut g, "direction", x, Unary::Sign).unwrap();
    let loss = half_squared_norm(&mut g, "loss", &[y]).unwrap();
    let error = gradients(g, loss, &[x]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let said = error.to_string();
    assert!(said.contains("direction") && said.contains("sign is not differentiable"), "{said}");
}

#[test]
fn sign_of_a_constant_needs_no_gradient() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('D', 4)]);
    let constant = g.stop_gradient(x);
    let direction = unary(&mut g, "direction", constant, Unary::Sign).unwrap();
    let y = multiply(&mut g, "y", x, direction).unwrap();
    let loss = half_squared_norm(&mut g, "loss", &[y]).unwrap();
    gradients(g, loss, &[x]).unwrap();
}

#[test]
fn a_parameter_without_a_path_to_the_loss_is_refused_by_name() {
    for by_optimizer in [false, true] {
        let mut store = Store::new();
        let mut g = Graph::new(&mut store);
        let (loss, _) = two_layers(&mut g).unwrap();
        let lonely = parameter(&mut g, "lonely", &[('S', 1), ('O', 3)]);
        let error = if by_optimizer {
            let request = Request { targets: &[(loss, None)], optimizer: Some(ADAM), ..Request::default() };
            Plan::build(g, &request, 8).unwrap_err()
        } else {
            gradients(g, loss, &[lonely]).unwrap_err()
        };
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("lonely: no path to the loss"), "{error}");
    }
}

#[test]
fn a_parameter_asked_for_twice_is_one_tensor_with_one_gradient() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let (x, again) = (parameter(&mut g, "x", &[('S', 1), ('D', 4)]), parameter(&mut g, "x", &[('S', 1), ('D', 4)]));
    assert_eq!(x, again);
    let y = multiply(&mut g, "y", x, again).unwrap();
    let loss = half_squared_norm(&mut g, "loss", &[y]).unwrap();
    assert_eq!(writers(&gradients(g, loss, &[x]).unwrap()).len(), 2);
    let mut g = Graph::new(&mut store);
    let error = g.parameter("x", Shape::new(&[('S', 1), ('D', 5)]), Init::Uniform(1.0)).unwrap_err();
    assert!(error.to_string().contains("[S=1, D=4]") && error.to_string().contains("[S=1, D=5]"), "{error}");
}

#[test]
fn a_part_of_a_vector_is_refused_where_kernels_need_contiguous_tensors() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let v = parameter(&mut g, "v", &[('S', 3), ('D', 7)]);
    let part = g.part(v, "part", 2, Shape::new(&[('S', 3), ('D', 4)])).unwrap();
    let error = unary(&mut g, "y", part, Unary::Tanh).unwrap_err();
    assert!(error.to_string().contains("part") && error.to_string().contains("contiguous"), "{error}");
    let copy = scale(&mut g, "copy", part, 1.0).unwrap();
    unary(&mut g, "y", copy, Unary::Tanh).unwrap();
}

#[test]
fn same_padding_that_differs_by_axis_is_refused() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let x = parameter(&mut g, "x", &[('S', 1), ('N', 1), ('C', 1), ('H', 6), ('W', 5)]);
    let w = parameter(&mut g, "w", &[('S', 1), ('O', 1), ('C', 1), ('K', 3), ('K', 3)]);
    conv2d(&mut g, "y", (x, w, None), 1, Padding::Same).unwrap();
    let error = conv2d(&mut g, "y", (x, w, None), 2, Padding::Same).unwrap_err();
    assert!(error.to_string().contains("same padding"), "{error}");
}
