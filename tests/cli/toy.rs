//! `bbh toy`: the comparison, its formats and its folder.

use crate::common::{assert_well_formed, bbh};
use serde_json::Value;
use std::fs;

/// Enough of the sampler to see that it runs.
const QUICK: [&str; 8] = ["--hmc-burn-in", "50", "--hmc-draws", "20", "--hmc-thin", "1", "--hmc-leapfrog", "10"];

fn output(args: &[&str]) -> String {
    let command = bbh(&["toy"]).args(args).assert().success();
    String::from_utf8(command.get_output().stdout.clone()).unwrap()
}

fn refused(args: &[&str], part: &str) {
    let command = bbh(&["toy"]).args(args).assert().code(2);
    let error = String::from_utf8_lossy(&command.get_output().stderr).into_owned();
    assert!(error.contains(part) && !error.contains("panicked"), "{args:?}: {error}");
}

/// A list of JSON objects without the seconds that they took.
fn reports(args: &[&str]) -> Vec<Value> {
    let mut reports: Vec<Value> = serde_json::from_str(&output(&[args, &["--json"]].concat())).unwrap();
    for report in &mut reports {
        assert!(report.as_object_mut().unwrap().remove("seconds").unwrap().as_f64().unwrap() >= 0.0);
    }
    reports
}

fn distance(report: &Value, figure: &str) -> f64 {
    report["distance_outside"][figure].as_f64().unwrap()
}

/// The claim of the paper's figure 1, for a seed at which no setting was chosen: beyond the data Bayes by Hypernet is nearer to
/// Hamiltonian Monte Carlo than dropout and MAP are, as a band and as a density.
#[test]
fn beyond_the_data_bbh_is_nearer_to_hmc_than_dropout_and_map() {
    let all = reports(&["--methods", "map,dropout,bbh,hmc", "--seed", "4", "--hmc-draws", "250"]);
    let [map, dropout, bbh, hmc] = &all[..] else { panic!("{all:?}") };
    for other in [map, dropout] {
        let band = |report: &Value| distance(report, "mean") + distance(report, "deviation");
        assert!(band(bbh) < 0.5 * band(other), "{bbh} {other}");
        assert!(distance(bbh, "kl") < 0.5 * distance(other, "kl"), "{bbh} {other}");
    }
    assert!(hmc["distance"].is_null() && map["hmc"].is_null());
    let figure = |name: &str| hmc["hmc"][name].as_f64().unwrap();
    assert!(figure("r_hat") < 1.05 && figure("effective_samples") > 100.0, "{hmc}");
    assert!((figure("acceptance") - 0.8).abs() < 0.1, "{hmc}");
    assert_eq!(map["networks"], 1);
    assert!(map["band"]["deviation"].as_array().unwrap().iter().all(|deviation| deviation == 0.0), "{map}");
}

/// Every method for a few steps: figures are finite, networks counted, files written; the same on one thread and on two.
#[test]
fn all_methods_leave_bands_weights_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("toy");
    let mut args = vec!["--steps", "20", "--draws", "30", "--units", "7", "--points", "11"];
    args.extend(QUICK);
    let first = reports(&[&args[..], &["--threads", "1", "--out", out.to_str().unwrap()]].concat());
    assert_eq!(first, reports(&[&args[..], &["--threads", "2"]].concat()));
    let written: Vec<Value> = serde_json::from_str(&fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(written.len(), first.len());
    let svg = fs::read_to_string(out.join("bands.svg")).unwrap();
    assert_well_formed(&svg);
    let networks = [
        ("map", 1, 1),
        ("dropout", 30, 1),
        ("ensemble", 10, 10),
        ("bbb", 30, 30),
        ("mnf", 30, 30),
        ("bbh", 30, 30),
        ("bbh-structured", 30, 30),
        ("bbh-full-noise", 30, 30),
        ("hmc", 80, 80),
    ];
    let found: Vec<&str> = first.iter().map(|report| report["method"].as_str().unwrap()).collect();
    assert_eq!(found, networks.map(|(name, _, _)| name));
    for (report, (name, predicted, rows)) in first.iter().zip(networks) {
        assert_eq!(report["networks"], predicted, "{report}");
        for figure in ["rmse", "log_likelihood"] {
            assert!(report[figure].as_f64().is_some_and(f64::is_finite), "{figure}: {report}");
        }
        assert_eq!(report["distance"]["mean"].is_f64(), name != "hmc", "{report}");
        assert!(svg.contains(&format!(">{name}</text>")), "{name}");
        // 7 + 7 + 7 + 1 weights of 4 bytes behind a header of a multiple of 64.
        let npy = fs::read(out.join(format!("{name}.npy"))).unwrap();
        let header = String::from_utf8_lossy(&npy[..128]).into_owned();
        assert!(header.contains(&format!("'shape': ({rows}, 22)")), "{header}");
        assert_eq!(npy.len() % 64, rows * 22 * 4 % 64, "{name}");
    }
}

