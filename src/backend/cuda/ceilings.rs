//! The ceilings of a CUDA device, by the kernels of kernels/ceilings.cu: a copy of 256 MiB, and products in registers with
//! enough independent sums and warps to fill every unit.
//!
//! The tensor cores are driven by `mma.sync`, as in all our kernels; on Hopper `wgmma`, which takes its operands from shared
//! memory, is faster.

use super::launch::{Address, Arguments, Launch, Launcher};
use super::lowering::{In, Out};
use crate::Result;
use crate::backend::Ceilings;

/// Threads of a block of every ceiling kernel.
pub const THREADS: u32 = 256;
/// Blocks of the copy: 8 for each of 264 multiprocessors.
const COPY_BLOCKS: u32 = 2112;
/// Bytes copied: several times the largest second-level cache.
const COPY_BYTES: usize = 256 << 20;
/// Blocks of the products: so many that those of the last, partly filled wave hardly count.
const BLOCKS: u32 = 1 << 15;
/// Rounds of a block: some milliseconds on a large GPU.
const ROUNDS: u32 = 64;
/// Launches before any is timed, until the clocks have risen, and launches of which the fastest counts.
const WARM_UPS: usize = 3;
const TIMED: usize = 10;

/// A kernel of products in registers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Products {
    kernel: &'static str,
    /// FLOP of one block in one round.
    round_flop: f64,
}

/// 16 chains of 8 multiply-adds per thread.
pub const FP32: Products = Products { kernel: "ceiling_fp32", round_flop: (THREADS * 16 * 8 * 2) as f64 };
/// 8 accumulators, 4 times, per warp: products of 16 x 8 x 8.
pub const TF32: Products =
    Products { kernel: "ceiling_tf32", round_flop: (THREADS / 32 * 8 * 4 * 2 * 16 * 8 * 8) as f64 };
/// The same with products of 16 x 8 x 16.
pub const BF16: Products =
    Products { kernel: "ceiling_bf16", round_flop: (THREADS / 32 * 8 * 4 * 2 * 16 * 8 * 16) as f64 };

impl Products {
    /// `blocks` blocks of `rounds` rounds that write one number per thread to `to`; see kernels/ceilings.cu for what `factor`
    /// and `addend` do.
    pub fn launch(&self, blocks: u32, rounds: u32, (factor, addend): (f32, f32), to: Address) -> Launch {
        let len = blocks * THREADS;
        let to = Out { data: to, len, stride: len, add: 0, unused: 0 };
        let arguments = Arguments::new().with(rounds).with(factor).with(addend).with(to);
        Launch { kernel: self.kernel, grid: [blocks, 1, 1], block: [THREADS, 1, 1], shared: 0, arguments }
    }
}

/// Copies `quads` groups of 16 bytes with `blocks` blocks.
pub fn copy(blocks: u32, quads: u32, from: Address, to: Address) -> Launch {
    let len = 4 * quads;
    let from = In { data: from, len, stride: len };
    let to = Out { data: to, len, stride: len, add: 0, unused: 0 };
    let arguments = Arguments::new().with(quads).with(from).with(to);
    Launch { kernel: "ceiling_copy", grid: [blocks, 1, 1], block: [THREADS, 1, 1], shared: 0, arguments }
}

/// Measures all ceilings; `None` when the device keeps no time. Takes 512 MiB of device memory, which stays taken as long as
/// the launcher lives.
///
/// # Errors
/// When the device has not the memory, or fails.
pub fn measure<L: Launcher>(launcher: &mut L) -> Result<Option<Ceilings>> {
    launcher.start_timer(false)?;
    if launcher.stop_timer()?.is_none() {
        return Ok(None);
    }
    let from = launcher.allocate(2 * COPY_BYTES)?;
    let to = from + COPY_BYTES as Address;
    let copy_seconds = fastest(launcher, &copy(COPY_BLOCKS, (COPY_BYTES / 16) as u32, from, to))?;
    let mut tflops = |products: Products| -> Result<f64> {
        // Neither operand is a number of few bits, and no chain leaves the normal numbers.
        let seconds = fastest(launcher, &products.launch(BLOCKS, ROUNDS, (0.987_654_3, 0.123_456_7), to))?;
        Ok(products.round_flop * f64::from(BLOCKS) * f64::from(ROUNDS) / seconds * 1e-12)
    };
    Ok(Some(Ceilings {
        copy_gbps: 2.0 * COPY_BYTES as f64 / copy_seconds * 1e-9,
        update_gbps: None,
        read_gbps: None,
        fp32_tflops: tflops(FP32)?,
        tf32_tflops: Some(tflops(TF32)?),
        bf16_tflops: Some(tflops(BF16)?),
    }))
}

