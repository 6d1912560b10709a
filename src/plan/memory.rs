//! Offsets of workspace buffers: two buffers share bytes when no call needs both.

use crate::call::{Call, Place};
use crate::graph::{Buffer, Layout, Slot, aligned};

/// Places the buffers, largest first, each at the lowest offset that is free during its whole life.
pub fn place(calls: &[Call], buffers: &[Buffer], real_bytes: usize) -> Layout {
    let lives = lives(calls, buffers);
    let mut layout = Layout { slots: Vec::with_capacity(buffers.len()), bytes: 0, real_bytes };
    for buffer in buffers {
        layout.slots.push(Slot { name: buffer.name.clone(), dtype: buffer.dtype, len: buffer.len, offset: 0 });
    }
    let size = |layout: &Layout, index: usize| {
        let slot = &layout.slots[index];
        aligned(slot.len * layout.element_bytes(slot.dtype))
    };
    let mut order: Vec<usize> = (0..buffers.len()).filter(|&index| buffers[index].len > 0).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(size(&layout, index)), index));
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    for index in order {
        let bytes = size(&layout, index);
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| overlap(lives[index], lives[other]))
            .map(|&other| (layout.slots[other].offset, layout.slots[other].offset + size(&layout, other)))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + bytes <= start {
                break;
            }
            offset = offset.max(end);
        }
        layout.slots[index].offset = offset;
        layout.bytes = layout.bytes.max(offset + bytes);
        placed.push(index);
    }
    layout
}

/// First and last call that touches each buffer.
pub(super) fn lives(calls: &[Call], buffers: &[Buffer]) -> Vec<(usize, usize)> {
    let mut lives = vec![(usize::MAX, 0); buffers.len()];
    for (at, call) in calls.iter().enumerate() {
        for region in call.reads.iter().chain(call.writes.iter().map(|(region, _)| region)) {
            if region.buffer.place == Place::Workspace {
                let life = &mut lives[region.buffer.index];
                *life = (life.0.min(at), at);
            }
        }
    }
    for (life, buffer) in lives.iter_mut().zip(buffers) {
        if buffer.kept {
            life.1 = calls.len();
        }
    }
    lives
}

fn overlap(a: (usize, usize), b: (usize, usize)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}
