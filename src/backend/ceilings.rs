//! Rates that no kernel of a device exceeds, measured on the device itself.

use super::cuda::Math;
use serde::Serialize;

/// Ceilings of one device. `None` where it has no such unit, or where nobody measures that rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ceilings {
    /// Copy of a buffer far larger than any cache, bytes read + written, GB/s.
    pub copy_gbps: f64,
    /// x = a x in place over such a buffer, bytes read + written, GB/s.
    pub update_gbps: Option<f64>,
    /// Sum of such a buffer, GB/s.
    pub read_gbps: Option<f64>,
    /// fp32 multiply-adds, two FLOP each, TFLOP/s. CPU: the shipped matrix product, 1024^3; CUDA: chains in registers.
    pub fp32_tflops: f64,
    /// Tensor cores with tf32 operands, TFLOP/s: by `mma.sync`, the instruction of all our kernels. Hopper's `wgmma` would go
    /// higher.
    pub tf32_tflops: Option<f64>,
    /// The same with bf16 operands, TFLOP/s.
    pub bf16_tflops: Option<f64>,
}

impl Ceilings {
    /// The rate at which a call's bytes can go at most, GB/s: in place where that was measured, else that of the copy.
    pub fn memory_gbps(&self) -> f64 {
        self.update_gbps.unwrap_or(self.copy_gbps)
    }

    /// The rate of matrix products in an arithmetic, TFLOP/s: fp32's where the device has no faster one.
    pub fn product_tflops(&self, math: Math) -> f64 {
        let tensor_cores = match math {
            Math::Fp32 => None,
            Math::Tf32 => self.tf32_tflops,
            Math::Bf16 => self.bf16_tflops,
        };
        tensor_cores.unwrap_or(self.fp32_tflops)
    }

    /// Seconds that work takes at the ceilings: the slower of its bytes and its FLOP.
    pub fn floor_seconds(&self, flop: f64, bytes: f64, math: Math) -> f64 {
        (flop * 1e-12 / self.product_tflops(math)).max(bytes * 1e-9 / self.memory_gbps())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_bytes_and_products_is_the_floor() {
        let gpu = Ceilings {
            copy_gbps: 4000.0,
            update_gbps: None,
            read_gbps: None,
            fp32_tflops: 50.0,
            tf32_tflops: Some(400.0),
            bf16_tflops: None,
        };
        let cpu = Ceilings { update_gbps: Some(10.0), ..gpu.clone() };
        let expected = [
            (&gpu, 0.0, 4e12, Math::Fp32, 1.0),
            (&gpu, 100e12, 4e12, Math::Fp32, 2.0),
            (&gpu, 800e12, 4e12, Math::Tf32, 2.0),
            // No bf16: fp32 counts.
            (&gpu, 100e12, 0.0, Math::Bf16, 2.0),
            (&cpu, 0.0, 10e9, Math::Fp32, 1.0),
        ];
        for (device, flop, bytes, math, seconds) in expected {
            let found = device.floor_seconds(flop, bytes, math);
            assert!((found - seconds).abs() <= 1e-12, "{flop} FLOP, {bytes} bytes, {math:?}: {found}, not {seconds}");
        }
    }
}
