//! The CUDA backend's memory and execution: one allocation, each plan captured on its first run and replayed from then on.

use super::ceilings;
use super::launch::{Address, Graph, Launch, Launcher};
use super::lower;
use super::lowering::{Addresses, Lowering, Math};
use crate::backend::{Backend, Ceilings};
use crate::call::{Call, Dtype, Place, Region};
use crate::graph::{Layout, Store};
use crate::plan::{Plan, bytes};
use crate::{Error, Result};
use std::borrow::Cow;

/// Memory and execution of plans over one store, on a device that `L` reaches.
pub struct Cuda<L> {
    launcher: L,
    persistent: (Address, Layout),
    workspace: Address,
    math: Math,
    plans: Vec<Lowered>,
}

/// A plan as launches.
struct Lowered {
    name: String,
    workspace: Layout,
    /// The launches of each call.
    calls: Vec<Vec<Launch>>,
    graph: Option<Graph>,
}

impl<L: Launcher> Cuda<L> {
    /// One zeroed allocation for a store, the largest workspace of its plans (they run one at a time) and the largest scratch
    /// of their calls.
    ///
    /// # Errors
    /// When the device has not as much memory, or two plans have one name.
    pub fn new(mut launcher: L, store: &Store, plans: &[&Plan], math: Math) -> Result<Self> {
        let layout = store.layout(size_of::<f32>());
        for (index, plan) in plans.iter().enumerate() {
            if plans[..index].iter().any(|other| other.name == plan.name) {
                return Err(Error::run(format!("two plans of one device are called {}; rename one", plan.name)));
            }
        }
        let persistent = layout.bytes.next_multiple_of(ALIGNMENT);
        let workspace = plans.iter().map(|plan| plan.workspace.bytes).max().unwrap_or(0).next_multiple_of(ALIGNMENT);
        let scratch = plans.iter().map(|plan| scratch_bytes(&layout, plan, math)).max().unwrap_or(0);
        let total = persistent + workspace + scratch;
        let base = launcher.allocate(total.max(ALIGNMENT)).map_err(|error| {
            Error::run(format!(
                "{error}; {} are needed at once: use a smaller --batch, --samples or generator",
                bytes(total)
            ))
        })?;
        let workspace_address = base + persistent as Address;
        let scratch_address = workspace_address + workspace as Address;
        let lowered = |plan: &&Plan| {
            let addresses = Addresses {
                persistent: (base, &layout),
                workspace: (workspace_address, &plan.workspace),
                scratch: scratch_address,
            };
            let calls = plan.calls.iter().map(|call| {
                let mut lowering = Lowering::new(&addresses, call, math);
                lower(&mut lowering);
                lowering.launches
            });
            Lowered { name: plan.name.clone(), workspace: plan.workspace.clone(), calls: calls.collect(), graph: None }
        };
        let plans: Vec<Lowered> = plans.iter().map(lowered).collect();
        for launch in plans.iter().flat_map(|plan| plan.calls.iter().flatten()) {
            launcher.prepare(launch.kernel, launch.shared)?;
        }
        Ok(Self { launcher, persistent: (base, layout), workspace: workspace_address, math, plans })
    }

    fn lowered(&self, plan: &Plan) -> Result<&Lowered> {
        self.plans.iter().find(|lowered| lowered.name == plan.name).ok_or_else(|| unknown(plan))
    }

    /// Address and bytes of a region without gaps.
    fn place(&self, plan: Option<&Plan>, region: &Region) -> Result<(Address, usize)> {
        let (base, layout) = match (region.buffer.place, plan) {
            (Place::Persistent, _) => (self.persistent.0, &self.persistent.1),
            (Place::Workspace, Some(plan)) => (self.workspace, &self.lowered(plan)?.workspace),
            (Place::Workspace, None) => return Err(Error::run("a workspace region was named without its plan")),
        };
        let bytes = layout.bytes_of(region);
        Ok((base + bytes.start as Address, bytes.len()))
    }
}

