//! One kernel by name: its letters, and a small plan that contains its call.

mod graphs;
mod list;

pub use list::text as list;

use crate::backend::Backend;
use crate::call::{Dtype, Moments, Optimizer, scalar, word};
use crate::graph::{Graph, Store, TensorId};
use crate::plan::{Plan, Request};
use crate::train::initialise;
use crate::{Error, Result};
use graphs::Built;
use list::{Entry, KERNELS, Mode};

/// Most multiply-adds of a shape, all letters multiplied and K twice: keeps every product of sizes far below an overflow.
const MOST_WORK: u128 = 1 << 42;

/// Name of the gradient at a target.
const SEED: &str = "seed";

/// A kernel with a size for each of its letters.
#[derive(Clone, Debug)]
pub struct Shape {
    name: &'static str,
    mode: Mode,
    entry: &'static Entry,
    sizes: Vec<(char, usize)>,
}

impl Shape {
    /// The kernel called `name` with sizes `S=5,N=100,...`; letters left out have LeNet's sizes.
    ///
    /// # Errors
    /// When there is no such kernel, it has no such letter, or a size is no number from 1 on.
    pub fn new(name: &str, sizes: Option<&str>) -> Result<Self> {
        let known = KERNELS.iter().find_map(|entry| {
            let &(name, mode) = entry.kernels.iter().find(|kernel| kernel.0 == name)?;
            Some((name, mode, entry))
        });
        let Some((name, mode, entry)) = known else {
            let names: Vec<&str> = KERNELS.iter().flat_map(|entry| entry.kernels).map(|kernel| kernel.0).collect();
            return Err(Error::input(format!("kernel: expected one of {}, found {name}", names.join(", "))));
        };
        let mut shape = Self { name, mode, entry, sizes: entry.letters.to_vec() };
        sizes.into_iter().flat_map(|sizes| sizes.split(',')).try_for_each(|size| shape.set(size))?;
        let k = shape.sizes.iter().filter(|size| size.0 == 'K').map(|size| size.1);
        let work = shape
            .sizes
            .iter()
            .map(|size| size.1)
            .chain(k)
            .try_fold(1_u128, |work, size| Some(work * size as u128).filter(|&work| work <= MOST_WORK));
        if work.is_none() {
            return Err(Error::input(format!("shape: {} is too large; the default is {}", shape.text(), entry.text())));
        }
        Ok(shape)
    }

    /// Name of the kernel.
    pub fn kernel(&self) -> &'static str {
        self.name
    }

    /// `S=5,N=100`
    fn text(&self) -> String {
        list::sizes(&self.sizes)
    }

    /// Takes one KEY=VALUE.
    fn set(&mut self, text: &str) -> Result<()> {
        let refused = || {
            let (name, expected) = (self.name, self.entry.text());
            Error::input(format!(
                "shape: {name} takes LETTER=SIZE of {expected}, sizes from 1 to 4294967295; found {text}"
            ))
        };
        let (letter, size) = text.split_once('=').ok_or_else(refused)?;
        let size = size.trim().parse::<u32>().ok().filter(|&size| size > 0).ok_or_else(refused)?;
        let named = |known: &(char, usize)| letter.trim().chars().eq([known.0]);
        let place = self.sizes.iter().position(named).ok_or_else(refused)?;
        self.sizes[place].1 = size as usize;
        Ok(())
    }
}

/// A store, a plan over it that contains the kernel's call, and the index of that call.
///
/// # Errors
/// When the sizes do not fit together, or the engine computes this shape by another call.
pub fn plan(shape: &Shape) -> Result<(Store, Plan, usize)> {
    let mut store = Store::new();
    let mut g = Graph::new(&mut store);
    let Built { output, arguments } = (shape.entry.build)(&mut g, &graphs::Sizes(&shape.sizes))?;
    let seed = match shape.mode {
        Mode::Forward => None,
        _ if g.shape(output).elements() == 1 => None,
        _ => Some(seed(&mut g, output)?),
    };
    let targets = [(output, seed)];
    let optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, moments: Moments::Fp32 };
    let plain = Request { name: shape.name, no_grouping: true, ..Request::default() };
    let request = match shape.mode {
        Mode::Forward => Request { keep: &[output], ..plain },
        Mode::Gradient => Request { targets: &targets, gradients: &arguments, ..plain },
        Mode::Update => Request { targets: &targets, optimizer: Some(optimizer), ..plain },
        Mode::Clip => Request { targets: &targets, optimizer: Some(optimizer), clip: Some(1.0), ..plain },
    };
    let plan = Plan::build(g, &request, size_of::<f32>())?;
    let index = plan.calls.iter().position(|call| call.kind.name() == shape.name).ok_or_else(|| {
        let (name, sizes, condition) = (shape.name, shape.text(), shape.entry.condition);
        Error::input(format!("shape: {name} does not run for {sizes}; it needs {condition}"))
    })?;
    Ok((store, plan, index))
}

