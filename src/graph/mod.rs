//! Shapes, buffers and the graph that model code builds once.

mod emit;
#[allow(clippy::module_inception)]
mod graph;
mod intervals;
mod layout;
mod op;
mod shape;
mod store;

pub use emit::{Buffer, Emit, RANK_UPDATE_ROWS};
pub use graph::{Blocks, Graph, Node, Source, Tensor, TensorId};
pub use intervals::Intervals;
pub(crate) use layout::aligned;
pub use layout::{Layout, Slot};
pub use op::Op;
pub use shape::Shape;
pub use store::{Init, LARGE, Parameter, Store};
