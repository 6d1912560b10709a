use super::*;

const IMAGES: usize = 23;
const BATCH: usize = 5;

fn dims(pixels: usize, shuffle: u32) -> GatherDims {
    GatherDims {
        members: 1,
        images: IMAGES as u32,
        batch: BATCH as u32,
        pixels: pixels as u32,
        steps_per_epoch: IMAGES.div_ceil(BATCH) as u32,
        shuffle,
        stream: 8,
    }
}

/// Image i has bytes i, i + 1, ... and label i.
fn bytes(pixels: usize) -> (Vec<u8>, Vec<u8>) {
    ((0..IMAGES * pixels).map(|i| (i / pixels + i % pixels) as u8).collect(), (0..IMAGES as u8).collect())
}

fn gathered(pixels: usize, shuffle: u32, words: &[u32]) -> (Vec<f32>, Vec<u32>, Vec<f32>) {
    let (images, labels) = bytes(pixels);
    let (mut x, mut y, mut weights) = (vec![9f32; BATCH * pixels], vec![9; BATCH], vec![9f32; BATCH]);
    let set = Set { images: &images, labels: &labels };
    gather_rows(&dims(pixels, shuffle), &set, words, &mut x, &mut y, &mut weights);
    (x, y, weights)
}

#[test]
fn batches_in_order_end_with_padding() {
    for pixels in [3, 20_000] {
        for batch in 0..5 {
            let (x, labels, weights) = gathered(pixels, 0, &[7, 1, 2, batch]);
            for row in 0..BATCH {
                let image = batch as usize * BATCH + row;
                let inside = image < IMAGES;
                assert_eq!(labels[row], if inside { image as u32 } else { 0 });
                assert_eq!(weights[row], if inside { 1.0 } else { 0.0 });
                for (j, &x) in x[row * pixels..(row + 1) * pixels].iter().enumerate() {
                    let byte = ((image + j) % 256) as f32;
                    assert_eq!(x, if inside { byte / 255.0 } else { 0.0 }, "row {row}, pixel {j}");
                }
            }
        }
    }
    assert_eq!(gathered(3, 0, &[7, 1, 2, 5]).2, [0.0; BATCH], "a batch past the end has no weight");
    assert_eq!(gathered(3, 0, &[7, 1, 2, u32::MAX]).2, [0.0; BATCH], "nor has one far past it");
}

/// Labels of the images of one epoch, in order.
fn epoch(epoch: u32, seed: u32) -> Vec<u32> {
    let mut all = Vec::new();
    for batch in 0..5 {
        let (x, labels, weights) = gathered(1, 1, &[epoch * 5 + batch + 1, seed, 2, 99]);
        for row in 0..BATCH {
            if weights[row] == 1.0 {
                assert_eq!(x[row], labels[row] as f32 / 255.0, "pixels and label are of one image");
                all.push(labels[row]);
            }
        }
    }
    all
}

#[test]
fn an_epoch_visits_each_image_once_in_an_order_of_its_own() {
    let orders = [epoch(0, 1), epoch(1, 1), epoch(0, 2)];
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..IMAGES as u32).collect::<Vec<_>>());
    }
    assert_ne!(orders[0], orders[1]);
    assert_ne!(orders[0], orders[2]);
    assert_eq!(orders[0], epoch(0, 1));
}

#[test]
fn advancing_writes_the_scalars_of_the_new_step() {
    let schedule = Schedule {
        learning_rate: 0.5,
        warmup_steps: 10,
        decay_steps: 0,
        final_fraction: 0.0,
        anneal_start_step: 2,
        anneal_length_steps: 4,
        beta1: 0.5,
        beta2: 0.75,
    };
    let mut words = [2, 11, 12, 13];
    let mut scalars = [9f64; scalar::COUNT];
    advance(&schedule, &mut words, &mut scalars);
    assert_eq!(words, [3, 11, 12, 13]);
    let expected = [0.15, 0.25, 0.875, 0.578_125];
    assert!(scalars.iter().zip(expected).all(|(s, e)| (s - e).abs() <= 1e-12), "{scalars:?}");
}

#[test]
fn metrics_add_up() {
    let mut metrics = [1.0; metric::COUNT];
    for _ in 0..2 {
        accumulate(&[0.5, 0.25, 8.0, 0.125, 3.0], &[1f32, 1.0, 0.0], &mut metrics);
    }
    assert_eq!(metrics, [2.0, 1.5, 17.0, 1.25, 7.0, 5.0, 3.0]);
}
