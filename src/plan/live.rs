//! Dead calls: those whose results neither a later live call nor the host reads.

use crate::call::{Call, Place, Region};
use crate::graph::Buffer;

/// Drops dead calls, then buffers that no call uses any more keep their index but lose their size.
pub fn drop_dead(calls: &mut Vec<Call>, buffers: &mut [Buffer]) {
    let mut read: Vec<bool> = buffers.iter().map(|buffer| buffer.kept).collect();
    let mut live = vec![false; calls.len()];
    for (index, call) in calls.iter().enumerate().rev() {
        let wanted = |region: &Region| region.buffer.place == Place::Persistent || read[region.buffer.index];
        live[index] = call.writes.iter().any(|(region, _)| wanted(region));
        if live[index] {
            for region in &call.reads {
                if region.buffer.place == Place::Workspace {
                    read[region.buffer.index] = true;
                }
            }
        }
    }
    let mut keep = live.iter();
    calls.retain(|_| keep.next().copied().unwrap_or(true));
    let mut used = vec![false; buffers.len()];
    for call in calls.iter() {
        for region in call.reads.iter().chain(call.writes.iter().map(|(region, _)| region)) {
            if region.buffer.place == Place::Workspace {
                used[region.buffer.index] = true;
            }
        }
    }
    for (buffer, used) in buffers.iter_mut().zip(used) {
        if !used {
            buffer.len = 0;
        }
    }
}