impl<L: Launcher> Backend for Cuda<L> {
    fn run(&mut self, plan: &Plan) -> Result<()> {
        let index = self.plans.iter().position(|lowered| lowered.name == plan.name).ok_or_else(|| unknown(plan))?;
        if !self.launcher.captures() {
            return (0..plan.calls.len()).try_for_each(|call| self.run_one(plan, call));
        }
        let lowered = &mut self.plans[index];
        let graph = match lowered.graph {
            Some(graph) => graph,
            None => *lowered.graph.insert(capture(&mut self.launcher, plan, &lowered.calls)?),
        };
        self.launcher.replay(graph)
    }

    fn run_one(&mut self, plan: &Plan, index: usize) -> Result<()> {
        let lowered = self.plans.iter().find(|lowered| lowered.name == plan.name).ok_or_else(|| unknown(plan))?;
        launch_call(&mut self.launcher, &plan.calls[index], &lowered.calls[index])
    }

    fn bytes(&self, plan: Option<&Plan>, region: Region) -> Result<Cow<'_, [u8]>> {
        let (address, size) = self.place(plan, &region)?;
        let mut bytes = vec![0; size];
        self.launcher.read(address, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    fn write_bytes(&mut self, region: Region, bytes: &[u8]) -> Result<()> {
        let (address, size) = self.place(None, &region)?;
        assert_eq!(size, bytes.len(), "bytes of a region");
        self.launcher.write(address, bytes)
    }

    fn time(&mut self, plan: &Plan, call: Option<usize>, cold: bool) -> Result<Option<f64>> {
        if call.is_none() && !cold && self.launcher.captures() {
            // While the device is busy with one replay the host hands it the next: what is timed is not the way to the device.
            self.run(plan)?;
        }
        self.launcher.start_timer(cold)?;
        match call {
            Some(index) => self.run_one(plan, index)?,
            None => self.run(plan)?,
        }
        self.launcher.stop_timer()
    }

    fn launches(&self, plan: &Plan, index: usize) -> usize {
        self.lowered(plan).map_or(0, |lowered| lowered.calls[index].len())
    }

    fn math(&self) -> Math {
        self.math
    }

    fn ceilings(&mut self) -> Result<Option<Ceilings>> {
        ceilings::measure(&mut self.launcher)
    }

    fn dtype(&self, plan: &Plan, region: &Region) -> Dtype {
        match region.buffer.place {
            Place::Persistent => self.persistent.1.slots[region.buffer.index].dtype,
            Place::Workspace => plan.workspace.slots[region.buffer.index].dtype,
        }
    }
}

/// Captures the launches of a plan's calls.
fn capture<L: Launcher>(launcher: &mut L, plan: &Plan, calls: &[Vec<Launch>]) -> Result<Graph> {
    launcher.begin_capture()?;
    let captured = plan.calls.iter().zip(calls).try_for_each(|(call, launches)| launch_call(launcher, call, launches));
    let graph = launcher.end_capture();
    captured.and(graph)
}

/// Launches a call under its name.
fn launch_call<L: Launcher>(launcher: &mut L, call: &Call, launches: &[Launch]) -> Result<()> {
    launcher.begin_range(call.kind.name());
    let launched = launches.iter().try_for_each(|launch| launcher.launch(launch));
    launcher.end_range();
    launched
}

/// Alignment of the parts of the allocation, bytes.
const ALIGNMENT: usize = 256;

/// Most scratch that a call of the plan asks for.
fn scratch_bytes(layout: &Layout, plan: &Plan, math: Math) -> usize {
    let addresses = Addresses { persistent: (0, layout), workspace: (0, &plan.workspace), scratch: 0 };
    let of_call = |call| {
        let mut lowering = Lowering::new(&addresses, call, math);
        lower(&mut lowering);
        lowering.scratch_bytes
    };
    plan.calls.iter().map(of_call).max().unwrap_or(0)
}

fn unknown(plan: &Plan) -> Error {
    Error::run(format!("the device was not made for plan {}", plan.name))
}
