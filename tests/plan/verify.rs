//! The verifier finds planted defects.

use super::two_layer_plan;
use bbh::call::{Region, Write};
use bbh::graph::Store;
use bbh::plan::Plan;

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
