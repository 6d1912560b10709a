//! Checks a finished plan: every region inside its buffer, every element written before it is read, one Set per element of
//! a gradient, no overlap between what a call writes and what else it touches, live buffers disjoint in the arena.

use super::Plan;
use crate::call::{Call, Place, Region, Write};
use crate::graph::{Intervals, Layout, Slot, Store};
use crate::{Error, Result};

impl Plan {
    /// Verifies the plan over its store, as building it did.
    ///
    /// # Errors
    /// A sentence that names the call and the buffer.
    pub fn verify(&self, store: &Store) -> Result<()> {
        run(self, store)
    }
}

/// Verifies a plan over its store.
///
/// # Errors
/// A sentence that names the call and the buffer.
pub fn run(plan: &Plan, store: &Store) -> Result<()> {
    let mut state = State::new(plan, store);
    for (at, call) in plan.calls.iter().enumerate() {
        state.overlaps(call)?;
        for region in &call.reads {
            state.read(at, call, region)?;
        }
        for (region, write) in &call.writes {
            if *write != Write::Set {
                state.read(at, call, region)?;
            }
        }
        for (region, write) in &call.writes {
            state.write(at, call, region, *write)?;
        }
    }
    for region in plan.kept.iter().chain(&plan.gradients) {
        state.host_read(region)?;
    }
    Ok(())
}

struct State<'p> {
    plan: &'p Plan,
    store: &'p Store,
    /// Elements of each workspace buffer that hold its current value.
    workspace: Vec<Intervals>,
    /// The same for the persistent gradients.
    gradients: Vec<Intervals>,
    persistent_len: Vec<usize>,
    /// Workspace buffers that share bytes with each workspace buffer: writing one destroys the others.
    neighbours: Vec<Vec<usize>>,
}

impl<'p> State<'p> {
    fn new(plan: &'p Plan, store: &'p Store) -> Self {
        let layout = store.layout(plan.workspace.real_bytes);
        let mut gradients = vec![Intervals::default(); layout.slots.len()];
        for (index, set) in gradients.iter_mut().enumerate() {
            let id = crate::call::BufferId { place: Place::Persistent, index };
            if store.is_transient(id) {
                padding(store, id, layout.slots[index].len, set);
            } else {
                set.insert(0, layout.slots[index].len);
            }
        }
        Self {
            plan,
            store,
            workspace: vec![Intervals::default(); plan.workspace.slots.len()],
            gradients,
            persistent_len: layout.slots.iter().map(|slot| slot.len).collect(),
            neighbours: neighbours(&plan.workspace),
        }
    }

    fn written(&mut self, region: &Region) -> &mut Intervals {
        match region.buffer.place {
            Place::Workspace => &mut self.workspace[region.buffer.index],
            Place::Persistent => &mut self.gradients[region.buffer.index],
        }
    }

    fn name(&self, region: &Region) -> String {
        buffer_name(self.plan, self.store, region)
    }

    fn fail(&self, at: usize, call: &Call, region: &Region, what: &str) -> Error {
        Error::run(format!(
            "plan {}: call {at} ({} of {}) {what} {}; this is a defect of the engine, please report it",
            self.plan.name,
            call.kind.name(),
            call.label,
            self.name(region)
        ))
    }

    fn read(&mut self, at: usize, call: &Call, region: &Region) -> Result<()> {
        self.inside(at, call, region)?;
        let complete = region.intervals().all(|(start, end)| self.written(region).contains(start, end));
        if !complete {
            return Err(self.fail(at, call, region, "reads elements that no call has written, of"));
        }
        Ok(())
    }

    fn write(&mut self, at: usize, call: &Call, region: &Region, write: Write) -> Result<()> {
        self.inside(at, call, region)?;
        if write != Write::Update && self.store.is_weights(region.buffer) {
            return Err(self.fail(at, call, region, "overwrites the parameters in"));
        }
        if write == Write::Set {
            let gradient = region.buffer.place == Place::Workspace || self.store.is_transient(region.buffer);
            if gradient && region.intervals().any(|(start, end)| self.written(region).touches(start, end)) {
                return Err(self.fail(at, call, region, "sets a second time"));
            }
        }
        for (start, end) in region.intervals() {
            self.written(region).insert(start, end);
        }
        if region.buffer.place == Place::Workspace {
            for &other in &self.neighbours[region.buffer.index] {
                self.workspace[other] = Intervals::default();
            }
        }
        Ok(())
    }

    fn host_read(&mut self, region: &Region) -> Result<()> {
        if region.intervals().all(|(start, end)| self.written(region).contains(start, end)) {
            return Ok(());
        }
        Err(Error::run(format!("plan {}: {} is asked for but never written", self.plan.name, self.name(region))))
    }

    /// No element that a call writes may be in another of its regions, in its buffer or in bytes of the arena.
    fn overlaps(&self, call: &Call) -> Result<()> {
        for (index, (written, _)) in call.writes.iter().enumerate() {
            let others = call.writes.iter().enumerate().filter(|&(other, _)| other != index).map(|(_, write)| &write.0);
            for other in call.reads.iter().chain(others) {
                let workspace = written.buffer.place == Place::Workspace && other.buffer.place == Place::Workspace;
                let clash = written.touches(other)
                    || workspace && self.neighbours[written.buffer.index].contains(&other.buffer.index);
                if clash {
                    return Err(Error::run(format!(
                        "plan {}: {} of {} writes {} where it also uses {}; this is a defect of the engine, please report it",
                        self.plan.name,
                        call.kind.name(),
                        call.label,
                        self.name(written),
                        self.name(other)
                    )));
                }
            }
        }
        Ok(())
    }

    fn inside(&self, at: usize, call: &Call, region: &Region) -> Result<()> {
        let len = match region.buffer.place {
            Place::Workspace => self.plan.workspace.slots[region.buffer.index].len,
            Place::Persistent => self.persistent_len[region.buffer.index],
        };
        if region.count == 0 || region.len == 0 || region.offset + region.span() > len {
            return Err(self.fail(at, call, region, "leaves the bounds of"));
        }
        Ok(())
    }
}

/// Marks the elements between parameters, which the flat optimiser call touches, as written.
fn padding(store: &Store, id: crate::call::BufferId, len: usize, set: &mut Intervals) {
    let mut owned = Intervals::default();
    for parameter in store.parameters().iter().filter(|p| store.gradient_buffer(p) == id) {
        owned.insert(parameter.region.offset, parameter.region.offset + parameter.region.len);
    }
    for (start, end) in owned.gaps(0, len) {
        set.insert(start, end);
    }
}

/// For each workspace buffer those that share bytes of the arena with it.
fn neighbours(layout: &Layout) -> Vec<Vec<usize>> {
    let range = |slot: &Slot| (slot.offset, slot.offset + slot.len * layout.element_bytes(slot.dtype));
    let share = |a: &Slot, b: &Slot| range(a).0 < range(b).1 && range(b).0 < range(a).1;
    let others =
        |i: usize| (0..layout.slots.len()).filter(move |&j| j != i && share(&layout.slots[i], &layout.slots[j]));
    (0..layout.slots.len()).map(|i| others(i).collect()).collect()
}

fn buffer_name(plan: &Plan, store: &Store, region: &Region) -> String {
    match region.buffer.place {
        Place::Workspace => plan.workspace.slots[region.buffer.index].name.clone(),
        Place::Persistent => store.name(region.buffer).to_string(),
    }
}
