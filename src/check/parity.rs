//! Kernels against the CPU backend in f64, call by call: each call of a plan runs on both from the same inputs, and what it
//! wrote is compared.
//!
//! The device starts each call with memory that is poisoned (every byte 0xff: NaN) but for the call's inputs, every buffer has
//! a place of its own with guard bytes behind it, and every byte that the call has no business with must be as it was.

use super::prepared::Prepared;
use super::rounded::rounded_apart;
use crate::backend::cpu::Cpu;
use crate::backend::cuda::{Address, Addresses, Launch, Launcher, Lowering, Math, lower};
use crate::call::{Call, Dtype, Kind, Place, Region, Unary, Write};
use crate::graph::{Layout, Store};
use crate::plan::Plan;
use crate::{Error, Result};

/// Bytes between two buffers.
const GUARD: usize = 256;
const POISON: u8 = 0xff;

/// A plan on both backends.
pub struct Parity {
    name: String,
    plan: Plan,
    cpu: Cpu<f64>,
    /// Persistent and workspace buffers on the device, offsets from the start of one allocation.
    persistent: Layout,
    workspace: Layout,
    bytes: usize,
}

/// One call, ready to run on a device: memory before it, and what must stand there afterwards.
pub struct Step {
    /// Device memory before the call.
    before: Vec<u8>,
    expected: Vec<Expected>,
    launches: Vec<Launch>,
    base: Address,
    scratch: usize,
}

/// What the CPU wrote to one region.
struct Expected {
    dtype: Dtype,
    /// Byte intervals of the region in device memory.
    places: Vec<(usize, usize)>,
    /// Real and F64 elements; empty for others.
    numbers: Vec<f64>,
    /// Bytes of integers and of bf16 elements.
    integers: Vec<u8>,
    /// Frobenius norm of the same sums with all terms positive: what rounding of the terms is measured against where they
    /// cancel. 0 for calls that are no sums.
    terms: f64,
    /// False for scratch, whose content is of no use after the call.
    compared: bool,
}

/// What a run of a call gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Largest relative error of a region: Frobenius norm of the difference over that of the expected values, or over a tenth
    /// of that of the terms where they cancel.
    pub error: f64,
    /// All bytes that the call wrote, for comparisons between runs.
    pub bytes: Vec<u8>,
}

impl Parity {
    /// The forward plan and both gradient plans of a case.
    ///
    /// # Errors
    /// When the machine refuses the memory.
    pub fn of_case(prepared: &Prepared) -> Result<Vec<Self>> {
        let plans = [&prepared.forward].into_iter().chain(&prepared.plans);
        plans.map(|plan| Ok(Self::new(&prepared.store, plan.clone(), prepared.device(&[plan])?))).collect()
    }

