use super::*;

#[test]
fn philox_gives_the_known_answers_of_random123() {
    let ones = u32::MAX;
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
    let cases = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([ones; 4], [ones; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
    ];
    for (counter, key, expected) in cases {
        assert_eq!(philox4x32_10(counter, key), expected, "counter {counter:x?}");
    }
}

fn stream() -> Stream {
    Stream { key: [7, 11], stream: 3, step: 5 }
}

#[test]
fn uniform_stays_inside_the_open_interval() {
    for bits in [0, 1, 255, 256, 1 << 31, u32::MAX - 256, u32::MAX] {
        assert!(uniform(bits) > 0.0 && uniform(bits) < 1.0, "f64 of {bits}");
        assert!(uniform_f32(bits) > 0.0 && uniform_f32(bits) < 1.0, "f32 of {bits}");
        assert!((uniform(bits) - f64::from(uniform_f32(bits))).abs() <= 6e-8, "f32 and f64 of {bits}");
    }
}

#[test]
fn any_block_of_a_stream_is_the_same_as_in_one_walk() {
    let mut whole32 = vec![0f32; 1500];
    let mut whole64 = vec![0f64; 1500];
    stream().normals_f32(0, &mut whole32);
    stream().normals_f64(0, &mut whole64);
    for first in [0, 1, 2, 3, 4, 5, 254, 255, 256, 257, 900] {
        for len in [0, 1, 2, 3, 4, 5, 31, 32, 33, 255, 256, 257, 513] {
            let mut part32 = vec![0f32; len];
            let mut part64 = vec![0f64; len];
            stream().normals_f32(first as u64, &mut part32);
            stream().normals_f64(first as u64, &mut part64);
            assert_eq!(part32, whole32[first..first + len], "{len} f32 from {first}");
            assert_eq!(part64, whole64[first..first + len], "{len} f64 from {first}");
        }
    }
}

#[test]
fn f32_normals_agree_with_f64() {
    let n = 1 << 20;
    let mut narrow = vec![0f32; n];
    let mut wide = vec![0f64; n];
    stream().normals_f32(0, &mut narrow);
    stream().normals_f64(0, &mut wide);
    for (i, (a, b)) in narrow.iter().zip(&wide).enumerate() {
        let difference = (f64::from(*a) - b).abs();
        assert!(difference <= 1e-6, "element {i}: f32 {a}, f64 {b}");
    }
}

#[test]
fn normals_have_the_moments_and_the_distribution_of_the_normal_law() {
    let n = 1 << 22;
    let mut x = vec![0f32; n];
    stream().normals_f32(0, &mut x);
    let moment = |power: i32| x.iter().map(|&v| f64::from(v).powi(power)).sum::<f64>() / n as f64;
    let root = (n as f64).sqrt();
    for (power, expected, deviation) in
        [(1, 0.0, 1.0), (2, 1.0, 2f64.sqrt()), (3, 0.0, 15f64.sqrt()), (4, 3.0, 96f64.sqrt())]
    {
        let found = moment(power);
        assert!((found - expected).abs() <= 4.0 * deviation / root, "moment {power}: {found}");
    }
    let lagged = |lag: usize| x.iter().zip(&x[lag..]).map(|(a, b)| f64::from(a * b)).sum::<f64>() / n as f64;
    for lag in [1, 2, 3, 4, 64, 256] {
        assert!(lagged(lag).abs() <= 4.0 / root, "correlation at lag {lag}: {}", lagged(lag));
    }
    // Shares below -3, -2, -1, 0, 1, 2, 3 (normal distribution function).
    let below = [0.001_349_898, 0.022_750_132, 0.158_655_254, 0.5, 0.841_344_746, 0.977_249_868, 0.998_650_102];
    for (i, expected) in below.into_iter().enumerate() {
        let limit = i as f32 - 3.0;
        let found = x.iter().filter(|&&v| v < limit).count() as f64 / n as f64;
        assert!(
            (found - expected).abs() <= 4.0 * (expected * (1.0 - expected)).sqrt() / root,
            "below {limit}: {found}"
        );
    }
}

#[test]
fn steps_streams_and_seeds_give_different_numbers() {
    let base = stream();
    let others = [
        Stream { step: 6, ..base },
        Stream { stream: 4, ..base },
        Stream { key: [8, 11], ..base },
        Stream { key: [7, 12], ..base },
    ];
    for other in others {
        assert_ne!(base.bits(0), other.bits(0), "{other:?}");
    }
}

#[test]
fn permute_is_a_bijection() {
    for n in [1, 2, 3, 10, 1000, 60_000] {
        for key in [[0, 0], [1, 2], [0xdead_beef, 77]] {
            let mut seen = vec![false; n as usize];
            for i in 0..n {
                let place = permute(key, n, i) as usize;
                assert!(!std::mem::replace(&mut seen[place], true), "{place} twice, n = {n}, key {key:?}");
            }
        }
    }
}

/// Chi-square of 0..bins counts against equal shares.
fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum()
}

#[test]
fn permute_shows_no_structure() {
    let (n, bins) = (60_000u32, 64usize);
    // Mean 63, standard deviation sqrt(126) = 11.2; the worst of 96 draws stays below 63 + 5 * 11.2.
    let limit = 63.0 + 5.0 * 126f64.sqrt();
    let bin = |value: u32| (u64::from(value) * bins as u64 / u64::from(n)) as usize;
    for seed in 0..32 {
        let key = [seed, 1];
        let mut displacement = vec![0; bins];
        let mut step = vec![0; bins];
        let mut other_key = vec![0; bins];
        for i in 0..n {
            let place = permute(key, n, i);
            displacement[bin((place + n - i) % n)] += 1;
            step[bin((permute(key, n, (i + 1) % n) + n - place) % n)] += 1;
            other_key[bin((permute([seed + 1, 1], n, i) + n - place) % n)] += 1;
        }
        for (name, counts) in [("displacement", &displacement), ("neighbours", &step), ("keys", &other_key)] {
            let found = chi_square(counts);
            assert!(found <= limit, "{name}: chi-square {found}, seed {seed}");
        }
    }
}

#[test]
fn small_permutations_reach_every_order_equally_often() {
    let mut counts = vec![0u32; 6];
    for seed in 0..6000 {
        let [a, b, _] = [0, 1, 2].map(|i| permute([seed, 9], 3, i));
        counts[(a * 2 + if b > a { b - 1 } else { b }) as usize] += 1;
    }
    // 5 degrees of freedom; 20.5 is the 99.9 % point.
    assert!(chi_square(&counts) <= 20.5, "{counts:?}");
}
