//! The simulated device computes matrix products as the tensor cores' instructions are documented to, in every order of
//! threads, finds no fault in them, and notices every synchronisation that they lose.
#![cfg(feature = "sim")]

use bbh::backend::cuda::sim::{Options, Order, Sim, Site};
use bbh::backend::cuda::{Address, Arguments, Launch, Launcher};
use bytemuck::{Pod, Zeroable};
use std::collections::BTreeSet;

/// `In` and `Out` of kernels/common.cuh for a contiguous region.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct In(Address, u32, u32);
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Out(Address, u32, u32, u32, u32);

/// c [m, n] = a [m, k] b, with b [n, k] (tf32) or [k, n] (bf16).
#[derive(Clone, Copy, Debug)]
struct Product {
    kernel: &'static str,
    m: usize,
    n: usize,
    k: usize,
}

/// Columns and rows of c that a block computes.
const TILE: usize = 32;
/// Dynamic shared memory of `planted_no_defect_bf16`: tiles [32, 24] and [16, 40] of bf16, bytes.
const BF16_TILES: u32 = (32 * 24 + 16 * 40) * 2;

/// Small integers: exact in bf16 and tf32, and so are their sums in f32.
fn integers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 17) as f32 - 8.0).collect()
}

impl Product {
    fn right(self, a: &[f32], b: &[f32]) -> Vec<f32> {
        let Self { m, n, k, kernel } = self;
        let of_b = |inner: usize, column: usize| match kernel {
            "planted_no_defect_bf16" => b[inner * n + column],
            _ => b[column * k + inner],
        };
        let element = |i: usize| (0..k).map(|inner| a[i / n * k + inner] * of_b(inner, i % n)).sum();
        (0..m * n).map(element).collect()
    }

    /// True when the product is right to the last bit; the sites that were met.
    fn run(self, options: Options) -> Result<(bool, BTreeSet<Site>), String> {
        let Self { m, n, k, kernel } = self;
        let (a, b) = (integers(m * k, 1), integers(k * n, 2));
        let mut sim = Sim::new(options);
        sim.sites = Some(BTreeSet::new());
        let mut buffer = |values: &[f32], name| {
            let start = sim.allocate(values.len() * 4).expect("memory");
            sim.write(start, bytemuck::cast_slice(values)).expect("inside");
            sim.name_buffer(start, values.len() * 4, name);
            start
        };
        let (a_start, b_start) = (buffer(&a, "a"), buffer(&b, "b"));
        let c_start = buffer(&vec![f32::NAN; m * n], "c");
        let input = |start, len: usize| In(start, len as u32, len as u32);
        let arguments = [m, n, k].iter().fold(Arguments::new(), |arguments, &dim| arguments.with(dim as u32));
        let launch = Launch {
            kernel,
            grid: [n.div_ceil(TILE) as u32, m.div_ceil(TILE) as u32, 1],
            block: [128, 1, 1],
            shared: if kernel == "planted_no_defect_bf16" { BF16_TILES } else { 0 },
            arguments: arguments.with(input(a_start, m * k)).with(input(b_start, k * n)).with(Out(
                c_start,
                (m * n) as u32,
                (m * n) as u32,
                0,
                0,
            )),
        };
        sim.launch(&launch).map_err(|error| error.to_string())?;
        let mut c = vec![0_f32; m * n];
        sim.read(c_start, bytemuck::cast_slice_mut(&mut c)).expect("inside");
        Ok((c == self.right(&a, &b), sim.sites.take().unwrap_or_default()))
    }
}

fn modes() -> Vec<Options> {
    let orders = [Order::Forward, Order::Reverse, Order::Random(5)];
    let both = |order| [false, true].map(|race| Options { order, race, ..Options::default() });
    orders.into_iter().flat_map(both).collect()
}

const KERNELS: [&str; 2] = ["planted_no_defect_tf32", "planted_no_defect_bf16"];

#[test]
fn products_are_exact_in_every_order_and_without_races() {
    for kernel in KERNELS {
        for (m, n, k) in [(1, 1, 1), (16, 8, 16), (33, 65, 17), (65, 33, 49)] {
            for options in modes() {
                let product = Product { kernel, m, n, k };
                let right = product.run(options.clone()).map(|(right, _)| right);
                assert_eq!(right, Ok(true), "{product:?}, {options:?}");
            }
        }
    }
}

/// The instrumented kernels tell of every lost synchronisation in every order; so does the result in some order.
#[test]
fn a_lost_synchronisation_is_noticed() {
    for kernel in KERNELS {
        let product = Product { kernel, m: 65, n: 33, k: 49 };
        let (_, sites) = product.run(Options::default()).expect("no defect");
        assert!(sites.len() >= 2, "{sites:?}");
        // Nothing is read after the last wait, which only keeps copies from outliving their block.
        let last = sites.iter().filter(|site| site.kind == "copy_async_wait").map(|site| site.line).max();
        for site in sites.iter().filter(|site| Some(site.line) != last) {
            let dropped = |options: Options| {
                let race = options.race;
                let found = product.run(Options { dropped: Some((site.file.clone(), site.line)), ..options });
                (race, found.map(|(right, _)| right))
            };
            let found: Vec<_> = modes().into_iter().map(dropped).collect();
            let told = found.iter().filter(|(race, _)| *race).all(|(_, found)| found.is_err());
            let wrong = found.iter().any(|(race, found)| !race && *found == Ok(false));
            assert!(told && wrong, "{site:?}: {found:?}");
        }
    }
}
