//! Types of moments: what the plan reads, moves and keeps.

use super::{ADAM, two_layers};
use bbh::call::{Dtype, Kind, Moments, Optimizer, Write};
use bbh::graph::{Graph, Store};
use bbh::plan::{Plan, Request};

const ADAM_BF16: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, moments: Moments::Bf16 };

fn training(store: &mut Store, optimizer: Optimizer) -> bbh::Result<Plan> {
    let mut g = Graph::new(store);
    let (loss, _) = two_layers(&mut g)?;
    Plan::build(g, &Request { targets: &[(loss, None)], optimizer: Some(optimizer), ..Request::default() }, 4)
}

#[test]
fn bf16_moments_take_half_the_bytes_and_read_the_step_words() {
    let (mut full, mut half) = (Store::new(), Store::new());
    let plans = [training(&mut full, ADAM).unwrap(), training(&mut half, ADAM_BF16).unwrap()];
    let [wide, narrow] = plans.each_ref().map(|plan| {
        let update = |call: &&bbh::call::Call| matches!(call.kind, Kind::OptimizerStep { .. });
        plan.calls.iter().find(update).expect("an optimiser step")
    });
    let elements = wide.writes[0].0.elements();
    assert!(narrow.reads.contains(&half.words()) && !wide.reads.contains(&full.words()));
    let dtypes = |store: &Store, call: &bbh::call::Call| -> Vec<Dtype> {
        call.writes.iter().map(|(region, _)| store.dtype(region.buffer)).collect()
    };
    assert_eq!(dtypes(&full, wide), [Dtype::Real; 3]);
    assert_eq!(dtypes(&half, narrow), [Dtype::Real, Dtype::Bf16, Dtype::Bf16]);
    assert!(narrow.writes.iter().all(|(_, write)| *write == Write::Update));
    // Of 7 passes over 4-byte elements 5 are left; the step words are 16 bytes.
    let bytes = [plans[0].call_bytes(&full, wide), plans[1].call_bytes(&half, narrow)];
    assert_eq!(bytes[0] - 16 - 7 * 4 * elements, 0);
    assert_eq!(bytes[1] - 16 - 16 - 5 * 4 * elements, 0);
    let saved = full.layout(4).bytes - half.layout(4).bytes;
    assert!(saved.abs_diff(2 * 2 * elements) <= 128, "{saved} bytes saved for {elements} parameters");
}

#[test]
fn a_store_has_moments_of_one_type() {
    let mut store = Store::new();
    training(&mut store, ADAM_BF16).unwrap();
    let message = training(&mut store, ADAM).unwrap_err().to_string();
    assert!(message.contains("Bf16") && message.contains("Real"), "{message}");
    training(&mut store, ADAM_BF16).unwrap();
}