/// Seconds of the fastest of some launches.
fn fastest<L: Launcher>(launcher: &mut L, launch: &Launch) -> Result<f64> {
    launcher.prepare(launch.kernel, launch.shared)?;
    for _ in 0..WARM_UPS {
        launcher.launch(launch)?;
    }
    let mut best = f64::INFINITY;
    for _ in 0..TIMED {
        launcher.start_timer(false)?;
        launcher.launch(launch)?;
        best = best.min(launcher.stop_timer()?.unwrap_or(f64::INFINITY));
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::Graph;
    use crate::{Error, Result};

    /// A launcher that notes what it is asked, and whose every timer says the same.
    struct Noted {
        seconds: Option<f64>,
        allocated: usize,
        prepared: Vec<&'static str>,
        timing: bool,
        /// Kernels launched while the timer ran, and before.
        timed: Vec<Launch>,
        warm_ups: usize,
    }

    fn unasked<T>() -> Result<T> {
        Err(Error::run("not asked for by a measurement of ceilings"))
    }

    impl Launcher for Noted {
        fn allocate(&mut self, bytes: usize) -> Result<Address> {
            self.allocated += bytes;
            Ok(1 << 20)
        }

        fn write(&mut self, _: Address, _: &[u8]) -> Result<()> {
            unasked()
        }

        fn read(&self, _: Address, _: &mut [u8]) -> Result<()> {
            unasked()
        }

        fn prepare(&mut self, kernel: &'static str, _: u32) -> Result<()> {
            self.prepared.push(kernel);
            Ok(())
        }

        fn captures(&self) -> bool {
            false
        }

        fn launch(&mut self, launch: &Launch) -> Result<()> {
            assert!(self.prepared.contains(&launch.kernel), "{} was not prepared", launch.kernel);
            if self.timing {
                self.timed.push(launch.clone());
            } else {
                self.warm_ups += 1;
            }
            Ok(())
        }

        fn begin_capture(&mut self) -> Result<()> {
            unasked()
        }

        fn end_capture(&mut self) -> Result<Graph> {
            unasked()
        }

        fn replay(&mut self, _: Graph) -> Result<()> {
            unasked()
        }

        fn start_timer(&mut self, _: bool) -> Result<()> {
            self.timing = true;
            Ok(())
        }

        fn stop_timer(&mut self) -> Result<Option<f64>> {
            self.timing = false;
            Ok(self.seconds)
        }
    }

    fn noted(seconds: Option<f64>) -> Noted {
        Noted { seconds, allocated: 0, prepared: Vec::new(), timing: false, timed: Vec::new(), warm_ups: 0 }
    }

    #[test]
    fn a_device_without_a_clock_has_no_ceilings_and_is_left_alone() {
        let mut launcher = noted(None);
        assert_eq!(measure(&mut launcher).expect("nothing to fail"), None);
        assert_eq!((launcher.allocated, launcher.timed.len(), launcher.warm_ups), (0, 0, 0));
    }

    #[test]
    fn rates_are_work_over_time() {
        let mut launcher = noted(Some(1e-3));
        let found = measure(&mut launcher).expect("nothing to fail").expect("a clock");
        let near = |found: f64, expected: f64| {
            assert!((found - expected).abs() <= 1e-9 * expected, "{found}, not {expected}");
        };
        near(found.copy_gbps, 512.0 * 1.048_576);
        // 2^15 blocks of 256 threads, 64 rounds; of a thread 16 x 8 multiply-adds, of a warp 32 products of fragments.
        let (threads, warps) = (2_f64.powi(23), 2_f64.powi(18));
        near(found.fp32_tflops, threads * 64.0 * 16.0 * 8.0 * 2.0 * 1e-9);
        near(found.tf32_tflops.expect("tensor cores"), warps * 64.0 * 32.0 * 2.0 * 1024.0 * 1e-9);
        near(found.bf16_tflops.expect("tensor cores"), warps * 64.0 * 32.0 * 2.0 * 2048.0 * 1e-9);
        assert_eq!(launcher.allocated, 512 << 20);
        let kernels: Vec<&str> = launcher.timed.iter().step_by(TIMED).map(|launch| launch.kernel).collect();
        assert_eq!(kernels, ["ceiling_copy", "ceiling_fp32", "ceiling_tf32", "ceiling_bf16"]);
        assert_eq!(launcher.warm_ups, 4 * WARM_UPS);
    }
}
