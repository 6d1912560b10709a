//! `bbh profile`: its formats, and what it says of a device that keeps no time.

use crate::common::{assert_well_formed, bbh};
use serde_json::Value;

/// Standard output of a profile that succeeds.
fn output(args: &[&str]) -> String {
    let command = bbh(&["profile"]).args(args).assert().success();
    String::from_utf8(command.get_output().stdout.clone()).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&output(&[args, &["--json"]].concat())).unwrap()
}

/// Expects exit code 2 and a message that holds `part`.
fn refused(args: &[&str], part: &str) {
    let command = bbh(&["profile"]).args(args).assert().code(2);
    let error = String::from_utf8_lossy(&command.get_output().stderr).into_owned();
    assert!(error.contains(part), "{args:?}: {error}");
}

/// Lines of a file as fields; commas inside quotes belong to their field.
#[cfg(feature = "sim")]
fn rows(csv: &str) -> Vec<Vec<String>> {
    let fields = |line: &str| {
        let mut fields = vec![String::new()];
        for (index, part) in line.split('"').enumerate() {
            for (piece, text) in part.split(if index % 2 == 0 { ',' } else { '\n' }).enumerate() {
                if piece > 0 {
                    fields.push(String::new());
                }
                fields.last_mut().unwrap().push_str(text);
            }
        }
        fields
    };
    csv.lines().map(fields).collect()
}

/// One run of the clock for all formats: measuring the ceilings takes the better part of the time.
#[test]
fn a_kernel_on_the_cpu_has_times_rates_and_a_roofline() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("roofline.svg");
    let shape = ["--kernel", "conv2d", "--shape", "S=2,N=3,C=2,H=8,W=8,O=4,K=3", "--device", "cpu"];
    let profile = json(&[&shape[..], &["--repeats", "3", "--svg", picture.to_str().unwrap()]].concat());
    let calls = profile["calls"].as_array().unwrap();
    assert_eq!((calls.len(), profile["repeats"].as_u64()), (1, Some(3)), "{profile}");
    assert_eq!(calls[0]["flop"].as_f64(), Some(2.0 * (2 * 3 * 4 * 36 * 2 * 9) as f64));
    for figure in ["us", "gbps", "tflops", "share_of_ceilings"] {
        assert!(calls[0][figure].as_f64().unwrap() > 0.0, "{figure}: {profile}");
        assert!(profile["total"][figure].as_f64().unwrap() > 0.0, "{figure}: {profile}");
    }
    assert_eq!(profile["total"]["gap_us"].as_f64(), Some(0.0), "one call has no gap");
    for rate in ["copy_gbps", "update_gbps", "read_gbps", "fp32_tflops"] {
        assert!(profile["ceilings"][rate].as_f64().unwrap() > 0.0, "{rate}: {profile}");
    }
    let svg = std::fs::read_to_string(picture).unwrap();
    assert_well_formed(&svg);
    for ceiling in ["copy ", "update ", "read ", "fp32 "] {
        assert!(svg.contains(&format!(">{ceiling}")), "{ceiling}: {svg}");
    }
}

#[test]
fn kernels_are_listed_with_their_letters() {
    let list = output(&["--kernel", "list"]);
    assert!(list.contains("conv2d_pool_grad_weight    S=5,N=100,C=20,H=12,W=12,O=50,K=5\n"), "{list}");
}

#[test]
fn what_cannot_be_profiled_ends_with_2() {
    refused(&["--config", "alexnet"], "lenet-shared");
    refused(&["--config", "mlp-map", "--batch", "0"], "batch");
    refused(&["--config", "mlp-shared", "--samples", "1"], "samples");
    refused(&["--kernel", "gemm"], "linear_rank_update");
    refused(&["--kernel", "linear", "--shape", "Q=1"], "S=5,N=100,I=800,O=500");
    refused(&["--kernel", "linear_rank_update", "--shape", "N=17"], "at most 16");
    refused(&["--shape", "S=1"], "--kernel");
    refused(&["--kernel", "linear", "--config", "lenet-map"], "--config");
    refused(&["--kernel", "linear", "--batch", "5"], "--batch");
    refused(&["--kernel", "list", "--json", "--csv"], "--csv");
}

#[cfg(feature = "sim")]
mod sim {
    use super::*;

    const STEP: [&str; 6] = ["--config", "mlp-shared", "--batch", "20", "--device", "sim"];

    #[test]
    fn a_step_on_the_simulated_device_has_counts_and_no_times() {
        let profile = json(&STEP);
        assert_eq!(profile["math"], "tf32");
        assert!(profile["ceilings"].is_null(), "{profile}");
        let calls = profile["calls"].as_array().unwrap();
        let sum = |field: &str| calls.iter().map(|call| call[field].as_f64().unwrap()).sum::<f64>();
        for field in ["launches", "bytes", "flop"] {
            assert!(sum(field) > 0.0, "{field}: {profile}");
            assert_eq!(profile["total"][field].as_f64(), Some(sum(field)), "{field}");
        }
        assert!(sum("launches") >= calls.len() as f64, "every call launches");
        for value in calls.iter().chain([&profile["total"]]) {
            assert!(
                ["us", "gbps", "tflops", "share_of_ceilings"].iter().all(|field| value[*field].is_null()),
                "{value}"
            );
        }
        let bytes: Vec<u64> = calls.iter().map(|call| call["bytes"].as_u64().unwrap()).collect();
        assert!(bytes.windows(2).all(|pair| pair[0] >= pair[1]), "{bytes:?}");
        assert_eq!(json(&STEP), profile, "nothing in it depends on the clock");
    }

    #[test]
    fn csv_says_the_same_as_json() {
        let profile = json(&STEP);
        let csv = output(&[&STEP[..], &["--csv"]].concat());
        let rows = rows(&csv);
        let calls = profile["calls"].as_array().unwrap();
        assert_eq!(rows[0].join(","), bbh::profile::csv::COLUMNS);
        assert_eq!(rows.len(), calls.len() + 2, "a heading and a total besides the calls");
        for (row, call) in rows[1..].iter().zip(calls) {
            assert_eq!((row.len(), row[0].as_str()), (rows[0].len(), call["name"].as_str().unwrap()));
            assert_eq!(row[2], call["shape"].as_str().unwrap());
            assert_eq!(row[4].parse().ok(), call["bytes"].as_u64());
            assert_eq!(row[5].parse().ok(), call["flop"].as_f64());
            assert_eq!(row[6..].concat(), "", "no times");
        }
        assert_eq!(rows[rows.len() - 1][0], "total");
    }

    #[test]
    fn arithmetic_changes_launches_but_not_work() {
        let of = |math: &str| json(&["--kernel", "linear", "--device", "sim", "--math", math]);
        let (exact, rounded) = (of("fp32"), of("bf16"));
        assert_eq!((&exact["math"], &rounded["math"]), (&"fp32".into(), &"bf16".into()));
        assert_eq!(exact["total"]["flop"], rounded["total"]["flop"]);
        let table = output(&["--kernel", "linear", "--device", "sim"]);
        assert!(table.contains("counts only") && table.contains("   - "), "{table}");
    }

    #[test]
    fn there_is_no_roofline_without_times() {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("roofline.svg");
        refused(&["--kernel", "linear", "--device", "sim", "--svg", picture.to_str().unwrap()], "needs times");
        assert!(!picture.exists());
    }
}
