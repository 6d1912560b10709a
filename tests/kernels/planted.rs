//! Defects that the simulated device must find, and who finds them: forward order, reverse order, the race build.

use bbh::backend::cuda::sim::{Options, Order, Sim};
use bbh::backend::cuda::{Address, Arguments, Launch, Launcher};
use bytemuck::{Pod, Zeroable};

const ELEMENTS: usize = 130;
const THREADS: u32 = 64;

/// How a defect shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Found {
    /// The launch fails with a message that holds this text.
    Message(&'static str),
    /// The result is wrong.
    Wrong,
    /// Not at all.
    Nothing,
}

use Found::{Message, Nothing, Wrong};

/// Kernel, blocks, and what forward, reverse and race runs say.
const PLANTED: [(&str, u32, [Found; 3]); 23] = [
    ("planted_nothing", 3, [Nothing, Nothing, Nothing]),
    ("planted_with_syncwarp", 3, [Nothing, Nothing, Nothing]),
    ("planted_no_copy_defect", 1, [Nothing, Nothing, Nothing]),
    ("planted_missing_barrier", 3, [Wrong, Wrong, Message("has written so far")]),
    ("planted_shuffle_for_syncwarp", 3, [Nothing, Nothing, Message("race at byte")]),
    (
        "planted_global_overrun",
        3,
        [Message("guard bytes behind"), Message("guard bytes behind"), Message("no part of any buffer")],
    ),
    (
        "planted_shared_overrun",
        3,
        [
            Message("past the end of shared array"),
            Message("past the end of shared array"),
            Message("index 64 is outside the array"),
        ],
    ),
    (
        "planted_shared_underrun",
        3,
        [
            Message("past the start of shared array"),
            Message("past the start of shared array"),
            Message("no part of any buffer"),
        ],
    ),
    ("planted_row_overrun", 3, [Nothing, Nothing, Message("index 127 is outside the array")]),
    ("planted_large_arrays", 3, [Message("65536 bytes of shared arrays"); 3]),
    ("planted_misaligned_vector", 3, [Nothing, Nothing, Message("no multiple of 8 bytes")]),
    ("planted_long_shift", 3, [Nothing, Nothing, Message("a shift by 32")]),
    ("planted_forgotten_reader", 3, [Nothing, Nothing, Message("are not ordered")]),
    ("planted_uninitialised", 3, [Wrong, Wrong, Message("has written so far")]),
    ("planted_block_race", 3, [Nothing, Nothing, Message("are not ordered")]),
    (
        "planted_divergent_barrier",
        3,
        [
            Message("while others wait at line"),
            Message("while others wait at line"),
            Message("while others wait at line"),
        ],
    ),
    ("planted_ended_lane", 3, [Message("which have ended"), Message("which have ended"), Message("which have ended")]),
    ("planted_deadlock", 3, [Message("deadlock"), Message("deadlock"), Message("deadlock")]),
    ("planted_missing_wait", 1, [Wrong, Wrong, Message("nobody waited for")]),
    ("planted_early_refill", 1, [Nothing, Wrong, Message("race at byte")]),
    ("planted_copy_in_flight", 3, [Message("in flight"), Message("in flight"), Message("in flight")]),
    (
        "planted_misaligned_copy",
        3,
        [Message("no multiple of 8"), Message("no multiple of 8"), Message("no multiple of 8")],
    ),
    ("planted_endless_barriers", 1, [Message("does not end"), Message("does not end"), Message("does not end")]),
];

/// `In` and `Out` of kernels/common.cuh for a contiguous region.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct In(Address, u32, u32);
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Out(Address, u32, u32, u32, u32);

fn modes() -> [Options; 3] {
    let options = |order, race| Options { order, race, watchdog: 1 << 20, ..Options::default() };
    [options(Order::Forward, false), options(Order::Reverse, false), options(Order::Random(1), true)]
}

/// Runs a kernel that is meant to swap neighbours.
fn run(kernel: &'static str, blocks: u32, options: Options) -> Result<bool, String> {
    let mut sim = Sim::new(options);
    let x: Vec<f32> = (0..ELEMENTS).map(|i| i as f32 + 0.5).collect();
    let bytes = ELEMENTS * 4;
    let (from, to) = (sim.allocate(bytes).expect("memory"), sim.allocate(bytes).expect("memory"));
    sim.write(from, bytemuck::cast_slice(&x)).expect("inside");
    sim.write(to, &vec![0xff; bytes]).expect("inside");
    let len = ELEMENTS as u32;
    let arguments = Arguments::new().with(len).with(In(from, len, len)).with(Out(to, len, len, 0, 0));
    let launch = Launch { kernel, grid: [blocks, 1, 1], block: [THREADS, 1, 1], shared: 0, arguments };
    sim.launch(&launch).map_err(|error| error.to_string())?;
    let mut y = vec![0_f32; ELEMENTS];
    sim.read(to, bytemuck::cast_slice_mut(&mut y)).expect("inside");
    Ok(y.iter().enumerate().all(|(i, y)| *y == x[i ^ 1]))
}

