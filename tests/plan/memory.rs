//! Places of buffers in the workspace.

use super::{gradients, parameter, two_layers};
use bbh::call::{Call, Place, Unary};
use bbh::graph::{Graph, Store};
use bbh::ops::elementwise::{half_squared_norm, unary};
use bbh::plan::{Plan, Request};

#[test]
fn buffers_share_memory_and_live_ones_never_overlap() {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let mut h = parameter(&mut g, "x", &[('S', 1), ('D', 1000)]);
    let x = h;
    for index in 0..6 {
        h = unary(&mut g, &format!("tanh{index}"), h, Unary::Tanh).unwrap();
    }
    let loss = half_squared_norm(&mut g, "loss", &[h]).unwrap();
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