/// The gradient at a target, as a persistent tensor.
fn seed(g: &mut Graph, output: TensorId) -> Result<TensorId> {
    let shape = g.shape(output).clone();
    let region = g.store.buffer(SEED, Dtype::Real, shape.elements())?;
    Ok(g.persistent(SEED, shape, Dtype::Real, region))
}

/// Values of what the plan of a kernel reads: its arguments as their `Init` says, gradients and row weights 1, step 1.
///
/// # Errors
/// When the device fails.
pub fn fill(store: &Store, device: &mut dyn Backend) -> Result<()> {
    initialise(store, device, 0)?;
    let mut words = [0_u32; word::COUNT];
    words[word::STEP] = 1;
    device.write(store.words(), &words)?;
    let mut scalars = [1_f32; scalar::COUNT];
    scalars[scalar::LEARNING_RATE] = 1e-3;
    device.write(store.scalars(), &scalars)?;
    for region in [SEED, graphs::ROW_WEIGHTS].into_iter().filter_map(|name| store.find(name).ok()) {
        device.write(region, &vec![1_f32; region.len])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, sizes: &str, part: &str) {
        let error = Shape::new(name, Some(sizes)).and_then(|shape| plan(&shape).map(|_| ())).expect_err(sizes);
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }

    /// Small enough to plan all of them, large enough for each.
    fn small(shape: &mut Shape) {
        for (letter, size) in &mut shape.sizes {
            *size = match letter {
                'H' | 'W' => 8,
                'O' if shape.name == "linear_rank_update" => 16_384,
                'I' if shape.name == "linear_rank_update" => 64,
                _ => 2,
            };
        }
    }

    #[test]
    fn every_kernel_of_the_list_has_a_plan_with_its_call() {
        for &(name, _) in KERNELS.iter().flat_map(|entry| entry.kernels) {
            let mut shape = Shape::new(name, None).expect("a known name");
            small(&mut shape);
            let (_, plan, index) = plan(&shape).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(plan.calls[index].kind.name(), name);
        }
    }

    /// The table of kinds is the list of what can be asked for, but for the bookkeeping of a step and for calls that the
    /// planner joins from several nodes.
    #[test]
    fn every_kind_of_call_can_be_asked_for() {
        let not_alone = [
            "accumulate_metrics",
            "advance_step",
            "fill",
            "linear_group",
            "linear_group_grad",
            "scalar_program",
            "scale_group",
        ];
        let quoted = include_str!("../../call/kind.rs").split("=> \"").skip(1);
        let kinds: Vec<&str> = quoted.filter_map(|rest| rest.split('"').next()).collect();
        assert!(kinds.len() > 40, "{kinds:?}");
        for kind in kinds.into_iter().filter(|kind| !not_alone.contains(kind)) {
            Shape::new(kind, None).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn sizes_replace_the_defaults_of_their_letters() {
        let shape = Shape::new("conv2d", Some("N=7, K=3")).expect("two letters");
        assert_eq!(shape.text(), "S=5,N=7,C=20,H=12,W=12,O=50,K=3");
        let (_, plan, index) = plan(&shape).expect("a plan");
        assert_eq!(plan.calls[index].kind.shape(), "S5 N7 20x12x12 O50 K3");
    }

    #[test]
    fn shapes_that_no_kernel_has_are_refused_with_what_is_there() {
        refused("gemm", "S=1", "linear_rank_update");
        for sizes in ["Q=3", "S=0", "S", "S=x", "S=-1", "S=4294967296", "", "NN=1", "S=1;N=2"] {
            refused("linear", sizes, "S=5,N=100,I=800,O=500");
        }
        refused("linear", "S=4000000000,I=4000000000", "too large");
        refused("linear", "S=1,N=1,I=65536,O=131072", "4294967295");
        refused("conv2d", "H=4", "K, K");
        refused("linear_rank_update", "N=17", "at most 16");
        refused("linear_rank_update", "I=2,O=2", "1048576");
        refused("pairwise_distances", "S=1", "2 to 16");
    }
}
