//! Passes of the planner: set or add, filled gaps, dead calls, constants, fusions, places in memory, and the verifier, which
//! must find every defect planted here.

use bbh::Result;
use bbh::backend::cpu::Cpu;
use bbh::call::{Call, Kind, Optimizer, Place, Region, Unary, Write};
use bbh::graph::{Graph, Init, Shape, Store, TensorId};
use bbh::ops::conv2d::{Padding, conv2d};
use bbh::ops::elementwise::{add, half_squared_norm, multiply, relu, scale, unary};
use bbh::ops::linear::linear;
use bbh::ops::pool2d::max_pool2d;
use bbh::plan::{Plan, Request};

const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5 };

fn parameter(g: &mut Graph, name: &str, axes: &[(char, usize)]) -> TensorId {
    g.parameter(name, Shape::new(axes), Init::Uniform(1.0)).unwrap()
}

/// x [S, N, I] -> two linear maps with ReLU -> loss; parameters x, w1, w2.
fn two_layers(g: &mut Graph) -> Result<(TensorId, [TensorId; 3])> {
    let x = parameter(g, "x", &[('S', 2), ('N', 3), ('I', 5)]);
    let w1 = parameter(g, "w1", &[('S', 2), ('O', 7), ('I', 5)]);
    let w2 = parameter(g, "w2", &[('S', 2), ('O', 4), ('I', 7)]);
    let h = linear(g, "first", x, w1, None)?;
    let h = relu(g, "first.relu", h)?;
    let y = linear(g, "second", h, w2, None)?;
    Ok((half_squared_norm(g, "loss", y)?, [x, w1, w2]))
}

/// A plan with the gradients of `wanted`.
fn gradients(g: Graph, loss: TensorId, wanted: &[TensorId]) -> Result<Plan> {
    Plan::build(g, &Request { name: "test", targets: &[(loss, None)], gradients: wanted, ..Request::default() }, 8)
}

fn two_layer_plan(store: &mut Store) -> Plan {
    let mut g = Graph::new(store);
    let (loss, wanted) = two_layers(&mut g).unwrap();
    gradients(g, loss, &wanted).unwrap()
}

fn find(plan: &Plan, name: &str) -> usize {
    plan.calls.iter().position(|call| call.kind.name() == name).unwrap()
}

/// Plants a defect in the plan of two layers and returns what the verifier says.
fn defect(plant: impl FnOnce(&mut Plan)) -> String {
    let mut store = Store::new();
    let mut plan = two_layer_plan(&mut store);
    plan.verify(&store).unwrap();
    plant(&mut plan);
    plan.verify(&store).unwrap_err().to_string()
}

#[test]
fn the_verifier_finds_a_dropped_call() {
    let said = defect(|plan| {
        plan.calls.remove(find(plan, "linear"));
    });
    assert!(said.contains("first") && said.contains("no call has written"), "{said}");
    let said = defect(|plan| {
        plan.calls.remove(find(plan, "linear_grad_weight"));
    });
    assert!(said.contains("gradients is asked for but never written"), "{said}");
}

#[test]
fn the_verifier_finds_a_gradient_set_twice() {
    let said = defect(|plan| {
        let at = find(plan, "linear_grad_weight");
        let again = plan.calls[at].clone();
        plan.calls.insert(at + 1, again);
    });
    assert!(said.contains("linear_grad_weight") && said.contains("sets a second time gradients"), "{said}");
}

#[test]
fn the_verifier_finds_a_result_over_an_operand() {
    let said = defect(|plan| {
        let at = find(plan, "linear_grad_input");
        let call = &mut plan.calls[at];
        call.writes[0].0 = Region { len: call.reads[0].len, count: 1, ..call.reads[0] };
    });
    assert!(said.contains("linear_grad_input") && said.contains("where it also uses"), "{said}");
}

#[test]
fn the_verifier_finds_buffers_that_share_bytes_while_both_live() {
    let said = defect(|plan| {
        let layout = &mut plan.workspace;
        let place = |name: &str| layout.slots.iter().position(|slot| slot.name == name).unwrap();
        let (h, y) = (place("first.relu"), place("second"));
        layout.slots[y].offset = layout.slots[h].offset;
    });
    assert!(said.contains("where it also uses") || said.contains("no call has written"), "{said}");
}

#[test]
fn the_verifier_finds_a_read_before_its_write() {
    let said = defect(|plan| {
        let at = find(plan, "linear");
        plan.calls.swap(at, at + 1);
    });
    assert!(
        said.contains("call 0 (linear of second) reads elements that no call has written, of first.relu"),
        "{said}"
    );
}

#[test]
fn the_verifier_finds_an_add_to_nothing() {
    let said = defect(|plan| {
        let at = find(plan, "linear_grad_weight");
        plan.calls[at].writes[0].1 = Write::Add;
    });
    assert!(said.contains("linear_grad_weight") && said.contains("no call has written"), "{said}");
}

