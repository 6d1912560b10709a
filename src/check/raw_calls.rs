//! Calls that no gradient check reaches: updates in place, data, counters; and strided or long element-wise ones.

use super::raw_call::{Piece, RawCall, Values};
use super::raw_groups::{gaussians, linear_groups};
use crate::call::*;

/// All of them.
pub fn raw_calls() -> Vec<RawCall> {
    let calls = [rank_updates(), optimizer_steps(), batches(), counters(), element_wise(), noise(), crops()].concat();
    let wide = [rank_updates(), optimizer_steps(), batches(), noise(), crops()].concat();
    // One of several is enough: the paths for unaligned memory do not depend on the shape.
    let unaligned = wide.into_iter().step_by(5).map(RawCall::unaligned);
    calls.into_iter().chain(unaligned).chain(linear_groups()).chain(gaussians()).collect()
}

const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, moments: Moments::Fp32 };
const RMS_PROP: Optimizer = Optimizer::RmsProp { decay: 0.9, epsilon: 1e-5, moments: Moments::Fp32 };
const ADAM_BF16: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, moments: Moments::Bf16 };
const RMS_PROP_BF16: Optimizer = Optimizer::RmsProp { decay: 0.9, epsilon: 1e-5, moments: Moments::Bf16 };

/// What an optimiser reads besides gradients.
fn optimizer_state(optimizer: Optimizer) -> Vec<Piece> {
    match optimizer.moments() {
        Moments::Fp32 => vec![scalars()],
        Moments::Bf16 => vec![scalars(), Piece::words(&[7, 0xdead_beef, 17, 0])],
    }
}

/// Step scalars: learning rate, anneal factor and corrections of some step.
fn scalars() -> Piece {
    Piece::real(scalar::COUNT).between(0.05, 0.3)
}

/// w and its moments: of either sign, but for the mean square, which is the last and positive.
fn parameters(len: usize, optimizer: Optimizer) -> Vec<(Piece, Write)> {
    let moment = Piece::real(len).of(optimizer.moments().dtype());
    let mut pieces = vec![(Piece::real(len), Write::Update)];
    if optimizer.moment_count() == 2 {
        pieces.push((moment.clone(), Write::Update));
    }
    pieces.push((moment.between(0.01, 1.0), Write::Update));
    pieces
}

/// The name of an optimiser and how it stores its moments.
fn named(optimizer: Optimizer) -> String {
    format!("{} {:?}", optimizer.name(), optimizer.moments())
}

/// Rank updates over 1 to 16 rows, inputs that vectors divide and that they do not, either optimiser.
fn rank_updates() -> Vec<RawCall> {
    let shapes = [
        (1, 1, 1),
        (1, 3, 33),
        (1, 64, 40),
        (2, 17, 65),
        (2, 64, 129),
        (3, 129, 17),
        (4, 65, 33),
        (5, 512, 33),
        (5, 128, 300),
        (5, 520, 9),
        (2, 1027, 17),
        (6, 33, 129),
        (7, 64, 64),
        (8, 64, 65),
        (10, 130, 20),
        (11, 12, 65),
        (13, 65, 65),
        (16, 16, 129),
        (16, 33, 40),
    ];
    let mut calls = Vec::new();
    for (index, (rows, inputs, outputs)) in shapes.into_iter().enumerate() {
        let optimizers = [ADAM, RMS_PROP, ADAM_BF16, RMS_PROP_BF16];
        for (optimizer, input_gradient) in optimizers.into_iter().flat_map(|o| [(o, true), (o, false)]) {
            let dims = LinearDims { samples: 1, rows, inputs, outputs, shared_input: 0, bias: 0 };
            let [n, i, o] = [rows as usize, inputs as usize, outputs as usize];
            let mut writes = parameters(o * i, optimizer);
            if input_gradient {
                let write = if index % 2 == 0 { Write::Set } else { Write::Add };
                writes.push((Piece::real(n * i), write));
                writes.push((Piece::real(dims.rank_update_scratch()), Write::Set));
            }
            calls.push(RawCall {
                name: format!("{} {rows}x{inputs}x{outputs} {input_gradient}", named(optimizer)),
                kind: Kind::LinearRankUpdate { dims, optimizer, input_gradient },
                reads: [vec![Piece::real(n * i), Piece::real(n * o)], optimizer_state(optimizer)].concat(),
                writes,
            });
        }
    }
    calls
}

