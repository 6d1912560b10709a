//! Small linear maps that do not depend on each other become one call, and so do the gradients of such maps, and tensors that are
//! scaled. The other calls keep their order as far as the groups allow.

use crate::call::{Call, Kind, LinearDims, LinearGroup, Region, ScaleGroup, Unary, Write};

/// Calls of one group: as many as any kind of group takes.
const MOST_MEMBERS: usize = 16;
const _: () = assert!(MOST_MEMBERS <= LinearGroup::MOST_MAPS && MOST_MEMBERS <= ScaleGroup::MOST_PARTS);

/// Joins calls; one note for each group.
pub fn run(calls: &mut Vec<Call>, notes: &mut Vec<String>) {
    let mut order = Order::of(calls);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut alone = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let Some(key) = Key::of(call) else {
            alone.push(vec![index]);
            continue;
        };
        let fits = |group: &&mut Vec<usize>| {
            group.len() < MOST_MEMBERS && Key::of(&calls[group[0]]) == Some(key) && order.independent(group[0], index)
        };
        match groups.iter_mut().find(fits) {
            Some(group) => {
                order.join(group, index);
                group.push(index);
            }
            None => groups.push(vec![index]),
        }
    }
    for group in groups.iter().filter(|group| group.len() > 1) {
        let labels: Vec<&str> = group.iter().map(|&index| calls[index].label.as_str()).collect();
        notes.push(format!("{}: {} grouped in one call", labels.join(", "), calls[group[0]].kind.name()));
    }
    groups.append(&mut alone);
    *calls = order.sorted(groups).iter().map(|group| joined(calls, group)).collect();
}

/// What calls of one group have in common.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    Forward(Unary, bool),
    Grad(Unary, bool, bool),
    Scale,
}

impl Key {
    fn of(call: &Call) -> Option<Self> {
        match call.kind {
            Kind::LinearForward(d, function) if LinearGroup::takes(&d) && call.writes[0].1 == Write::Set => {
                Some(Self::Forward(function, d.bias == 1))
            }
            Kind::LinearGroupGrad { group, input_gradient } => {
                Some(Self::Grad(group.function, group.bias, input_gradient))
            }
            Kind::Scale { .. } => Some(Self::Scale),
            _ => None,
        }
    }
}

/// The calls of a group as one.
fn joined(calls: &[Call], group: &[usize]) -> Call {
    let mut members = group.iter().map(|&index| &calls[index]);
    let Some(first) = members.next().filter(|_| group.len() > 1) else { return calls[group[0]].clone() };
    let mut call = as_group(first);
    for member in members.map(as_group) {
        add_member(&mut call.kind, &member.kind);
        call.reads.extend(member.reads);
        call.writes.extend(member.writes);
    }
    call.label = format!("{} and {} more", first.label, group.len() - 1);
    call
}

/// A single call as a group of one.
fn as_group(call: &Call) -> Call {
    match call.kind {
        Kind::LinearForward(d, function) => map_as_group(call, &d, function),
        Kind::Scale { elements, factor } => {
            Call { kind: Kind::ScaleGroup(ScaleGroup::of(elements, factor)), ..call.clone() }
        }
        _ => call.clone(),
    }
}

fn map_as_group(call: &Call, d: &LinearDims, function: Unary) -> Call {
    let blocks = [d.rows as usize, d.outputs as usize, 1];
    let reads = call.reads.iter().zip(blocks).map(|(region, count)| region.in_blocks(count)).collect();
    let (y, write) = call.writes[0];
    Call {
        kind: Kind::LinearGroupForward(LinearGroup::of(d, function)),
        label: call.label.clone(),
        reads,
        writes: vec![(y.in_blocks(d.rows as usize), write)],
    }
}

fn add_member(kind: &mut Kind, member: &Kind) {
    match (kind, member) {
        (Kind::LinearGroupForward(group), Kind::LinearGroupForward(other))
        | (Kind::LinearGroupGrad { group, .. }, Kind::LinearGroupGrad { group: other, .. }) => {
            group.maps += other.maps;
            group.products += other.products;
        }
        (Kind::ScaleGroup(group), Kind::ScaleGroup(other)) => group.push(other),
        _ => unreachable!("calls of one key"),
    }
}

/// Which calls must run before which. Calls of a group have the same calls before and behind them.
struct Order {
    before: Vec<Set>,
}

impl Order {
    fn of(calls: &[Call]) -> Self {
        let mut before: Vec<Set> = Vec::with_capacity(calls.len());
        for (index, call) in calls.iter().enumerate() {
            let mut set = Set::new(calls.len());
            for earlier in (0..index).rev() {
                if !set.contains(earlier) && depends(call, &calls[earlier]) {
                    set.insert(earlier);
                    set.extend(&before[earlier]);
                }
            }
            before.push(set);
        }
        Self { before }
    }

    fn independent(&self, a: usize, b: usize) -> bool {
        !self.before[a].contains(b) && !self.before[b].contains(a)
    }

    /// Adds a call to a group that it is independent of.
    fn join(&mut self, group: &[usize], call: usize) {
        let mut together = self.before[call].clone();
        together.extend(&self.before[group[0]]);
        let mut with_members = together.clone();
        group.iter().chain([&call]).for_each(|&member| with_members.insert(member));
        for set in &mut self.before {
            if set.contains(group[0]) || set.contains(call) {
                set.extend(&with_members);
            }
        }
        group.iter().chain([&call]).for_each(|&member| self.before[member] = together.clone());
    }

    /// The groups in an order in which they can run: of those that can, the one whose first call came first.
    fn sorted(&self, mut groups: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        groups.sort();
        let mut done = Set::new(self.before.len());
        let mut sorted = Vec::with_capacity(groups.len());
        while let Some(ready) = groups.iter().position(|group| done.contains_all(&self.before[group[0]])) {
            let group = groups.remove(ready);
            group.iter().for_each(|&call| done.insert(call));
            sorted.push(group);
        }
        assert!(groups.is_empty(), "groups wait for each other");
        sorted
    }
}

/// True when `later` must stay behind `earlier`: one of them writes what the other reads or writes.
pub(super) fn depends(later: &Call, earlier: &Call) -> bool {
    let uses = |call: &Call, written: &Region| {
        call.reads.iter().chain(call.writes.iter().map(|(region, _)| region)).any(|region| region.touches(written))
    };
    earlier.writes.iter().any(|(region, _)| uses(later, region))
        || later.writes.iter().any(|(region, _)| uses(earlier, region))
}

/// A set of calls, one bit each.
#[derive(Clone)]
struct Set(Vec<u64>);

impl Set {
    fn new(calls: usize) -> Self {
        Self(vec![0; calls.div_ceil(64)])
    }

    fn insert(&mut self, call: usize) {
        self.0[call / 64] |= 1 << (call % 64);
    }

    fn contains(&self, call: usize) -> bool {
        self.0[call / 64] >> (call % 64) & 1 == 1
    }

    fn contains_all(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, other)| other & !mine == 0)
    }

    fn extend(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, other)| *mine |= other);
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