    /// A plan with a CPU device that holds its persistent values.
    pub fn new(store: &Store, plan: Plan, cpu: Cpu<f64>) -> Self {
        let (persistent, end) = spread(&store.layout(size_of::<f32>()), 0);
        let (workspace, bytes) = spread(&plan.workspace, end);
        Self { name: plan.name.clone(), plan, cpu, persistent, workspace, bytes }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn calls(&self) -> &[Call] {
        &self.plan.calls
    }

    /// Bytes of device memory that any step of this plan needs with `math`, scratch included.
    pub fn device_bytes(&self, math: Math) -> usize {
        let scratch = self.plan.calls.iter().map(|call| self.lowered(call, 0, math).1).max().unwrap_or(0);
        self.bytes + scratch
    }

    /// Names and places of all buffers, for devices that check bounds: (offset, bytes, name).
    pub fn buffers(&self) -> impl Iterator<Item = (usize, usize, &str)> {
        let layouts = [&self.persistent, &self.workspace].into_iter();
        let slots = layouts.flat_map(|layout| layout.slots.iter().map(move |slot| (layout, slot)));
        let places =
            slots.map(|(layout, slot)| (slot.offset, slot.len * layout.element_bytes(slot.dtype), &*slot.name));
        places.filter(|(_, bytes, _)| *bytes > 0)
    }

    /// Offset of the scratch.
    pub fn scratch_offset(&self) -> usize {
        self.bytes
    }

    /// Runs call `index` on the CPU, from inputs rounded to f32, and returns what a device at `base` must do. `exact`: inputs are
    /// rounded to the operands of the tensor cores that `math` names, so that their products are exact; else integers, which
    /// rounded operands may change at near ties, are not compared. The CPU's inputs are then as before.
    pub fn step(&mut self, index: usize, base: Address, math: Math, exact: bool) -> Step {
        let call = self.plan.calls[index].clone();
        let rounding = if exact { math } else { Math::Fp32 };
        let mut before = vec![POISON; self.bytes];
        let updated = call.writes.iter().filter(|(_, write)| *write != Write::Set).map(|(region, _)| region);
        let inputs: Vec<Region> = call.reads.iter().chain(updated).copied().collect();
        let saved: Vec<_> = inputs.iter().map(|region| self.save(region)).collect();
        inputs.iter().for_each(|region| self.copy_in(region, rounding, &mut before));
        let (launches, scratch) = self.lowered(&call, base, math);
        before.resize(self.bytes + scratch, POISON);
        self.cpu.run_one(&self.plan, index);
        let mut expected: Vec<Expected> = (0..call.writes.len()).map(|write| self.expected(&call, write)).collect();
        if !exact {
            expected
                .iter_mut()
                .filter(|expected| expected.numbers.is_empty())
                .for_each(|expected| expected.compared = false);
        }
        if is_sum(&call.kind) {
            inputs.iter().zip(&saved).for_each(|(region, bytes)| self.restore(region, bytes));
            inputs.iter().for_each(|region| self.make_positive(region));
            self.cpu.run_one(&self.plan, index);
            for (write, expected) in expected.iter_mut().enumerate() {
                expected.terms = norm(self.expected(&call, write).numbers.into_iter());
            }
        }
        inputs.iter().zip(saved).for_each(|(region, bytes)| self.restore(region, &bytes));
        Step { before, expected, launches, base, scratch }
    }

    /// Runs call `index` on the CPU, for the calls after it.
    pub fn advance(&mut self, index: usize) {
        self.cpu.run_one(&self.plan, index);
    }

    /// Bytes of the CPU's region, block by block.
    fn save(&self, region: &Region) -> Vec<u8> {
        region.intervals().flat_map(|interval| self.block(region, interval).to_vec()).collect()
    }

    fn restore(&mut self, region: &Region, mut bytes: &[u8]) {
        for interval in region.intervals() {
            let to = self.block_mut(region, interval);
            let (head, rest) = bytes.split_at(to.len());
            to.copy_from_slice(head);
            bytes = rest;
        }
    }

    /// The CPU's bytes of elements `start` to `end` of a region's buffer.
    fn block(&self, region: &Region, (start, end): (usize, usize)) -> &[u8] {
        let block = Region::contiguous(region.buffer, start, end - start);
        match self.cpu.dtype(&self.plan, region) {
            Dtype::Real | Dtype::F64 => bytemuck::cast_slice(self.cpu.read::<f64>(&self.plan, block)),
            Dtype::U32 => bytemuck::cast_slice(self.cpu.read::<u32>(&self.plan, block)),
            Dtype::Bf16 => bytemuck::cast_slice(self.cpu.read::<u16>(&self.plan, block)),
            Dtype::U8 => self.cpu.read::<u8>(&self.plan, block),
        }
    }

    /// The same for writing.
    fn block_mut(&mut self, region: &Region, (start, end): (usize, usize)) -> &mut [u8] {
        let block = Region::contiguous(region.buffer, start, end - start);
        match self.cpu.dtype(&self.plan, region) {
            Dtype::Real | Dtype::F64 => bytemuck::cast_slice_mut(self.cpu.read_mut::<f64>(&self.plan, block)),
            Dtype::U32 => bytemuck::cast_slice_mut(self.cpu.read_mut::<u32>(&self.plan, block)),
            Dtype::Bf16 => bytemuck::cast_slice_mut(self.cpu.read_mut::<u16>(&self.plan, block)),
            Dtype::U8 => self.cpu.read_mut::<u8>(&self.plan, block),
        }
    }

    /// Replaces the CPU's real elements by their sizes.
    fn make_positive(&mut self, region: &Region) {
        if self.cpu.dtype(&self.plan, region) != Dtype::Real {
            return;
        }
        for (start, end) in region.intervals() {
            let block = Region::contiguous(region.buffer, start, end - start);
            self.cpu.read_mut::<f64>(&self.plan, block).iter_mut().for_each(|value| *value = value.abs());
        }
    }

    fn lowered(&self, call: &Call, base: Address, math: Math) -> (Vec<Launch>, usize) {
        let addresses = Addresses {
            persistent: (base, &self.persistent),
            workspace: (base, &self.workspace),
            scratch: base + self.bytes as Address,
        };
        let mut lowering = Lowering::new(&addresses, call, math);
        lower(&mut lowering);
        (lowering.launches, lowering.scratch_bytes)
    }

    fn expected(&self, call: &Call, write: usize) -> Expected {
        let region = &call.writes[write].0;
        let dtype = self.cpu.dtype(&self.plan, region);
        let layout = self.layout(region);
        let slot = &layout.slots[region.buffer.index];
        let size = layout.element_bytes(dtype);
        let place = |(start, end): (usize, usize)| (slot.offset + start * size, slot.offset + end * size);
        let (mut numbers, mut integers) = (Vec::new(), Vec::new());
        for (start, end) in region.intervals() {
            let bytes = self.block(region, (start, end));
            match dtype {
                Dtype::Real | Dtype::F64 => numbers.extend_from_slice(bytemuck::cast_slice(bytes)),
                Dtype::U32 | Dtype::Bf16 | Dtype::U8 => integers.extend_from_slice(bytes),
            }
        }
        let places = region.intervals().map(place).collect();
        Expected { dtype, places, numbers, integers, terms: 0.0, compared: !is_scratch(&call.kind, write) }
    }

    /// Rounds a region on the CPU and copies it into an image of device memory.
    fn copy_in(&mut self, region: &Region, rounding: Math, image: &mut [u8]) {
        let dtype = self.cpu.dtype(&self.plan, region);
        let layout = self.layout(region);
        let (offset, size) = (layout.slots[region.buffer.index].offset, layout.element_bytes(dtype));
        for (start, end) in region.intervals() {
            let image = &mut image[offset + start * size..offset + end * size];
            match dtype {
                Dtype::Real => {
                    let values: &mut [f64] = bytemuck::cast_slice_mut(self.block_mut(region, (start, end)));
                    for (value, bytes) in values.iter_mut().zip(image.chunks_exact_mut(4)) {
                        let rounded = round(*value as f32, rounding);
                        *value = rounded.into();
                        bytes.copy_from_slice(&rounded.to_ne_bytes());
                    }
                }
                _ => image.copy_from_slice(self.block(region, (start, end))),
            }
        }
    }

    fn layout(&self, region: &Region) -> &Layout {
        match region.buffer.place {
            Place::Persistent => &self.persistent,
            Place::Workspace => &self.workspace,
        }
    }
}

impl Step {
    /// Kernels that the call launches.
    pub fn launches(&self) -> &[Launch] {
        &self.launches
    }