fn optimizer_steps() -> Vec<RawCall> {
    let mut calls = Vec::new();
    for elements in [1_u32, 3, 129, 1024, 5003] {
        for optimizer in [ADAM, RMS_PROP, ADAM_BF16, RMS_PROP_BF16] {
            calls.push(RawCall {
                name: format!("{} {elements}", named(optimizer)),
                kind: Kind::OptimizerStep { elements, optimizer },
                reads: [vec![Piece::real(elements as usize)], optimizer_state(optimizer)].concat(),
                writes: parameters(elements as usize, optimizer),
            });
        }
        calls.push(RawCall {
            name: format!("bound 0.5, {elements}"),
            kind: Kind::ClipByValue { elements, bound: 0.5 },
            reads: Vec::new(),
            writes: vec![(Piece::real(elements as usize), Write::Update)],
        });
    }
    calls
}

/// Batches in the middle and at the ragged end of a set, shuffled and in order, of one member and of several.
fn batches() -> Vec<RawCall> {
    let mut calls = Vec::new();
    for (members, images, batch, pixels) in
        [(1_u32, 1_u32, 1_u32, 1_u32), (1, 17, 5, 33), (3, 33, 33, 129), (1, 129, 20, 784), (2, 1000, 65, 3)]
    {
        let rows = members * batch;
        let steps_per_epoch = images.div_ceil(batch);
        for (shuffle, step) in [(1, 1), (1, steps_per_epoch), (1, 2 * steps_per_epoch + 1), (0, 1)] {
            for at in [0, steps_per_epoch - 1] {
                let dims = GatherDims { images, members, batch, pixels, steps_per_epoch, shuffle, stream: 77 };
                let bytes = |len: u32, bound: u8| Piece {
                    values: Values::Below(bound),
                    ..Piece::real(len as usize).of(Dtype::U8)
                };
                calls.push(RawCall {
                    name: format!(
                        "{members} x {batch} of {images} images of {pixels}, step {step}, {at}, shuffle {shuffle}"
                    ),
                    kind: Kind::GatherBatch(dims),
                    reads: vec![bytes(images * pixels, 255), bytes(images, 10), Piece::words(&[step, 5, 9, at])],
                    writes: vec![
                        (Piece::real((rows * pixels) as usize), Write::Set),
                        (Piece::words(&vec![0; rows as usize]), Write::Set),
                        (Piece::real(rows as usize), Write::Set),
                    ],
                });
            }
        }
    }
    calls
}

/// Crops of the centre and at random places, of one to four channels, with and without padding.
fn crops() -> Vec<RawCall> {
    let mut calls = Vec::new();
    for (batch, channels, [height, width], side, pad) in [
        (1_u32, 1_u32, [1_u32, 1_u32], 1_u32, 0_u32),
        (3, 2, [5, 7], 4, 1),
        (33, 3, [32, 32], 24, 2),
        (2, 4, [13, 9], 9, 5),
        (5, 3, [24, 24], 24, 0),
    ] {
        for random in [0, 1] {
            let [x, y] = [height * width, side * side].map(|plane| (batch * channels * plane) as usize);
            let (stream, contrast_low, contrast_width) = (55, 0.2, 1.6);
            calls.push(RawCall {
                name: format!("{batch} of {channels} x {height} x {width} to {side}, pad {pad}, random {random}"),
                kind: Kind::Augment(AugmentDims {
                    batch,
                    channels,
                    height,
                    width,
                    side,
                    pad,
                    random,
                    stream,
                    contrast_low,
                    contrast_width,
                }),
                reads: vec![Piece::real(x).between(0.0, 1.0), Piece::words(&[3, 0xdead_beef, 17, 0])],
                writes: vec![(Piece::real(y), Write::Set)],
            });
        }
    }
    calls
}

