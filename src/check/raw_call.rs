//! One call over buffers of its own, for kernels and shapes that no differentiable graph leads to.

use super::case::uniform;
use super::parity::Parity;
use crate::Result;
use crate::backend::cpu::Cpu;
use crate::call::{Call, Dtype, Kind, Region, Write};
use crate::graph::{Layout, Store};
use crate::plan::Plan;
use crate::random::round_at_random;

/// What a buffer holds before the call.
#[derive(Clone, Debug)]
pub enum Values {
    /// Real, F64 or Bf16, uniform between two bounds.
    Between(f64, f64),
    /// U32 words, as given.
    Words(Vec<u32>),
    /// U8, equally likely below a bound.
    Below(u8),
}

/// A region that a call reads or writes: `count` blocks of `len` elements, `stride` apart, in a buffer of its own.
#[derive(Clone, Debug)]
pub struct Piece {
    pub dtype: Dtype,
    pub count: usize,
    pub len: usize,
    pub stride: usize,
    /// Elements of the buffer before the first block: where wide accesses stop being aligned.
    pub offset: usize,
    pub values: Values,
}

impl Piece {
    /// `len` elements between -1 and 1.
    pub fn real(len: usize) -> Self {
        Self::blocks(1, len, len)
    }

    /// Blocks of elements between -1 and 1.
    pub fn blocks(count: usize, len: usize, stride: usize) -> Self {
        Self { dtype: Dtype::Real, count, len, stride, offset: 0, values: Values::Between(-1.0, 1.0) }
    }

    /// `words` as they are.
    pub fn words(words: &[u32]) -> Self {
        let values = Values::Words(words.to_vec());
        Self { dtype: Dtype::U32, count: 1, len: words.len(), stride: words.len(), offset: 0, values }
    }

    /// The same with elements between two bounds.
    pub fn between(self, low: f64, high: f64) -> Self {
        Self { values: Values::Between(low, high), ..self }
    }

    /// The same with another type of element.
    pub fn of(self, dtype: Dtype) -> Self {
        Self { dtype, ..self }
    }
}

/// A call with its buffers.
#[derive(Clone, Debug)]
pub struct RawCall {
    pub name: String,
    pub kind: Kind,
    pub reads: Vec<Piece>,
    pub writes: Vec<(Piece, Write)>,
}

impl RawCall {
    /// The same with every region of numbers one element into its buffer, so that none starts on 16 bytes.
    pub fn unaligned(mut self) -> Self {
        let writes = self.writes.iter_mut().map(|(piece, _)| piece);
        let numbers = |piece: &&mut Piece| matches!(piece.dtype, Dtype::Real | Dtype::Bf16);
        self.reads.iter_mut().chain(writes).filter(numbers).for_each(|piece| piece.offset = 1);
        self.name += ", unaligned";
        self
    }

    /// The call on both backends, its buffers filled from `seed`.
    ///
    /// # Errors
    /// When the machine refuses the memory.
    pub fn parity(&self, seed: u64) -> Result<Parity> {
        let mut store = Store::new();
        let pieces: Vec<&Piece> = self.reads.iter().chain(self.writes.iter().map(|(piece, _)| piece)).collect();
        let mut regions = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            let span = piece.offset + (piece.count - 1) * piece.stride + piece.len;
            let whole = store.buffer(&format!("region {index}"), piece.dtype, span)?;
            let (offset, count, len, stride) = (piece.offset, piece.count, piece.len, piece.stride);
            regions.push(Region { offset, count, len, stride, ..whole });
        }
        let (reads, writes) = regions.split_at(self.reads.len());
        let writes = writes.iter().zip(&self.writes).map(|(region, (_, write))| (*region, *write)).collect();
        let call = Call { kind: self.kind, label: self.name.clone(), reads: reads.to_vec(), writes };
        let plan = Plan {
            name: self.name.clone(),
            calls: vec![call],
            workspace: Layout { slots: Vec::new(), bytes: 0, real_bytes: size_of::<f64>() },
            kept: Vec::new(),
            gradients: Vec::new(),
            notes: Vec::new(),
        };
        let mut cpu = Cpu::<f64>::new(&store, &[&plan])?;
        for (region, piece) in regions.iter().zip(pieces) {
            let whole = Region::contiguous(region.buffer, region.offset, region.span());
            fill(&mut cpu, whole, piece, seed);
        }
        Ok(Parity::new(&store, plan, cpu))
    }
}

fn fill(cpu: &mut Cpu<f64>, region: Region, piece: &Piece, seed: u64) {
    let lots = uniform(seed, &format!("buffer {}", region.buffer.index), region.len);
    match &piece.values {
        Values::Between(low, high) => {
            let values = lots.iter().map(|lot| low + (high - low) * 0.5 * (lot + 1.0));
            if piece.dtype == Dtype::Bf16 {
                let values = values.map(|value| round_at_random(value as f32, 0));
                cpu.persistent_mut::<u16>(region).iter_mut().zip(values).for_each(|(to, value)| *to = value);
            } else {
                cpu.persistent_mut::<f64>(region).iter_mut().zip(values).for_each(|(to, value)| *to = value);
            }
        }
        Values::Words(words) => cpu.persistent_mut::<u32>(region).copy_from_slice(words),
        Values::Below(bound) => {
            let values = lots.iter().map(|lot| (f64::from(*bound) * 0.5 * (lot + 1.0)) as u8);
            cpu.persistent_mut::<u8>(region).iter_mut().zip(values).for_each(|(to, value)| *to = value);
        }
    }
}
