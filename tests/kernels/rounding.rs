//! Given the same f32, the kernels round moments to the very bits of the CPU.

use bbh::backend::cuda::sim::Sim;
use bbh::backend::cuda::{Arguments, Launch, Launcher};
use bbh::random::{Stream, round_at_random};
use bytemuck::{Pod, Zeroable};

const ELEMENTS: usize = 20_000;
const STREAM: u32 = 0xc000_0003;
const WORDS: [u32; 4] = [9, 0xdead_beef, 17, 0];

/// `Rounding` of kernels/moments.cuh.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Rounding {
    first: u64,
    stream: u32,
    unused: u32,
}

/// Numbers of all sizes, then the ends of the range.
fn numbers() -> Vec<f32> {
    let stream = Stream { key: [1, 2], stream: 3, step: 4 };
    let mut x: Vec<f32> = (0..ELEMENTS as u32 / 4).flat_map(|block| stream.bits(block).map(f32::from_bits)).collect();
    let ends =
        [0x7f7f_0000_u32, 0x7f7f_7fff, 0x7f7f_8000, 0x7f7f_ffff, 0x7f80_0000, 0x7f80_0001, 0x7fff_ffff, 0, 1, 0xffff];
    let both = ends.iter().flat_map(|&bits| [f32::from_bits(bits), f32::from_bits(bits | 0x8000_0000)]);
    x.iter_mut().zip(both).for_each(|(x, end)| *x = end);
    x
}

#[test]
fn kernels_round_to_the_bits_of_the_cpu() {
    let x = numbers();
    let cpu = Stream::of_words(&WORDS, STREAM);
    for first in [0_u64, 3, 1 << 33] {
        let mut sim = Sim::default();
        let [words, from, low, high] =
            [16, 4 * ELEMENTS, 2 * ELEMENTS, 2 * ELEMENTS].map(|bytes| sim.allocate(bytes).expect("memory"));
        sim.write(words, bytemuck::cast_slice(&WORDS)).expect("inside");
        sim.write(from, bytemuck::cast_slice(&x)).expect("inside");
        let rounding = Rounding { first, stream: STREAM, unused: 0 };
        let arguments =
            Arguments::new().with(ELEMENTS as u32).with(rounding).with(words).with(from).with(low).with(high);
        sim.launch(&Launch { kernel: "echo_rounded", grid: [8, 1, 1], block: [64, 1, 1], shared: 0, arguments })
            .expect("a launch");
        for (at, shift) in [(low, 0), (high, 16)] {
            let mut found = vec![0_u16; ELEMENTS];
            sim.read(at, bytemuck::cast_slice_mut(&mut found)).expect("inside");
            for ((place, x), found) in (first..).zip(&x).zip(found) {
                let word = cpu.bits((place / 4) as u32)[(place % 4) as usize];
                assert_eq!(found, round_at_random(*x, (word >> shift) as u16), "{x:e} at {place}, bits from {shift}");
            }
        }
    }
}