fn counters() -> Vec<RawCall> {
    let schedule = Schedule {
        learning_rate: 2e-3,
        warmup_steps: 100,
        decay_steps: 5000,
        final_fraction: 0.1,
        anneal_start_step: 50,
        anneal_length_steps: 300,
        beta1: 0.9,
        beta2: 0.999,
    };
    let constant = Schedule { warmup_steps: 0, decay_steps: 0, anneal_length_steps: 0, ..schedule };
    let mut calls = Vec::new();
    for (name, schedule) in [("cosine", schedule), ("constant", constant)] {
        for step in [0, 1, 49, 50, 98, 99, 100, 349, 2500, 4999, 5000, 100_000] {
            calls.push(RawCall {
                name: format!("{name}, step {step}"),
                kind: Kind::AdvanceStep(schedule),
                reads: Vec::new(),
                writes: vec![(Piece::words(&[step, 1, 2, 3]), Write::Update), (Piece::real(scalar::COUNT), Write::Set)],
            });
        }
    }
    for rows in [1_u32, 33, 129, 1000] {
        let mut reads = vec![Piece::real(1).between(0.5, 2.0); 5];
        reads.push(Piece::real(rows as usize).between(0.0, 1.0));
        let metrics = Piece::real(metric::COUNT).of(Dtype::F64).between(1.0, 9.0);
        calls.push(RawCall {
            name: format!("{rows} rows"),
            kind: Kind::AccumulateMetrics { rows },
            reads,
            writes: vec![(metrics, Write::Update)],
        });
    }
    calls
}

/// Strided regions, and sums of more than one block.
fn element_wise() -> Vec<RawCall> {
    let mut calls = Vec::new();
    for (count, len, stride) in [(1, 1, 1), (2, 17, 20), (5, 129, 300), (16, 33, 33)] {
        let elements = (count * len) as u32;
        let piece = Piece::blocks(count, len, stride);
        let call = |name: &str, kind: Kind, reads: Vec<Piece>, write: Write| RawCall {
            name: format!("{name} {count}x{len} of {stride}"),
            kind,
            reads,
            writes: vec![(
                if matches!(kind, Kind::HalfSquaredNorm { .. }) { Piece::real(1) } else { piece.clone() },
                write,
            )],
        };
        for write in [Write::Set, Write::Add] {
            calls.push(call("scale", Kind::Scale { elements, factor: -0.7 }, vec![piece.clone()], write));
            let scalar = Piece::real(1).between(0.5, 1.0);
            let kind = Kind::ScaleByScalar { elements, factor: 3.0 };
            calls.push(call("scale by scalar", kind, vec![piece.clone(), scalar], write));
            calls.push(call("fill", Kind::Fill { elements, value: 0.25 }, Vec::new(), write));
            calls.push(call("norm", Kind::HalfSquaredNorm { elements }, vec![piece.clone()], write));
        }
    }
    for elements in [4097_u32, 20_011] {
        let reads = vec![Piece::real(elements as usize).between(0.2, 1.0)];
        let writes = vec![(Piece::real(1), Write::Set)];
        let name = format!("{elements}");
        calls.push(RawCall { name, kind: Kind::Sum { elements }, reads, writes });
    }
    calls
}

/// Normal and uniform numbers over several counters, with ragged ends.
fn noise() -> Vec<RawCall> {
    let call = |elements: u32, kind: Kind| RawCall {
        name: format!("{elements}"),
        kind,
        reads: vec![Piece::words(&[3, 0xdead_beef, 17, 0])],
        writes: vec![(Piece::real(elements as usize), Write::Set)],
    };
    let both = |elements: u32| {
        let dims = NoiseDims { elements, stream: 1234, scale: 0.5, shift: 0.25 };
        [call(elements, Kind::Normal(dims)), call(elements, Kind::Uniform(dims))]
    };
    [1, 3, 17, 33, 129, 4096, 5003].into_iter().flat_map(both).collect()
}