#[test]
fn the_verifier_finds_a_region_outside_its_buffer() {
    let said = defect(|plan| {
        let at = find(plan, "linear_grad_input");
        plan.calls[at].writes[0].0.offset += 1;
    });
    assert!(said.contains("leaves the bounds of"), "{said}");
    let said = defect(|plan| {
        let at = find(plan, "linear");
        plan.calls[at].reads[1].offset += 1 << 20;
    });
    assert!(said.contains("leaves the bounds of weights"), "{said}");
}

#[test]
fn the_verifier_finds_overwritten_parameters() {
    let said = defect(|plan| {
        let at = find(plan, "linear_grad_weight");
        let (region, _) = plan.calls[at].writes[0];
        let weights = plan.calls[find(plan, "linear")].reads[1].buffer;
        plan.calls[at].writes[0].0 = Region { buffer: weights, ..region };
    });
    assert!(said.contains("overwrites the parameters in weights"), "{said}");
}

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
    let sum = add(&mut g, "sum", square, x, 0.5).unwrap();
    let loss = half_squared_norm(&mut g, "loss", sum).unwrap();
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
    let loss = half_squared_norm(&mut g, "loss", first).unwrap();
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
    let loss = bbh::ops::elementwise::sum(&mut g, "loss", y).unwrap();
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
    let (h, norm) = (half_squared_norm(&mut g, "h", h).unwrap(), half_squared_norm(&mut g, "norm", b).unwrap());
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
    let loss = half_squared_norm(&mut g, "loss", y).unwrap();
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
    let loss = half_squared_norm(&mut g, "loss", y).unwrap();
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
    let loss = half_squared_norm(&mut g, "loss", y).unwrap();
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

#[test]
fn buffers_share_memory_and_live_ones_never_overlap() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let mut h = parameter(&mut g, "x", &[('S', 1), ('D', 1000)]);
    let x = h;
    for index in 0..6 {
        h = unary(&mut g, &format!("tanh{index}"), h, Unary::Tanh).unwrap();
    }
    let loss = half_squared_norm(&mut g, "loss", h).unwrap();
    let plan = gradients(g, loss, &[x]).unwrap();
    let layout = &plan.workspace;
    let size = |index: usize| layout.slots[index].len * layout.element_bytes(layout.slots[index].dtype);
    let total: usize = (0..layout.slots.len()).map(size).sum();
    assert!(layout.bytes * 4 < total * 3, "workspace {} of {total} bytes", layout.bytes);
    let life = |index: usize| {
        let touches = |call: &&(usize, &Call)| {
            let regions = call.1.reads.iter().chain(call.1.writes.iter().map(|write| &write.0));
            regions.clone().any(|region| region.buffer.place == Place::Workspace && region.buffer.index == index)
        };
        let calls: Vec<(usize, &Call)> = plan.calls.iter().enumerate().collect();
        let at: Vec<usize> = calls.iter().filter(touches).map(|call| call.0).collect();
        at.first().zip(at.last()).map(|(first, last)| (*first, *last))
    };
    let mut together = 0;
    for a in 0..layout.slots.len() {
        for b in 0..a {
            let (Some(la), Some(lb)) = (life(a), life(b)) else { continue };
            if la.0 <= lb.1 && lb.0 <= la.1 {
                together += 1;
                let (start_a, start_b) = (layout.slots[a].offset, layout.slots[b].offset);
                let apart = start_a + size(a) <= start_b || start_b + size(b) <= start_a;
                assert!(apart, "{} and {} overlap", layout.slots[a].name, layout.slots[b].name);
            }
        }
    }
    assert!(together > 10);
}

#[test]
fn a_kept_value_survives_to_the_end_of_the_plan() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let (loss, wanted) = two_layers(&mut g).unwrap();
    let request = Request { targets: &[(loss, None)], gradients: &wanted, keep: &[loss], ..Request::default() };
    let plan = Plan::build(g, &request, 8).unwrap();
    let kept = plan.kept[0].buffer;
    let last = plan.calls.iter().rposition(|call| call.writes.iter().any(|write| write.0.buffer == kept)).unwrap();
    let range = |index: usize| {
        let slot = &plan.workspace.slots[index];
        slot.offset..slot.offset + slot.len * plan.workspace.element_bytes(slot.dtype)
    };
    let mine = range(kept.index);
    for (written, _) in plan.calls[last + 1..].iter().flat_map(|call| &call.writes) {
        if written.buffer.place == Place::Workspace {
            let other = range(written.buffer.index);
            assert!(
                other.end <= mine.start || mine.end <= other.start,
                "{} is overwritten",
                plan.buffer(&store, written)
            );
        }
    }
}

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
    let loss = half_squared_norm(&mut g, "loss", h).unwrap();
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
    let loss = half_squared_norm(&mut g, "loss", y).unwrap();
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
