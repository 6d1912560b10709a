//! Every barrier, warp barrier and wait for a copy is needed: without it, some call of the suite fails or gives another result.

use crate::device::{device, modes, name_buffers};
use bbh::backend::cuda::sim::{Options, Sim, Site};
use bbh::check::gradcheck::ops_cases;
use bbh::check::kernels::{RUNS, bound};
use bbh::check::{Parity, Prepared, Step, raw_calls};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const SEED: u64 = 3;

/// Calls that are kept for each site, and the largest device memory of one, bytes.
const KEPT: usize = 8;
const LARGEST: usize = 1 << 20;

/// A call, its device, and what it may err.
struct Kept {
    step: Step,
    sim: Sim,
    bound: f64,
}

/// Calls that meet each site.
type Calls = BTreeMap<Site, Vec<Rc<RefCell<Kept>>>>;

#[test]
fn no_barrier_can_be_dropped_unnoticed() {
    let mut calls = Calls::new();
    let only = std::env::var("BBH_OP").ok();
    let wanted = |op: &str| only.as_ref().is_none_or(|only| only == op);
    for case in ops_cases().into_iter().filter(|case| wanted(&case.op)) {
        let prepared = Prepared::new(&case.at_most(0), SEED).expect("a case");
        Parity::of_case(&prepared).expect("memory").iter_mut().for_each(|parity| keep(parity, &mut calls));
    }
    let raw_calls = raw_calls();
    let raw_calls = raw_calls.iter().filter(|call| wanted(call.kind.name()));
    raw_calls.for_each(|call| keep(&mut call.parity(SEED).expect("memory"), &mut calls));
    let unnoticed = |(site, kept): &(&Site, &Vec<Rc<RefCell<Kept>>>)| !kept.iter().any(|kept| notices(kept, site));
    let missed: Vec<String> = calls.iter().filter(unnoticed).map(|(site, _)| format!("{site:?}")).collect();
    let kernels: BTreeSet<&str> = calls.keys().map(|site| site.kernel.as_str()).collect();
    println!("{} sites in {} kernels dropped in turn, {} missed", calls.len(), kernels.len(), missed.len());
    assert!(!calls.is_empty() && missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

/// Keeps the calls of a plan that meet a site with too few calls so far.
fn keep(parity: &mut Parity, calls: &mut Calls) {
    for index in 0..parity.calls().len() {
        let mut launched = Vec::new();
        for (math, exact) in RUNS.into_iter().filter(|(_, exact)| *exact) {
            let bytes = parity.device_bytes(math);
            if bytes > LARGEST {
                continue;
            }
            let (mut sim, base) = device(bytes);
            name_buffers(&mut sim, base, parity, bytes - parity.scratch_offset());
            let step = parity.step(index, base, math, exact);
            let kernels: Vec<&str> = step.launches().iter().map(|launch| launch.kernel).collect();
            if launched.contains(&kernels) {
                continue;
            }
            launched.push(kernels);
            sim.sites = Some(BTreeSet::new());
            step.run(&mut sim).expect("a call without defect");
            let sites = sim.sites.take().unwrap_or_default();
            let bound = bound(&step, math, exact);
            let kept = Rc::new(RefCell::new(Kept { step, sim, bound }));
            for site in sites {
                let of_site = calls.entry(site).or_default();
                if of_site.len() < KEPT {
                    of_site.push(Rc::clone(&kept));
                }
            }
        }
        parity.advance(index);
    }
}

/// True when the call fails or errs in some mode without the site. The race build comes first: it stops at an access outside
/// all buffers, which elsewhere would end the program.
fn notices(kept: &RefCell<Kept>, site: &Site) -> bool {
    let kept = &mut *kept.borrow_mut();
    modes().into_iter().rev().any(|(_, options)| {
        kept.sim.options = Options { dropped: Some((site.file.clone(), site.line)), ..options };
        match kept.step.run(&mut kept.sim) {
            Ok(outcome) => {
                let within = outcome.error <= kept.bound;
                !within
            }
            Err(_) => true,
        }
    })
}
