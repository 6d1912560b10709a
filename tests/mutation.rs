//! Every call of every reverse pass of the gradient check is broken in turn, and the check must notice each time: a sign, a
//! factor, a missing term, a set for an add, another activation. The list is complete by construction: it is the plans'.

use bbh::call::{BufferId, Call, Dtype, Kind, MOST_STEPS, Place, Region, ScalarCode, ScalarStep, Unary, Write};
use bbh::check::{Case, Prepared, gradcheck};
use bbh::graph::Slot;
use bbh::plan::Plan;
use std::collections::BTreeMap;

const SEED: u64 = 1;
const TOLERANCE: f64 = 1e-6;

/// How a call's result is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mutation {
    /// What the call writes, times a factor: -1 turns the sign, 0 drops the term, 1.01 is wrong by 1%.
    Factor(f32),
    /// Overwrites where it should add, or adds where it should overwrite.
    SetForAdd,
    /// Another function's gradient.
    Function(Unary),
    /// Another value of a fill.
    Value(f32),
}

/// What can be broken in a call: its outputs, or the steps of a program that work for a gradient.
fn places(plan: &Plan, call: &Call) -> Vec<usize> {
    let Kind::ScalarProgram(program) = &call.kind else { return (0..call.writes.len()).collect() };
    let is_gradient = |step: &ScalarStep| {
        let buffer = call.writes[step.y as usize - MOST_STEPS].0.buffer;
        buffer.place == Place::Persistent || plan.workspace.slots[buffer.index].name.starts_with("d.")
    };
    (0..program.steps().len()).filter(|&step| is_gradient(&program.steps()[step])).collect()
}

/// The mutations of a place of a call.
fn mutations(plan: &Plan, call: &Call, place: usize) -> Vec<Mutation> {
    match &call.kind {
        Kind::ScalarProgram(program) => step_mutations(&program.steps()[place]),
        _ => output_mutations(plan, call, place),
    }
}

fn step_mutations(step: &ScalarStep) -> Vec<Mutation> {
    let mut all = match step.code == ScalarCode::Fill as u32 && step.factor == 0.0 {
        true => vec![Mutation::Value(0.5)],
        false => vec![Mutation::Factor(-1.0), Mutation::Factor(0.0), Mutation::Factor(1.01)],
    };
    if step.add == 1 {
        all.push(Mutation::SetForAdd);
    }
    all
}

/// A broken step. Sums stand in no reverse pass; a product becomes one with a factor.
fn break_step(step: &mut ScalarStep, mutation: Mutation) {
    assert_ne!(step.code, ScalarCode::Add as u32, "a sum in a reverse pass");
    match mutation {
        Mutation::SetForAdd => step.add = 0,
        Mutation::Value(value) => step.factor = value,
        Mutation::Factor(factor) if step.code == ScalarCode::Multiply as u32 => {
            (step.code, step.factor) = (ScalarCode::ScaleByScalar as u32, factor);
        }
        Mutation::Factor(factor) => step.factor *= factor,
        Mutation::Function(_) => panic!("a step has no function"),
    }
}

fn output_mutations(plan: &Plan, call: &Call, write: usize) -> Vec<Mutation> {
    let (region, mode) = call.writes[write];
    let scratch = region.buffer.place == Place::Workspace && {
        let name = &plan.workspace.slots[region.buffer.index].name;
        name.starts_with("partials.") || name.starts_with("unused.")
    };
    if scratch {
        return Vec::new();
    }
    let mut all = match call.kind {
        Kind::Fill { value: 0.0, .. } => vec![Mutation::Value(0.5)],
        _ => vec![Mutation::Factor(-1.0), Mutation::Factor(0.0), Mutation::Factor(1.01)],
    };
    if let Kind::UnaryGrad { function, .. } = call.kind {
        all.push(Mutation::Function(if function == Unary::Tanh { Unary::Sigmoid } else { Unary::Tanh }));
    }
    if mode == Write::Add {
        all.push(Mutation::SetForAdd);
    }
    all
}

/// The plan with one call broken at a place.
fn mutated(plan: &Plan, at: usize, write: usize, mutation: Mutation) -> Plan {
    let mut plan = plan.clone();
    match (mutation, &mut plan.calls[at].kind) {
        (_, Kind::ScalarProgram(program)) => break_step(&mut program.step[write], mutation),
        (Mutation::Function(other), Kind::UnaryGrad { function, .. }) => *function = other,
        (Mutation::Value(other), Kind::Fill { value, .. }) => *value = other,
        (Mutation::SetForAdd, _) => plan.calls[at].writes[write].1 = Write::Set,
        (Mutation::Factor(factor), _) => scale_result(&mut plan, at, write, factor),
        _ => panic!("{mutation:?} does not fit {:?}", plan.calls[at].kind),
    }
    plan
}

/// Sends a result to scratch of its own, and from there, times a factor, to where it belongs.
fn scale_result(plan: &mut Plan, at: usize, write: usize, factor: f32) {
    let (target, mode) = plan.calls[at].writes[write];
    let layout = &mut plan.workspace;
    let (offset, len) = (layout.bytes, target.elements());
    layout.slots.push(Slot { name: "mutated".into(), dtype: Dtype::Real, len, offset });
    layout.bytes += (len * layout.real_bytes).next_multiple_of(64);
    let buffer = BufferId { place: Place::Workspace, index: layout.slots.len() - 1 };
    let scratch = Region { buffer, offset: 0, count: target.count, len: target.len, stride: target.len };
    plan.calls[at].writes[write] = (scratch, Write::Set);
    let kind = Kind::Scale { elements: len as u32, factor };
    let label = plan.calls[at].label.clone();
    plan.calls.insert(at + 1, Call { kind, label, reads: vec![scratch], writes: vec![(target, mode)] });
}

