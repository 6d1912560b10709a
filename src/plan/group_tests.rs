//! Random lists of calls over few elements, run on hashes instead of numbers: whatever order or group would change what any
//! call sees, changes a hash.

use super::*;
use crate::call::{BufferId, Place};

const BUFFERS: usize = 12;
const LEN: usize = 60;

/// Lots from a linear congruence (Knuth's MMIX constants).
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn region(&mut self, len: usize) -> Region {
        let lot = self.below(BUFFERS);
        let place = if lot.is_multiple_of(3) { Place::Persistent } else { Place::Workspace };
        Region::contiguous(BufferId { place, index: lot }, self.below(LEN - len + 1), len)
    }

    fn write(&mut self) -> Write {
        if self.below(2) == 0 { Write::Set } else { Write::Add }
    }

    /// A call that no two of whose regions touch where it writes, if the lots give one.
    fn call(&mut self) -> Option<Call> {
        let [n, i, o] = [1 + self.below(3), 1 + self.below(3), 1 + self.below(3)];
        let dims = [n, i, o].map(|size| size as u32);
        let dims =
            LinearDims { samples: 1, rows: dims[0], inputs: dims[1], outputs: dims[2], shared_input: 0, bias: 0 };
        let (kind, reads, writes) = match self.below(6) {
            0 => (Kind::Fill { elements: n as u32, value: 2.0 }, Vec::new(), vec![n]),
            1 => (Kind::Scale { elements: n as u32, factor: 2.0 }, vec![n], vec![n]),
            2 | 3 => (Kind::LinearForward(dims, Unary::Relu), vec![n * i, o * i], vec![n * o]),
            _ => {
                let group = LinearGroup::of(&dims, Unary::Identity);
                (Kind::LinearGroupGrad { group, input_gradient: true }, vec![n * i, n * o, o * i], vec![o * i, n * i])
            }
        };
        let reads: Vec<Region> = reads.into_iter().map(|len| self.region(len)).collect();
        let mut writes: Vec<(Region, Write)> = writes.into_iter().map(|len| (self.region(len), self.write())).collect();
        if let Kind::LinearForward(..) = kind {
            writes[0].1 = Write::Set;
        }
        let all: Vec<&Region> = reads.iter().chain(writes.iter().map(|(region, _)| region)).collect();
        let clash = |written: usize| (0..all.len()).any(|other| other != written && all[written].touches(all[other]));
        let clashes = (reads.len()..all.len()).any(clash);
        (!clashes).then(|| Call { kind, label: String::new(), reads, writes })
    }
}

fn mixed(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
}

/// What each element holds after the calls.
fn run_on_hashes(calls: &[Call]) -> Vec<Vec<u64>> {
    let mut memory: Vec<Vec<u64>> =
        (0..BUFFERS).map(|buffer| (0..LEN).map(|at| (buffer * LEN + at) as u64).collect()).collect();
    for call in calls {
        let members = members(call);
        let mut results = Vec::new();
        let of_member =
            (0..members).map(|member| (share(&call.reads, members, member), share(&call.writes, members, member)));
        for (reads, writes) in of_member {
            let elements = reads.iter().flat_map(|read| &memory[read.buffer.index][read.offset..][..read.elements()]);
            let seen = elements.fold(reads.len() as u64, |hash, &value| mixed(hash, value));
            for (output, (region, write)) in writes.iter().enumerate() {
                let former = &memory[region.buffer.index][region.offset..][..region.elements()];
                for (element, &former) in former.iter().enumerate() {
                    let former = if *write == Write::Set { 0 } else { former };
                    let value = mixed(mixed(seen, former), (output * LEN + element) as u64);
                    results.push((region.buffer.index, region.offset + element, value));
                }
            }
        }
        // Members of a group see what was there before the group: they may run in any order.
        results.into_iter().for_each(|(buffer, at, value)| memory[buffer][at] = value);
    }
    memory
}

/// Calls that stand in one.
fn members(call: &Call) -> usize {
    match call.kind {
        Kind::LinearGroupForward(group) | Kind::LinearGroupGrad { group, .. } => group.maps as usize,
        Kind::ScaleGroup(group) => group.parts as usize,
        _ => 1,
    }
}

/// The regions of one of `members` calls that stand in one.
fn share<R>(regions: &[R], members: usize, member: usize) -> &[R] {
    let each = regions.len() / members;
    &regions[member * each..][..each]
}

#[test]
fn no_call_sees_other_values_than_in_the_order_said() {
    let (mut joined, mut largest) = (0, 0);
    for seed in 0..400 {
        let mut lots = Lots(seed);
        let calls: Vec<Call> = (0..60).filter_map(|_| lots.call()).collect();
        let (mut grouped, mut notes) = (calls.clone(), Vec::new());
        run(&mut grouped, &mut notes);
        assert_eq!(grouped.iter().map(members).sum::<usize>(), calls.len(), "seed {seed}: every call once");
        assert!(run_on_hashes(&grouped) == run_on_hashes(&calls), "seed {seed}: another result\n{calls:#?}");
        joined += calls.len() - grouped.len();
        largest = largest.max(notes.len());
    }
    assert!(joined > 2000 && largest > 3, "{joined} calls joined, at most {largest} groups in a list");
}

#[test]
fn a_list_without_small_maps_stays_as_it_is() {
    let mut lots = Lots(7);
    let calls: Vec<Call> =
        (0..200).filter_map(|_| lots.call()).filter(|call| matches!(call.kind, Kind::Fill { .. })).collect();
    let (mut grouped, mut notes) = (calls.clone(), Vec::new());
    run(&mut grouped, &mut notes);
    let places =
        |calls: &[Call]| calls.iter().map(|call| (call.reads.clone(), call.writes.clone())).collect::<Vec<_>>();
    assert!(notes.is_empty() && calls.len() > 10 && places(&grouped) == places(&calls));
}
