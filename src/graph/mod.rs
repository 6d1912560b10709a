//! Shapes, buffers and the graph that model code builds once.

mod layout;

pub use layout::{Layout, Slot};