    /// Elements of the smallest region of numbers that is compared.
    pub fn fewest_numbers(&self) -> usize {
        let numbers = self.expected.iter().filter(|expected| expected.compared && !expected.numbers.is_empty());
        numbers.map(|expected| expected.numbers.len()).min().unwrap_or(0)
    }

    /// Runs the launches on a device, whose memory begins at the base that the step was made for, and compares.
    ///
    /// # Errors
    /// When a launch fails, an integer differs, an element is not written, or a byte changed that the call does not own.
    pub fn run(&self, launcher: &mut dyn Launcher) -> Result<Outcome> {
        launcher.write(self.base, &self.before)?;
        self.launches.iter().try_for_each(|launch| launcher.prepare(launch.kernel, launch.shared))?;
        self.launches.iter().try_for_each(|launch| launcher.launch(launch))?;
        let mut after = vec![0; self.before.len()];
        launcher.read(self.base, &mut after)?;
        self.check_untouched(&after)?;
        let mut outcome = Outcome { error: 0.0, bytes: Vec::new() };
        for (index, expected) in self.expected.iter().enumerate().filter(|(_, expected)| expected.compared) {
            let first = outcome.bytes.len();
            expected.places.iter().for_each(|&(start, end)| outcome.bytes.extend_from_slice(&after[start..end]));
            let error =
                expected.error(&outcome.bytes[first..]).map_err(|m| Error::check(format!("output {index}: {m}")))?;
            outcome.error = if error <= outcome.error { outcome.error } else { error };
        }
        Ok(outcome)
    }

