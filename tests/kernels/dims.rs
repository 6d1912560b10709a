//! Dims are the same bytes in Rust and in CUDA C++: every field, echoed by a kernel under its name.

use bbh::backend::cuda::sim::Sim;
use bbh::backend::cuda::{Arguments, Launch, Launcher};
use bbh::call::*;
use bytemuck::Pod;

/// Launches the kernel that echoes P and returns what it wrote.
fn echo<P: Pod>(kernel: &'static str, dims: P, fields: usize) -> Vec<u32> {
    let mut sim = Sim::default();
    let out = sim.allocate(fields * 4).expect("memory");
    let arguments = Arguments::new().with(dims).with(out);
    sim.launch(&Launch { kernel, grid: [1; 3], block: [1; 3], shared: 0, arguments }).expect("the same size");
    let mut words = vec![0; fields];
    sim.read(out, bytemuck::cast_slice_mut(&mut words)).expect("inside");
    words
}

/// Distinct values of integer and of real fields, by place.
fn word(place: u32) -> u32 {
    1000 + place
}
fn real(place: u32) -> f32 {
    f32::from_bits(0x3f80_0000 + place)
}

fn expected(reals: &[bool]) -> Vec<u32> {
    reals.iter().zip(0..).map(|(&is_real, place)| if is_real { real(place).to_bits() } else { word(place) }).collect()
}

#[test]
fn linear_dims_are_the_same_bytes() {
    assert_eq!(size_of::<LinearDims>(), 24);
    let dims = LinearDims {
        samples: word(0),
        rows: word(1),
        inputs: word(2),
        outputs: word(3),
        shared_input: word(4),
        bias: word(5),
    };
    assert_eq!(echo("echo_linear_dims", dims, 6), expected(&[false, false, false, false, false, false]));
}

#[test]
fn conv2d_dims_are_the_same_bytes() {
    assert_eq!(size_of::<Conv2dDims>(), 52);
    let dims = Conv2dDims {
        samples: word(0),
        batch: word(1),
        channels: word(2),
        height: word(3),
        width: word(4),
        outputs: word(5),
        kernel: word(6),
        stride: word(7),
        pad: word(8),
        out_height: word(9),
        out_width: word(10),
        shared_input: word(11),
        bias: word(12),
    };
    assert_eq!(
        echo("echo_conv2d_dims", dims, 13),
        expected(&[false, false, false, false, false, false, false, false, false, false, false, false, false])
    );
}

#[test]
fn pool2d_dims_are_the_same_bytes() {
    assert_eq!(size_of::<Pool2dDims>(), 28);
    let dims = Pool2dDims {
        images: word(0),
        height: word(1),
        width: word(2),
        kernel: word(3),
        stride: word(4),
        out_height: word(5),
        out_width: word(6),
    };
    assert_eq!(echo("echo_pool2d_dims", dims, 7), expected(&[false, false, false, false, false, false, false]));
}

#[test]
fn norm_dims_are_the_same_bytes() {
    assert_eq!(size_of::<NormDims>(), 32);
    let dims = NormDims {
        samples: word(0),
        batch: word(1),
        channels: word(2),
        inner: word(3),
        per_image: word(4),
        shared: word(5),
        relu: word(6),
        epsilon: real(7),
    };
    let fields: Vec<bool> = (0..8).map(|field| field == 7).collect();
    assert_eq!(echo("echo_norm_dims", dims, 8), expected(&fields));
}

#[test]
fn shortcut_dims_are_the_same_bytes() {
    assert_eq!(size_of::<ShortcutDims>(), 20);
    let dims = ShortcutDims { images: word(0), channels: word(1), narrow: word(2), before: word(3), inner: word(4) };
    assert_eq!(echo("echo_shortcut_dims", dims, 5), expected(&[false; 5]));
}

#[test]
fn softmax_dims_are_the_same_bytes() {
    assert_eq!(size_of::<SoftmaxDims>(), 12);
    let dims = SoftmaxDims { samples: word(0), rows: word(1), classes: word(2) };
    assert_eq!(echo("echo_softmax_dims", dims, 3), expected(&[false, false, false]));
}

#[test]
fn noise_dims_are_the_same_bytes() {
    assert_eq!(size_of::<NoiseDims>(), 16);
    let dims = NoiseDims { elements: word(0), stream: word(1), scale: real(2), shift: real(3) };
    assert_eq!(echo("echo_noise_dims", dims, 4), expected(&[false, false, true, true]));
}

#[test]
fn one_hot_dims_are_the_same_bytes() {
    assert_eq!(size_of::<OneHotDims>(), 12);
    let dims = OneHotDims { samples: word(0), conditions: word(1), noise: word(2) };
    assert_eq!(echo("echo_one_hot_dims", dims, 3), expected(&[false, false, false]));
}

