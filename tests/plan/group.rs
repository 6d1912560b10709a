//! Groups of small linear maps: which calls join, and that they compute the same bits as calls of their own.

use super::{ADAM, parameter};
use bbh::backend::cpu::Cpu;
use bbh::call::{Call, Kind, LinearGroup, scalar};
use bbh::check::{Built, Case, Constant, gradcheck};
use bbh::graph::{Graph, Store, TensorId};
use bbh::ops::elementwise::{add, half_squared_norm, relu};
use bbh::ops::linear::linear;
use bbh::plan::{Plan, Request};

/// Bytes of all parameters, moments and kept values after three steps of Adam in f32, and the calls of a step.
fn after_three_steps(case: &Case, no_grouping: bool) -> (Vec<u32>, Vec<Call>) {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let Built { output, constants } = (case.build)(&mut g).unwrap();
    let targets = [(output, None)];
    let request =
        Request { targets: &targets, keep: &[output], optimizer: Some(ADAM), no_grouping, ..Request::default() };
    let plan = Plan::build(g, &request, size_of::<f32>()).unwrap();
    plan.verify(&store).unwrap();
    let mut regions = Vec::new();
    for parameter in store.parameters().to_vec() {
        regions.push(parameter.region);
        regions.extend(store.moments(parameter.region, ADAM.moments()));
    }
    let mut device = Cpu::<f32>::new(&store, &[&plan]).unwrap();
    for (index, parameter) in store.parameters().iter().enumerate() {
        let value = |i: usize| ((i * 7919 + index * 31) % 2003) as f32 / 2003.0 - 0.5;
        let values: Vec<f32> = (0..parameter.region.len).map(value).collect();
        device.persistent_mut::<f32>(parameter.region).copy_from_slice(&values);
    }
    for constant in constants {
        match constant {
            Constant::Real(region, values) => {
                let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                device.persistent_mut::<f32>(region).copy_from_slice(&values);
            }
            Constant::Words(region, words) => device.persistent_mut::<u32>(region).copy_from_slice(&words),
        }
    }
    device.persistent_mut::<u32>(store.words()).copy_from_slice(&[1, 5, 9, 0]);
    let scalars = device.persistent_mut::<f32>(store.scalars());
    (scalars[scalar::LEARNING_RATE], scalars[scalar::CORRECTION1], scalars[scalar::CORRECTION2]) = (0.01, 0.1, 0.001);
    (0..3).for_each(|_| device.run(&plan));
    let of_region = |region| device.persistent::<f32>(region).iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    let mut bits: Vec<u32> = regions.into_iter().flat_map(of_region).collect();
    bits.extend(device.read::<f32>(&plan, plan.kept[0]).iter().map(|value| value.to_bits()));
    (bits, plan.calls)
}

fn groups(calls: &[Call]) -> Vec<LinearGroup> {
    let group = |call: &Call| match call.kind {
        Kind::LinearGroupForward(group) | Kind::LinearGroupGrad { group, .. } => Some(group),
        _ => None,
    };
    calls.iter().filter_map(group).collect()
}

/// Every model of the gradient check: all generators with all noises and KL terms, MAP, LeNet and the perceptron.
#[test]
fn a_grouped_plan_computes_the_bits_of_the_ungrouped_one() {
    let models: Vec<Case> = gradcheck::cases().into_iter().filter(|case| case.op.contains(' ')).collect();
    for generator in ["map", "layer-wise", "sliced", "shared"] {
        let of_generator = models.iter().filter(|case| case.op.contains(generator));
        let mut joined = 0;
        for case in of_generator {
            let (apart, calls_apart) = after_three_steps(case, true);
            let (grouped, calls) = after_three_steps(case, false);
            let differing = apart.iter().zip(&grouped).filter(|(apart, grouped)| apart != grouped).count();
            assert!(apart.len() == grouped.len() && differing == 0, "{}: {differing} differ", case.op);
            assert!(apart.iter().all(|bits| f32::from_bits(*bits).is_finite()), "{}", case.op);
            assert!(groups(&calls_apart).is_empty(), "{}", case.op);
            joined += groups(&calls).iter().filter(|group| group.maps > 1).count();
        }
        let some = matches!(generator, "layer-wise" | "sliced");
        assert!((joined > 0) == some, "{generator}: {joined} groups");
    }
}