    /// Every byte outside the written regions and the scratch is as before.
    fn check_untouched(&self, after: &[u8]) -> Result<()> {
        let mut masked = after[..after.len() - self.scratch].to_vec();
        for &(start, end) in self.expected.iter().flat_map(|expected| &expected.places) {
            masked[start..end].copy_from_slice(&self.before[start..end]);
        }
        match masked.iter().zip(&self.before).position(|(now, before)| now != before) {
            None => Ok(()),
            Some(at) => Err(Error::check(format!("byte {at} of device memory changed, which the call does not write"))),
        }
    }
}

impl Expected {
    /// Relative error of the elements in `bytes`.
    fn error(&self, bytes: &[u8]) -> std::result::Result<f64, String> {
        let found: Vec<f64> = match self.dtype {
            Dtype::Real => bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]).into()).collect(),
            Dtype::F64 => bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect(),
            Dtype::Bf16 => return rounded_apart(bytes, &self.integers),
            Dtype::U32 | Dtype::U8 => {
                let different = bytes.iter().zip(&self.integers).filter(|(found, expected)| found != expected).count();
                return if different == 0 { Ok(0.0) } else { Err(format!("{different} bytes of integers differ")) };
            }
        };
        let size = norm(self.numbers.iter().copied()).max(CANCELLATION * self.terms);
        let difference = norm(self.numbers.iter().zip(&found).map(|(expected, found)| found - expected));
        Ok(if size == 0.0 { difference } else { difference / size })
    }
}

/// Share of the terms' norm below which a sum counts as cancelled: the error is then measured against that share.
const CANCELLATION: f64 = 0.1;

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// Calls whose outputs are sums of products of their inputs.
fn is_sum(kind: &Kind) -> bool {
    match kind {
        Kind::LinearForward(_, function) | Kind::Conv2dForward(_, function) => *function == Unary::Identity,
        Kind::LinearGroupForward(group) | Kind::LinearGroupGrad { group, .. } => group.function == Unary::Identity,
        Kind::LinearGradInput(_)
        | Kind::LinearGradWeight(_)
        | Kind::Conv2dGradInput(_)
        | Kind::Conv2dGradWeight(_)
        | Kind::Conv2dPoolGradInput(_)
        | Kind::Conv2dPoolGradWeight(_)
        | Kind::BiasGrad(_)
        | Kind::Sum { .. }
        | Kind::ConcatOneHotGrad(_)
        | Kind::MeanSamples(_) => true,
        _ => false,
    }
}

/// Regions whose content is of no use after the call.
fn is_scratch(kind: &Kind, write: usize) -> bool {
    match kind {
        Kind::Conv2dGradWeight(_) => write == 1,
        Kind::Conv2dPoolGradWeight(_) => write == 2,
        Kind::NormGrad(_) => write == 3,
        Kind::LinearGroupGrad { group, input_gradient } => {
            (0..group.maps as usize).any(|map| group.grad_places(*input_gradient, map).dz == Some(write))
        }
        Kind::LinearRankUpdate { optimizer, input_gradient: true, .. } => write == 2 + optimizer.moment_count(),
        _ => false,
    }
}

/// A value rounded to an operand of the tensor cores.
pub(super) fn round(value: f32, math: Math) -> f32 {
    let bits = value.to_bits();
    match math {
        Math::Fp32 => value,
        Math::Tf32 => f32::from_bits(bits.wrapping_add(0x1000) & 0xffff_e000),
        Math::Bf16 => f32::from_bits(bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000),
    }
}

/// The buffers of a layout one behind another from `start` on, with guards between them, and where they end.
fn spread(layout: &Layout, start: usize) -> (Layout, usize) {
    let mut spread = Layout { real_bytes: size_of::<f32>(), ..layout.clone() };
    let mut end = start;
    for index in 0..spread.slots.len() {
        let bytes = spread.slots[index].len * spread.element_bytes(spread.slots[index].dtype);
        spread.slots[index].offset = end;
        end = (end + bytes + GUARD).next_multiple_of(GUARD);
    }
    (spread, end)
}
