//! What runs a plan. `cpu` is native Rust, generic over f32 and f64.

pub mod cpu;
