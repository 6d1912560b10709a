//! A plan: the flat list of calls that one replay runs, and where every buffer of its workspace stands.
//!
//! Building one is a sequence of passes: `fuse` rewrites nodes, `build` lets the rules of ops emit calls forward and in
//! reverse, `live` drops calls whose results nobody reads, `scalars` and `group` join small ones, `memory` gives each buffer an
//! offset, `verify` checks the result.

mod build;
mod fuse;
mod group;
mod live;
mod memory;
mod print;
mod scalars;
mod verify;

pub use build::Request;
pub use print::bytes;

use crate::call::{Call, Region};
use crate::graph::Layout;

/// Calls over a store and a workspace.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    pub calls: Vec<Call>,
    /// Offsets of the workspace buffers.
    pub workspace: Layout,
    /// Values of the tensors that the request asked to keep, in its order.
    pub kept: Vec<Region>,
    /// Gradients of the tensors that the request asked for, in its order.
    pub gradients: Vec<Region>,
    /// One sentence per fusion.
    pub notes: Vec<String>,
}
