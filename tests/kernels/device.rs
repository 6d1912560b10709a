//! Ways to run a kernel, and the memory they share.

use bbh::backend::cuda::sim::{Options, Order, Sim};
use bbh::backend::cuda::{Address, Launcher};
use bbh::check::Parity;

/// Names and settings of the runs that every kernel goes through.
pub fn modes() -> [(&'static str, Options); 3] {
    let options = |order, race| Options { order, race, ..Options::default() };
    [
        ("forward", options(Order::Forward, false)),
        ("reverse", options(Order::Reverse, false)),
        ("race", options(Order::Random(7), true)),
    ]
}

/// A simulated device with `bytes` of memory and its base.
pub fn device(bytes: usize) -> (Sim, Address) {
    let mut sim = Sim::default();
    let base = sim.allocate(bytes).expect("host memory");
    (sim, base)
}

/// Tells the device where the buffers of a plan stand, so that the race build knows every stray access.
pub fn name_buffers(sim: &mut Sim, base: Address, parity: &Parity, scratch: usize) {
    sim.clear_buffers(base);
    for (offset, bytes, name) in parity.buffers() {
        sim.name_buffer(base + offset as Address, bytes, name);
    }
    if scratch > 0 {
        sim.name_buffer(base + parity.scratch_offset() as Address, scratch, "scratch");
    }
}
