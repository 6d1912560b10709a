use super::*;
use std::collections::BTreeMap;

fn dims(random: u32) -> AugmentDims {
    AugmentDims {
        batch: 1,
        channels: 3,
        height: 32,
        width: 32,
        side: 24,
        pad: 2,
        random,
        stream: 9,
        contrast_low: 0.2,
        contrast_width: 1.6,
    }
}

fn stream(step: u32) -> Stream {
    Stream { key: [1, 2], stream: 9, step }
}

/// Images whose pixels are all different.
fn images(count: usize) -> Vec<f64> {
    (0..count * 3 * 32 * 32).map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f64 / (1 << 24) as f64).collect()
}

#[test]
fn the_centre_is_rows_and_columns_4_to_27_standardised() {
    let x = images(1);
    let mut y = vec![0.0; 3 * 24 * 24];
    rows(&dims(0), stream(1), &x, &mut y);
    let crop: Vec<f64> = (0..3 * 24 * 24).map(|i| x[i / 576 * 1024 + (i / 24 % 24 + 4) * 32 + i % 24 + 4]).collect();
    let mean = crop.iter().sum::<f64>() / 1728.0;
    let deviation = (crop.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 1728.0).sqrt();
    for (i, (v, y)) in crop.iter().zip(&y).enumerate() {
        let expected = (v - mean) / deviation;
        assert!((y - expected).abs() <= 1e-12, "{i}: {y} instead of {expected}");
    }
}

#[test]
fn contrast_scales_deviations_from_each_channels_mean() {
    let x = images(1);
    let view = View { top: 3, left: 5, flip: false, contrast: 0.3 };
    let (mut y, mut plain) = (vec![0.0; 1728], vec![0.0; 1728]);
    one(&dims(1), view, &x, &mut y);
    for (c, plain) in plain.chunks_exact_mut(576).enumerate() {
        cut(&dims(1), view, &x[c * 1024..], plain);
        let mean = plain.iter().sum::<f64>() / 576.0;
        plain.iter_mut().for_each(|v| *v = 0.3 * (*v - mean) + mean + 0.77);
    }
    // A brightness of 0.77 was added to all: it makes no difference.
    let mean = plain.iter().sum::<f64>() / 1728.0;
    let deviation = (plain.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 1728.0).sqrt();
    for (y, v) in y.iter().zip(&plain) {
        assert!((y - (v - mean) / deviation).abs() <= 1e-12);
    }
}

#[test]
fn flips_mirror_and_padding_is_zero() {
    let x: Vec<f64> = (0..1024).map(|i| i as f64 + 1.0).collect();
    let mut y = vec![0.0; 576];
    cut(&dims(1), View { top: -2, left: 10, flip: true, contrast: 1.0 }, &x, &mut y);
    assert_eq!(y[..48], [0.0; 48], "two rows of padding");
    assert_eq!((y[48], y[48 + 1], y[48 + 2]), (0.0, 0.0, 32.0), "columns 33, 32 and 31 of row 0");
    assert_eq!(y[575], (21 * 32 + 10 + 1) as f64);
}

#[test]
fn views_are_uniform_and_depend_on_step_and_row_alone() {
    let (mut tops, mut lefts, mut flips, mut contrasts) = (BTreeMap::new(), BTreeMap::new(), 0, 0.0);
    let count = 13 * 2000;
    for row in 0..count {
        let view = View::random(&dims(1), &stream(5), row);
        *tops.entry(view.top).or_insert(0) += 1;
        *lefts.entry(view.left).or_insert(0) += 1;
        flips += i32::from(view.flip);
        contrasts += view.contrast;
        assert!((0.2..1.8).contains(&view.contrast));
    }
    for places in [tops, lefts] {
        assert_eq!(places.keys().copied().collect::<Vec<_>>(), (-2..=10).collect::<Vec<_>>());
        // 2000 expected, standard deviation 43.
        assert!(places.values().all(|&n: &i32| (n - 2000).abs() < 220), "{places:?}");
    }
    assert!((flips - 13_000).abs() < 400 && (contrasts / f64::from(count) - 1.0).abs() < 0.02, "{flips} {contrasts}");
    assert_eq!(View::random(&dims(1), &stream(5), 7), View::random(&dims(1), &stream(5), 7));
    assert_ne!(View::random(&dims(1), &stream(5), 7), View::random(&dims(1), &stream(6), 7));
}

#[test]
fn empty_rows_and_flat_images_stay_finite_and_threads_do_not_matter() {
    let mut x = images(40);
    x[..3072].fill(0.0);
    x[3072..6144].fill(0.5);
    let x: Vec<f32> = x.into_iter().map(|v| v as f32).collect();
    let run = |threads: usize| {
        let mut y = vec![f32::NAN; 40 * 1728];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| rows(&dims(1), stream(3), &x, &mut y));
        y
    };
    let y = run(1);
    assert!(y[..1728] == [0.0; 1728] && y.iter().all(|v| v.is_finite()));
    assert!(run(2) == y && run(3) == y);
}
