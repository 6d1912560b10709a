//! Checks of the engine against itself: gradients against finite differences, kernels against the CPU.

pub mod gradcheck;
pub mod kernels;

mod branches;
mod case;
mod difference;
mod directional;
mod models;
mod ops;
mod ops_images;
mod parity;
mod prepared;
mod rank_update;
mod raw_call;
mod raw_calls;
mod raw_groups;
mod raw_mnf;
mod report;
mod rounded;
mod shapes;
mod shapes_conv2d;
mod shapes_gaussian;
mod shapes_group;
mod shapes_linear;
mod shapes_mnf;
mod shapes_norm;
mod shapes_pairwise;
mod shapes_pool2d;
mod shapes_scalars;
mod toy;

pub use case::{Built, Case, Constant};
pub use directional::check_directions;
pub use parity::{Outcome, Parity, Step};
pub use prepared::Prepared;
pub use raw_call::{Piece, RawCall, Values};
pub use raw_calls::raw_calls;
pub use report::{Row, table};
