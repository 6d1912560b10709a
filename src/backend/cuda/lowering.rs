//! From a call to launches: what each family's file uses to say grids and arguments.

use super::launch::{Address, Arguments, Launch};
use crate::call::{BufferId, Call, Dtype, Place, Region, Unary, Write};
use crate::graph::Layout;
use bytemuck::{Pod, Zeroable};

/// Arithmetic of matrix products and convolutions. Sums are fp32 in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Math {
    /// fp32 products on the ordinary units: the exact path.
    Fp32,
    /// Inputs rounded to tf32 (10 bits of fraction) for the tensor cores.
    #[default]
    Tf32,
    /// Inputs rounded to bf16 (7 bits of fraction) for the tensor cores.
    Bf16,
}

impl Math {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }
}

/// Where buffers and scratch stand in device memory.
#[derive(Clone, Copy, Debug)]
pub struct Addresses<'a> {
    pub persistent: (Address, &'a Layout),
    pub workspace: (Address, &'a Layout),
    /// Memory that a call's launches hand each other; nobody reads it after the call.
    pub scratch: Address,
}

impl Addresses<'_> {
    fn slot(&self, buffer: BufferId) -> (Address, Dtype, usize, usize) {
        let (base, layout) = match buffer.place {
            Place::Persistent => self.persistent,
            Place::Workspace => self.workspace,
        };
        let slot = &layout.slots[buffer.index];
        (base + slot.offset as Address, slot.dtype, slot.len, layout.element_bytes(slot.dtype))
    }

    /// Address of the first element of a region.
    pub fn of(&self, region: &Region) -> Address {
        let (start, _, len, size) = self.slot(region.buffer);
        assert!(region.offset + region.span() <= len, "region outside its buffer");
        start + (region.offset * size) as Address
    }
}

/// A region that a kernel reads: `In` of kernels/common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct In {
    pub data: Address,
    pub len: u32,
    pub stride: u32,
}

/// A region that a kernel writes: `Out` of kernels/common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Out {
    pub data: Address,
    pub len: u32,
    pub stride: u32,
    pub add: u32,
    pub unused: u32,
}

/// `Function` of kernels/common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Function {
    pub code: u32,
    pub a: f32,
    pub b: f32,
}

impl From<Unary> for Function {
    fn from(function: Unary) -> Self {
        let (code, a, b) = match function {
            Unary::Identity => (0, 0.0, 0.0),
            Unary::Relu => (1, 0.0, 0.0),
            Unary::LeakyRelu(slope) => (2, slope, 0.0),
            Unary::Tanh => (3, 0.0, 0.0),
            Unary::Sigmoid => (4, 0.0, 0.0),
            Unary::Exp => (5, 0.0, 0.0),
            Unary::Log => (6, 0.0, 0.0),
            Unary::Sign => (7, 0.0, 0.0),
            Unary::Affine(a, b) => (8, a, b),
            Unary::Square => (9, 0.0, 0.0),
            Unary::Softplus => (10, 0.0, 0.0),
        };
        Self { code, a, b }
    }
}

/// The launches of one call, being said.
pub struct Lowering<'a> {
    pub addresses: &'a Addresses<'a>,
    pub call: &'a Call,
    pub math: Math,
    pub launches: Vec<Launch>,
    /// Bytes of scratch reserved so far.
    pub scratch_bytes: usize,
}

impl<'a> Lowering<'a> {
    pub fn new(addresses: &'a Addresses<'a>, call: &'a Call, math: Math) -> Self {
        Self { addresses, call, math, launches: Vec::new(), scratch_bytes: 0 }
    }

    /// Read region `index` of the call.
    pub fn read(&self, index: usize) -> In {
        let region = &self.call.reads[index];
        let (len, stride) = blocks(region);
        In { data: self.addresses.of(region), len, stride }
    }

    /// Read region `index`, or nothing where the call has none there (an absent bias).
    pub fn read_if(&self, present: bool, index: usize) -> In {
        if present { self.read(index) } else { In { data: 0, len: 0, stride: 0 } }
    }

    /// Written region `index` of the call. Regions that are updated in place are read by their kernel.
    pub fn write(&self, index: usize) -> Out {
        let (region, write) = &self.call.writes[index];
        let (len, stride) = blocks(region);
        Out { data: self.addresses.of(region), len, stride, add: u32::from(*write == Write::Add), unused: 0 }
    }

    /// Written region `index`, or nothing where the call has none there.
    pub fn write_if(&self, present: bool, index: usize) -> Out {
        if present { self.write(index) } else { Out { data: 0, len: 0, stride: 0, add: 0, unused: 0 } }
    }

    /// Reserves `count` elements E of scratch.
    pub fn scratch<E>(&mut self, count: usize) -> Address {
        let start = self.addresses.scratch + self.scratch_bytes as Address;
        self.scratch_bytes += (count * size_of::<E>()).next_multiple_of(256);
        start
    }

    /// Appends a launch without dynamic shared memory.
    pub fn launch(&mut self, kernel: &'static str, grid: [u32; 3], threads: u32, arguments: Arguments) {
        self.launch_shared(kernel, grid, [threads, 1, 1], 0, arguments);
    }

    /// Appends a launch with `shared` bytes of dynamic shared memory.
    pub fn launch_shared(
        &mut self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        arguments: Arguments,
    ) {
        self.launches.push(Launch { kernel, grid, block, shared, arguments });
    }

    /// Appends a launch with one thread for each of `elements`, up to a grid that fills any GPU (kernels loop on).
    pub fn launch_elements(&mut self, kernel: &'static str, elements: u32, arguments: Arguments) {
        self.launch(kernel, [element_blocks(elements), 1, 1], ELEMENT_THREADS, arguments);
    }
}

/// Blocks of an element-wise kernel.
fn element_blocks(elements: u32) -> u32 {
    elements.div_ceil(ELEMENT_THREADS).clamp(1, MOST_ELEMENT_BLOCKS)
}

/// Threads of a block of an element-wise kernel.
pub const ELEMENT_THREADS: u32 = 256;
/// Blocks of an element-wise kernel: 8 for each of 264 multiprocessors.
const MOST_ELEMENT_BLOCKS: u32 = 2112;

/// Length and stride of a region's blocks; one block when there is no gap.
fn blocks(region: &Region) -> (u32, u32) {
    let (len, stride) = if region.count == 1 { (region.len, region.len) } else { (region.len, region.stride) };
    let narrow = |value: usize| u32::try_from(value).expect("the planner keeps blocks below 2^32 elements");
    (narrow(len), narrow(stride))
}
