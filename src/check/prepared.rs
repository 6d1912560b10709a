//! A case made ready: its plans, its values, and the derivatives that finite differences expect.

use super::case::{Built, Case, Constant, chosen, seeds, start};

use super::difference::{Derivative, Function};
use super::parity::round;
use super::report::{Comparison, Row, floor};
use crate::Result;
use crate::backend::cpu::Cpu;
use crate::backend::cuda::Math;
use crate::call::{Dtype, Region, word};
use crate::graph::{Graph, Source, Store, TensorId};
use crate::plan::{Plan, Request};

/// Step and seed of all noise in a case: it does not move.
const WORDS: [u32; word::COUNT] = [1, 20_171_103, 1297, 0];

/// A case with expected derivatives, against which any number of (mutated) plans can be held.
pub struct Prepared {
    /// The op and the case, for messages.
    pub op: String,
    pub name: String,
    /// Gradient plans: nodes as they were said, and fused. Both return the gradients of all parameters in their order.
    pub plans: [Plan; 2],
    /// The case's output, kept.
    pub(super) forward: Plan,
    /// What each element of the output counts.
    pub(super) seeds: Vec<f64>,
    pub(super) store: Store,
    pub(super) values: Vec<Constant>,
    /// Sum of the sizes of the terms of the output.
    scale: f64,
    pub(super) arguments: Vec<Argument>,
}

/// One parameter and its expected derivatives.
pub(super) struct Argument {
    pub name: String,
    /// (index, derivative); `None` where every step straddles a kink.
    pub expected: Vec<(usize, Option<f64>)>,
}

/// Most noise of a derivative that is compared, in parts of what its error is measured against. The noise is an upper
/// estimate, several times what is seen.
const RESOLUTION: f64 = 2e-6;

/// Draws of a case's values before an argument that has no point to compare is let be.
const DRAWS: u64 = 4;

impl Prepared {
    /// Builds the plans of a case and takes its differences. Values of which some argument has only points on a kink are
    /// drawn again, a few times.
    ///
    /// # Errors
    /// When the case's graph or plans cannot be built.
    pub fn new(case: &Case, seed: u64) -> Result<Self> {
        let mut prepared = Self::draw(case, seed)?;
        for again in 1..DRAWS {
            let complete = prepared.arguments.iter().all(|argument| argument.expected.iter().any(|e| e.1.is_some()));
            if complete || case.limit == 0 {
                break;
            }
            prepared = Self::draw(case, seed.wrapping_add(again << 32))?;
        }
        Ok(prepared)
    }

    fn draw(case: &Case, seed: u64) -> Result<Self> {
        let mut store = Store::new();
        let mut graph = Graph::new(&mut store);
        let built = (case.build)(&mut graph)?;
        let count = graph.shape(built.output).elements();
        let seeds = if case.seeded { seeds(seed, count) } else { vec![1.0; count] };
        let request = Request { name: "forward", keep: &[built.output], no_fusion: true, ..Request::default() };
        let forward = Plan::build(graph, &request, size_of::<f64>())?;
        let mut constants = built.constants;
        let plans = [gradient_plan(case, &mut store, true)?, gradient_plan(case, &mut store, false)?];
        if case.seeded {
            constants.push(Constant::Real(store.buffer("seed", Dtype::Real, count)?, seeds.clone()));
        }
        constants.push(Constant::Words(store.words(), WORDS.to_vec()));
        let parameters = store.parameters().iter().map(|p| Constant::Real(p.region, start(seed, p)));
        let values: Vec<Constant> = parameters.chain(constants).collect();
        let mut device = Cpu::<f64>::new(&store, &[&forward])?;
        fill(&mut device, &values);
        let output = forward.kept[0];
        let mut function = Function { device: &mut device, plan: &forward, output, seeds: &seeds };
        let scale = function.scale();
        let arguments = store.parameters().iter().map(|parameter| {
            let element =
                |index: usize| Region::contiguous(parameter.region.buffer, parameter.region.offset + index, 1);
            let indices = chosen(seed, &parameter.name, parameter.region.len, case.limit);
            let derivatives = indices.iter().map(|&index| (index, function.derivative(element(index), scale)));
            (parameter.name.clone(), derivatives.collect())
        });
        let arguments = resolved(arguments.collect(), scale);
        let (op, name) = (case.op.clone(), case.name.clone());
        Ok(Self { op, name, plans, forward, seeds, store, values, scale, arguments })
    }

    /// Runs gradient plans of this case (its own or mutated ones) and compares what they return.
    ///
    /// # Errors
    /// When the machine refuses the memory.
    pub fn rows(&self, plans: &[Plan]) -> Result<Vec<Row>> {
        let mut gradients = Vec::with_capacity(plans.len());
        for plan in plans {
            gradients.push(self.gradients(plan)?);
        }
        Ok(self.compare(&gradients))
    }

    /// Gradients of all arguments, as the second run of a plan leaves them: what the first left behind must not matter.
    pub(super) fn gradients(&self, plan: &Plan) -> Result<Vec<Vec<f64>>> {
        let mut device = self.device(&[plan])?;
        for _ in 0..2 {
            for &gradient in &plan.gradients {
                device.persistent_mut::<f64>(gradient).fill(f64::NAN);
            }
            device.run(plan);
        }
        Ok(plan.gradients.iter().map(|&gradient| device.read::<f64>(plan, gradient).to_vec()).collect())
    }