#[test]
fn f64_and_seeds_change_numbers_and_the_table_names_the_methods() {
    let args = |more: &[&str]| {
        let mut all = vec!["--methods", "map", "--steps", "50"];
        all.extend(more);
        reports(&all)[0]["rmse"].as_f64().unwrap()
    };
    let (single, double, other) = (args(&[]), args(&["--f64"]), args(&["--seed", "1"]));
    assert!(single != double && (single - double).abs() < 1e-3 * single, "{single} {double}");
    assert!((single - other).abs() > 1e-3 * single, "{single} {other}");
    let table = output(&[&["--methods", "bbb,hmc", "--steps", "5"], &QUICK[..]].concat());
    for part in ["bbb ", "hmc ", "R-hat", "acceptance", "effective sample size", "not identified"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
}

/// Every method after a few steps: on the simulated device within rounding of the CPU, the reference the same bits.
#[cfg(feature = "sim")]
#[test]
fn the_simulated_device_trains_and_predicts_like_the_cpu() {
    let args = [&["--steps", "3", "--units", "8", "--draws", "10", "--device"], &QUICK[..]];
    let on = |device: &[&str]| reports(&[args[0], device, args[1]].concat());
    let (cpu, sim) = (on(&["cpu"]), on(&["sim", "--math", "fp32"]));
    assert_eq!(cpu.len(), 9);
    for (cpu, sim) in cpu.iter().zip(&sim) {
        let name = cpu["method"].as_str().unwrap();
        assert_eq!(cpu == sim, name == "hmc", "{name}: the device computes all but the reference");
        for figure in ["mean", "deviation"] {
            let values = |report: &Value| -> Vec<f64> {
                report["band"][figure].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
            };
            let (cpu, sim) = (values(cpu), values(sim));
            let largest = cpu.iter().fold(0.1, |largest: f64, value| largest.max(value.abs()));
            for (point, (cpu, sim)) in cpu.iter().zip(&sim).enumerate() {
                assert!((cpu - sim).abs() <= 1e-5 * largest, "{name}, {figure} at {point}: {sim}, on the CPU {cpu}");
            }
        }
    }
}

#[cfg(not(feature = "sim"))]
#[test]
fn a_program_without_the_simulated_device_says_how_to_build_one() {
    refused(&["--methods", "map", "--device", "sim"], "--features sim");
}

#[test]
fn wrong_use_ends_with_2() {
    for (flag, value) in [
        ("--points", "0"),
        ("--points", "99999999999"),
        ("--units", "0"),
        ("--draws", "0"),
        ("--steps", "0"),
        ("--samples", "0"),
        ("--lr", "0"),
        ("--lr", "nan"),
        ("--threads", "0"),
    ] {
        refused(&["--methods", "map", flag, value], flag.trim_start_matches('-'));
    }
    refused(&["--methods", "hmc", "--steps", "1", "--hmc-draws", "0"], "draws");
    refused(&["--methods", "bbh", "--samples", "1"], "samples");
    refused(&["--methods", "alexnet"], "bbh-full-noise");
    for machine in [&["--device", "sim"][..], &["--device", "cuda"], &["--math", "fp32"]] {
        refused(&[&["--methods", "map", "--f64"], machine].concat(), "only the CPU computes in f64");
    }
    refused(&["--methods", "map", "--device", "cpu", "--math", "tf32"], "math: the CPU computes in fp32");
    let folder = tempfile::tempdir().unwrap();
    refused(&["--methods", "map", "--out", folder.path().to_str().unwrap()], "folder");
    let diverged = bbh(&["toy", "--methods", "map", "--lr", "1e30", "--steps", "20"]).assert().code(3);
    assert!(String::from_utf8_lossy(&diverged.get_output().stderr).contains("--lr"));
}