#[test]
fn every_planted_defect_is_found() {
    for (kernel, blocks, expected) in PLANTED {
        for (mode, expected) in modes().into_iter().zip(expected) {
            let name = format!("{kernel}, {:?}, race {}", mode.order, mode.race);
            match (run(kernel, blocks, mode), expected) {
                (Ok(true), Nothing) | (Ok(false), Wrong) => {}
                (Err(message), Message(part)) if message.contains(part) => {}
                (found, expected) => panic!("{name}: expected {expected:?}, found {found:?}"),
            }
        }
    }
}

/// A loop without any barrier is ended by the race build alone, which counts accesses.
#[test]
fn a_loop_without_end_or_barrier_is_ended_by_the_race_build() {
    let [_, _, race] = modes();
    let message = run("planted_endless_reads", 1, race).expect_err("no end");
    assert!(message.contains("does not end"), "{message}");
}

#[test]
fn the_device_is_usable_after_a_failure() {
    let [forward, ..] = modes();
    run("planted_deadlock", 3, forward.clone()).expect_err("a deadlock");
    assert_eq!(run("planted_nothing", 3, forward), Ok(true));
}

#[test]
fn launches_that_no_gpu_accepts_are_refused() {
    let mut sim = Sim::default();
    let region = sim.allocate(512).expect("memory");
    let arguments = Arguments::new().with(1_u32).with(In(region, 1, 1)).with(Out(region, 1, 1, 0, 0));
    let launch = Launch { kernel: "planted_nothing", grid: [1, 1, 1], block: [64, 1, 1], shared: 0, arguments };
    sim.launch(&launch).expect("a good launch");
    let changed = |change: &dyn Fn(&mut Launch)| {
        let mut launch = launch.clone();
        change(&mut launch);
        launch
    };
    let refused = [
        (changed(&|l| l.block = [2048, 1, 1]), "more than 1024 threads"),
        (changed(&|l| l.block = [128, 1, 1]), "launch bounds"),
        (changed(&|l| l.grid = [0, 1, 1]), "an empty grid or block"),
        (changed(&|l| l.grid = [1, 70_000, 1]), "a grid above"),
        (changed(&|l| l.shared = 1 << 20), "227 KiB"),
        (changed(&|l| l.kernel = "no_such_kernel"), "there is no kernel no_such_kernel"),
        (changed(&|l| l.arguments = Arguments::new().with(1_u32)), "takes parameters of"),
    ];
    for (launch, part) in refused {
        let message = sim.launch(&launch).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    }
}

/// The rules of a stream under capture, and what a replay does.
#[test]
fn a_capture_records_launches_and_forbids_the_rest() {
    let mut sim = Sim::default();
    let bytes = ELEMENTS * 4;
    let (from, to) = (sim.allocate(bytes).expect("memory"), sim.allocate(bytes).expect("memory"));
    let len = ELEMENTS as u32;
    let arguments = Arguments::new().with(len).with(In(from, len, len)).with(Out(to, len, len, 0, 0));
    let launch = Launch { kernel: "planted_nothing", grid: [3, 1, 1], block: [THREADS, 1, 1], shared: 0, arguments };
    assert!(sim.end_capture().is_err(), "no capture is open");
    sim.write(from, bytemuck::cast_slice(&[1_f32; ELEMENTS])).expect("inside");
    sim.begin_capture().expect("none is open");
    sim.launch(&launch).expect("recorded");
    assert!(sim.begin_capture().is_err(), "a second capture");
    assert!(sim.allocate(16).is_err(), "an allocation");
    assert!(sim.write(from, &[0; 4]).is_err(), "a copy to the device");
    assert!(sim.read(from, &mut [0; 4]).is_err(), "a copy from the device");
    let graph = sim.end_capture().expect("one is open");
    let first = |sim: &Sim| {
        let mut y = [0_f32];
        sim.read(to, bytemuck::cast_slice_mut(&mut y)).expect("inside");
        y[0]
    };
    assert_eq!(first(&sim), 0.0, "recorded, not run");
    for value in [1_f32, 2.0] {
        sim.write(from, bytemuck::cast_slice(&[value; ELEMENTS])).expect("inside");
        sim.replay(graph).expect("a good launch");
        assert_eq!(first(&sim), value, "a replay reads what is there now");
    }
}