#[test]
fn pairwise_dims_are_the_same_bytes() {
    assert_eq!(size_of::<PairwiseDims>(), 24);
    let dims = PairwiseDims {
        samples: word(0),
        weights: word(1),
        first: word(2),
        total: word(3),
        stream: word(4),
        prior_scale: real(5),
    };
    assert_eq!(echo("echo_pairwise_dims", dims, 6), expected(&[false, false, false, false, false, true]));
}

#[test]
fn nearest_dims_are_the_same_bytes() {
    assert_eq!(size_of::<NearestDims>(), 12);
    let dims = NearestDims { samples: word(0), parts: word(1), total: word(2) };
    assert_eq!(echo("echo_nearest_dims", dims, 3), expected(&[false, false, false]));
}

#[test]
fn sample_dims_are_the_same_bytes() {
    assert_eq!(size_of::<SampleDims>(), 8);
    let dims = SampleDims { samples: word(0), inner: word(1) };
    assert_eq!(echo("echo_sample_dims", dims, 2), expected(&[false, false]));
}

#[test]
fn bias_dims_are_the_same_bytes() {
    assert_eq!(size_of::<BiasDims>(), 16);
    let dims = BiasDims { samples: word(0), rows: word(1), channels: word(2), inner: word(3) };
    assert_eq!(echo("echo_bias_dims", dims, 4), expected(&[false, false, false, false]));
}

#[test]
fn subset_dims_are_the_same_bytes() {
    assert_eq!(size_of::<SubsetDims>(), 24);
    let dims = SubsetDims {
        samples: word(0),
        chosen: word(1),
        weights: word(2),
        first: word(3),
        total: word(4),
        stream: word(5),
    };
    assert_eq!(echo("echo_subset_dims", dims, 6), expected(&[false; 6]));
}

#[test]
fn dropout_dims_are_the_same_bytes() {
    assert_eq!(size_of::<DropoutDims>(), 12);
    let dims = DropoutDims { elements: word(0), stream: word(1), keep: real(2) };
    assert_eq!(echo("echo_dropout_dims", dims, 3), expected(&[false, false, true]));
}

#[test]
fn gather_dims_are_the_same_bytes() {
    assert_eq!(size_of::<GatherDims>(), 28);
    let dims = GatherDims {
        images: word(0),
        members: word(1),
        batch: word(2),
        pixels: word(3),
        steps_per_epoch: word(4),
        shuffle: word(5),
        stream: word(6),
    };
    assert_eq!(echo("echo_gather_dims", dims, 7), expected(&[false; 7]));
}

#[test]
fn augment_dims_are_the_same_bytes() {
    assert_eq!(size_of::<AugmentDims>(), 40);
    let dims = AugmentDims {
        batch: word(0),
        channels: word(1),
        height: word(2),
        width: word(3),
        side: word(4),
        pad: word(5),
        random: word(6),
        stream: word(7),
        contrast_low: real(8),
        contrast_width: real(9),
    };
    let fields: Vec<bool> = (0..10).map(|field| field >= 8).collect();
    assert_eq!(echo("echo_augment_dims", dims, 10), expected(&fields));
}

#[test]
fn schedule_are_the_same_bytes() {
    assert_eq!(size_of::<Schedule>(), 32);
    let dims = Schedule {
        learning_rate: real(0),
        warmup_steps: word(1),
        decay_steps: word(2),
        final_fraction: real(3),
        anneal_start_step: word(4),
        anneal_length_steps: word(5),
        beta1: real(6),
        beta2: real(7),
    };
    assert_eq!(echo("echo_schedule", dims, 8), expected(&[true, false, false, true, false, false, true, true]));
}

#[test]
fn scalar_programs_are_the_same_bytes() {
    assert_eq!(size_of::<ScalarProgram>(), 16 + 24 * MOST_STEPS);
    let step = |index: usize| {
        let place = 4 + 6 * index as u32;
        let [code, a, b, y, add] = [0, 2, 3, 4, 5].map(|field| word(place + field));
        ScalarStep { code, factor: real(place + 1), a, b, y, add }
    };
    let program = ScalarProgram {
        steps: word(0),
        reads: word(1),
        writes: word(2),
        added: word(3),
        step: std::array::from_fn(step),
    };
    let fields: Vec<bool> = (0..4 + 6 * MOST_STEPS).map(|field| field >= 4 && (field - 4) % 6 == 1).collect();
    assert_eq!(echo("echo_scalar_program", program, fields.len()), expected(&fields));
}