/// Three generators of two layers over one input, whose outputs are added.
fn generators(g: &mut Graph) -> TensorId {
    let x = parameter(g, "x", &[('S', 1), ('N', 3), ('I', 4)]);
    let mut total: Option<TensorId> = None;
    for generator in 0..3 {
        let w = parameter(g, &format!("first{generator}"), &[('S', 1), ('O', 6), ('I', 4)]);
        let h = linear(g, &format!("h{generator}"), x, w, None).unwrap();
        let h = relu(g, &format!("h{generator}.relu"), h).unwrap();
        let w = parameter(g, &format!("second{generator}"), &[('S', 1), ('O', 2 + generator), ('I', 6)]);
        let y = linear(g, &format!("y{generator}"), h, w, None).unwrap();
        let norm = half_squared_norm(g, &format!("norm{generator}"), &[y]).unwrap();
        total = Some(total.map_or(norm, |total| add(g, &format!("sum{generator}"), total, norm, 1.0).unwrap()));
    }
    total.unwrap()
}

fn step(no_fusion: bool, no_grouping: bool) -> Plan {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let loss = generators(&mut g);
    let request =
        Request { targets: &[(loss, None)], optimizer: Some(ADAM), no_fusion, no_grouping, ..Request::default() };
    Plan::build(g, &request, 4).unwrap()
}

#[test]
fn layers_of_generators_join_and_are_noted() {
    let plan = step(false, false);
    let maps = groups(&plan.calls).iter().map(|group| (group.maps, group.products)).collect::<Vec<_>>();
    // Each reads its own gradient of y; those of the shared x are added one after another and stay apart.
    assert_eq!(maps, [(3, 216), (3, 162), (3, 162), (1, 72), (1, 72), (1, 72)]);
    let notes: Vec<&String> =
        plan.notes.iter().filter(|note| note.contains("grouped") && !note.contains("scale")).collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert_eq!(notes[0], "h0, h1, h2: linear grouped in one call");
    let first = plan.calls.iter().find(|call| matches!(call.kind, Kind::LinearGroupForward(_))).unwrap();
    assert_eq!((first.label.as_str(), first.reads.len(), first.writes.len()), ("h0 and 2 more", 6, 3));
}

#[test]
fn without_fusion_or_grouping_every_map_has_its_own_calls() {
    for (no_fusion, no_grouping) in [(true, false), (false, true)] {
        let plan = step(no_fusion, no_grouping);
        assert!(groups(&plan.calls).is_empty());
        assert_eq!(plan.calls.iter().filter(|call| call.kind.name() == "linear_grad_weight").count(), 6);
        assert!(!plan.notes.iter().any(|note| note.contains("grouped")));
    }
}

#[test]
fn maps_of_many_rows_weights_or_samples_stay_apart() {
    for (samples, rows, inputs, outputs, small) in [
        (1, 16, 8, 8, true),
        (1, 17, 8, 8, false),
        (2, 3, 8, 8, false),
        (1, 3, 512, 512, true),
        (1, 3, 512, 513, false),
    ] {
        let mut store = Store::new();
        let mut g = Graph::new(&mut store);
        let mut kept = Vec::new();
        for map in 0..2 {
            let x = parameter(&mut g, &format!("x{map}"), &[('S', samples), ('N', rows), ('I', inputs)]);
            let w = parameter(&mut g, &format!("w{map}"), &[('S', samples), ('O', outputs), ('I', inputs)]);
            kept.push(linear(&mut g, &format!("y{map}"), x, w, None).unwrap());
        }
        let plan = Plan::build(g, &Request { keep: &kept, ..Request::default() }, 4).unwrap();
        assert_eq!(plan.calls.len(), if small { 1 } else { 2 }, "{samples} {rows} {inputs} {outputs}");
    }
}