/// Calls of the reverse pass: those that work for a gradient.
fn reverse_calls(plan: &Plan) -> Vec<usize> {
    let is_program = |call: &Call| matches!(call.kind, Kind::ScalarProgram(_));
    let is_reverse =
        |call: &Call| if is_program(call) { !places(plan, call).is_empty() } else { call.label.starts_with("d.") };
    (0..plan.calls.len()).filter(|&at| is_reverse(&plan.calls[at])).collect()
}

fn caught(prepared: &Prepared, plan: Plan) -> bool {
    prepared.rows(&[plan]).unwrap().iter().any(|row| !row.passes(TOLERANCE))
}

/// Breaks everything in a case; returns the mutants that the check let pass, and counts those that it caught by kind.
fn survivors(case: &Case, caught_by_kind: &mut BTreeMap<&'static str, usize>) -> Vec<String> {
    let prepared = Prepared::new(case, SEED).unwrap();
    let mut survivors = Vec::new();
    for (plan, fused) in prepared.plans.iter().zip(["unfused", "fused"]) {
        assert!(!caught(&prepared, plan.clone()), "{} {}: fails without a mutation", case.op, case.name);
        for at in reverse_calls(plan) {
            let call = &plan.calls[at];
            for place in places(plan, call) {
                for mutation in mutations(plan, call, place) {
                    let kind = caught_by_kind.entry(call.kind.name()).or_default();
                    if caught(&prepared, mutated(plan, at, place, mutation)) {
                        *kind += 1;
                    } else {
                        let (op, name, label, kind) = (&case.op, &case.name, &call.label, call.kind.name());
                        survivors.push(format!("{op} ({name}, {fused}): {mutation:?} of {kind} for {label}"));
                    }
                }
            }
        }
    }
    survivors
}

/// Names of kernels in the list of calls that compute gradients.
fn gradient_kinds() -> Vec<&'static str> {
    let quoted = include_str!("../src/call/kind.rs").split('"').skip(1).step_by(2);
    quoted.filter(|name| name.contains("_grad") && !name.contains(' ')).collect()
}

#[test]
fn every_mutant_of_every_op_is_caught() {
    let mut caught_by_kind = BTreeMap::new();
    // Cases at odd sizes compare a few elements only: they are there for kernels.
    let ops = gradcheck::ops_cases().into_iter().filter(|case| case.limit == usize::MAX);
    let survivors: Vec<String> = ops.flat_map(|case| survivors(&case, &mut caught_by_kind)).collect();
    println!("{caught_by_kind:#?}");
    assert!(survivors.is_empty(), "{} mutants pass:\n{}", survivors.len(), survivors.join("\n"));
    let kinds = gradient_kinds();
    assert!(kinds.len() > 15, "the list of calls reads {kinds:?}");
    for kind in kinds {
        assert!(caught_by_kind.get(kind).is_some_and(|&caught| caught > 0), "no mutant of {kind} was made and caught");
    }
}

#[test]
fn every_mutant_of_whole_models_is_caught() {
    let mut caught_by_kind = BTreeMap::new();
    let chosen = [
        "lenet map",
        "lenet bbh sliced full",
        "mlp bbh shared per-weight mc",
        "lenet bbh layer-wise full mc independent",
    ];
    let models: Vec<Case> = gradcheck::cases().into_iter().filter(|case| chosen.contains(&case.op.as_str())).collect();
    assert_eq!(models.len(), chosen.len());
    let survivors: Vec<String> = models.iter().flat_map(|case| survivors(case, &mut caught_by_kind)).collect();
    println!("{caught_by_kind:#?}");
    assert!(survivors.is_empty(), "{} mutants pass:\n{}", survivors.len(), survivors.join("\n"));
}

/// Every call of a reverse pass of any model is of a kind whose mutants the ops' test catches.
#[test]
fn models_use_no_call_that_no_op_case_breaks() {
    let kinds = |model: bool| {
        let cases = gradcheck::cases().into_iter().filter(move |case| case.op.contains(' ') == model);
        let mut kinds = std::collections::BTreeSet::new();
        for case in cases.map(|case| Case { limit: 0, ..case }) {
            for plan in Prepared::new(&case, SEED).unwrap().plans {
                kinds.extend(reverse_calls(&plan).into_iter().map(|at| plan.calls[at].kind.name()));
            }
        }
        kinds
    };
    let (models, ops) = (kinds(true), kinds(false));
    assert!(models.is_subset(&ops), "{:?}", models.difference(&ops).collect::<Vec<_>>());
}

/// Memory of the first run must not hide that a gradient is added to instead of set.
#[test]
fn an_add_for_a_set_is_caught() {
    let case = gradcheck::cases().into_iter().find(|case| case.op == "tanh").unwrap();
    let rows = gradcheck::check_case(&case, SEED, &mut |plan| {
        let at = *reverse_calls(plan).last().unwrap();
        plan.calls[at].writes[0].1 = Write::Add;
    });
    assert!(!rows.unwrap()[0].passes(TOLERANCE));
}

#[test]
fn a_gradient_that_is_not_a_number_is_caught() {
    let case = gradcheck::cases().into_iter().find(|case| case.op == "tanh").unwrap();
    let rows = gradcheck::check_case(&case, SEED, &mut |plan| {
        let at = *reverse_calls(plan).last().unwrap();
        *plan = mutated(plan, at, 0, Mutation::Factor(f32::NAN));
    });
    let rows = rows.unwrap();
    assert!(!rows[0].passes(f64::MAX / 2.0) && rows[0].worst == f64::MAX, "{rows:?}");
}