    /// Rounds all real values to bf16, so that whatever the tensor cores round them to, a first product of them is exact.
    pub fn round_values(&mut self) {
        let rounded = |value: f64| f64::from(round(value as f32, Math::Bf16));
        for value in &mut self.values {
            if let Constant::Real(_, values) = value {
                values.iter_mut().for_each(|value| *value = rounded(*value));
            }
        }
        self.seeds.iter_mut().for_each(|seed| *seed = rounded(*seed));
    }

    /// A device that holds the values of the case.
    pub(super) fn device(&self, plans: &[&Plan]) -> Result<Cpu<f64>> {
        let mut device = Cpu::<f64>::new(&self.store, plans)?;
        fill(&mut device, &self.values);
        Ok(device)
    }

    /// One row for each argument; `gradients` holds all arguments' for each plan.
    pub(super) fn compare(&self, gradients: &[Vec<Vec<f64>>]) -> Vec<Row> {
        let case_largest = self.arguments.iter().map(Argument::largest).fold(0.0, f64::max);
        let rows = self.arguments.iter().enumerate().map(|(index, argument)| {
            let got: Vec<&[f64]> = gradients.iter().map(|all| all[index].as_slice()).collect();
            let comparison = Comparison {
                expected: &argument.expected,
                largest: argument.largest(),
                case_largest,
                scale: self.scale,
            };
            comparison.row((&self.op, &self.name, &argument.name), &got)
        });
        rows.collect()
    }
}

impl Argument {
    fn largest(&self) -> f64 {
        self.expected.iter().filter_map(|(_, expected)| *expected).fold(0.0, |largest, d| largest.max(d.abs()))
    }
}

/// Indices of an argument with the differences found there.
type Differences = Vec<(usize, Option<Derivative>)>;

/// Leaves out derivatives that rounding moves by more than they are compared to: near a kink only steps are left that are
/// too small for them.
fn resolved(arguments: Vec<(String, Differences)>, scale: f64) -> Vec<Argument> {
    let size = |derivative: &Option<Derivative>| derivative.map_or(0.0, |d| d.value.abs());
    let largest = |all: &[(usize, Option<Derivative>)]| all.iter().map(|(_, d)| size(d)).fold(0.0, f64::max);
    let case_largest = arguments.iter().map(|(_, all)| largest(all)).fold(0.0, f64::max);
    let argument = |(name, all): (String, Differences)| {
        let floor = floor(largest(&all), case_largest, scale);
        let resolves = |d: &Derivative| d.noise <= RESOLUTION * d.value.abs().max(floor);
        let expected = all.into_iter().map(|(index, d)| (index, d.filter(resolves).map(|d| d.value))).collect();
        Argument { name, expected }
    };
    arguments.into_iter().map(argument).collect()
}

/// Prepares a case and compares its plans after `mutate` has had them, unfused and fused: a hook for tests that plant errors.
///
/// # Errors
/// As [`Prepared::new`].
pub fn check_case(case: &Case, seed: u64, mutate: &mut dyn FnMut(&mut Plan)) -> Result<Vec<Row>> {
    let prepared = Prepared::new(case, seed)?;
    let mut plans = prepared.plans.clone();
    plans.iter_mut().for_each(mutate);
    prepared.rows(&plans)
}

fn gradient_plan(case: &Case, store: &mut Store, no_fusion: bool) -> Result<Plan> {
    let mut graph = Graph::new(store);
    let Built { output, .. } = (case.build)(&mut graph)?;
    let seed = if case.seeded { Some(seed_tensor(&mut graph, output)?) } else { None };
    let request = Request {
        name: &format!("{} {}{}", case.op, case.name, if no_fusion { ", unfused" } else { "" }),
        targets: &[(output, seed)],
        gradients: &parameters(&graph),
        no_fusion,
        ..Request::default()
    };
    Plan::build(graph, &request, size_of::<f64>())
}

pub(super) fn seed_tensor(graph: &mut Graph, output: TensorId) -> Result<TensorId> {
    let shape = graph.shape(output).clone();
    let region = graph.store.buffer("seed", Dtype::Real, shape.elements())?;
    Ok(graph.persistent("seed", shape, Dtype::Real, region))
}

/// The tensors of the store's parameters, in the store's order.
pub(super) fn parameters(graph: &Graph) -> Vec<TensorId> {
    let tensor = |parameter: usize| graph.tensors.iter().position(|t| t.source == Source::Parameter(parameter));
    (0..graph.store.parameters().len()).filter_map(tensor).map(TensorId).collect()
}

fn fill(device: &mut Cpu<f64>, values: &[Constant]) {
    for value in values {
        match value {
            Constant::Real(region, values) => device.persistent_mut::<f64>(*region).copy_from_slice(values),
            Constant::Words(region, values) => device.persistent_mut::<u32>(*region).copy_from_slice(values),
        }
    }
}
