//! Training steps of the shipped engine: ms, GFLOP/s, GB/s, share of the ceilings measured in the same run.
//!
//! `cargo bench --bench step -- [CONFIG ...] [--repeats N] [--turns N] [--json]`; configurations as in `bbh profile`, `+mc`
//! appended for all samples in the likelihood. With BBH_PEER="PYTHON SCRIPT" the peer script runs the same step in turn with
//! ours, in the same run; it is called as `PYTHON SCRIPT ID --mode MODE ...` and prints one JSON line with "ms" and "rss_gib".

use bbh::backend::Target;
use bbh::profile::{self, Profile};
use bbh::train::options::Options;
use std::process::Command;

/// Our configuration, and the peer's identifier, modes and further arguments for the same work.
const STEPS: [(&str, &str, &[&[&str]]); 10] = [
    ("lenet-map", "M1", &[&["--mode", "eager"], &["--mode", "compile"]]),
    ("lenet-dropout", "D1", &[&["--mode", "eager"], &["--mode", "compile"]]),
    ("lenet-ensemble", "E1", &[&["--mode", "eager"], &["--mode", "compile"]]),
    ("lenet-bbb", "BBB1", &[&["--mode", "eager"], &["--mode", "compile"]]),
    ("lenet-mnf", "MNF1", &[&["--mode", "eager"]]),
    (
        "lenet-shared",
        "A3",
        &[&["--mode", "eager", "--kl", "gram", "--head", "wh"], &["--mode", "compile", "--kl", "gram"]],
    ),
    (
        "lenet-sliced",
        "A2",
        &[&["--mode", "eager", "--kl", "gram", "--head", "wh"], &["--mode", "compile", "--kl", "gram"]],
    ),
    (
        "lenet-full",
        "A1",
        &[&["--mode", "eager", "--kl", "gram", "--head", "wh"], &["--mode", "expert", "--kl", "gram"]],
    ),
    (
        "resnet-full",
        "B1",
        &[&["--mode", "eager", "--kl", "gram", "--head", "wh"], &["--mode", "expert", "--kl", "gram"]],
    ),
    ("resnet-map", OWN_PEER, &[&["--mode", "eager"], &["--mode", "compile"]]),
];

/// A step whose peer is benches/torch/resnet.py, run by the Python of BBH_PEER.
const OWN_PEER: &str = "resnet-map";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number =
        |flag: &str| args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1)?.parse::<usize>().ok());
    let (repeats, turns) = (number("--repeats").unwrap_or(15), number("--turns").unwrap_or(1));
    let json = args.iter().any(|arg| arg == "--json");
    let names: Vec<&String> =
        args.iter().filter(|arg| arg.starts_with("lenet-") || arg.starts_with("resnet-")).collect();
    let pool = rayon::ThreadPoolBuilder::new().build()?;
    for (step, peer, modes) in STEPS {
        let chosen = names.iter().filter(|name| name.trim_end_matches("+mc") == step).map(|name| name.ends_with("+mc"));
        let chosen: Vec<bool> = if names.is_empty() { vec![false] } else { chosen.collect() };
        for mc in chosen {
            let mut times = Vec::new();
            for _ in 0..turns.max(1) {
                let options = Options { mc: Some(mc), ..Options::default() };
                let config = profile::named(step, options)?;
                let profile = pool.install(|| profile::step(step, config, Target::Cpu, repeats))?;
                show(&profile, json)?;
                times.push(profile.total.us.unwrap_or(f64::NAN) * 1e-3);
                if let Ok(command) = std::env::var("BBH_PEER") {
                    modes.iter().try_for_each(|mode| run_peer(&command, &peer_id(peer, mc), mode))?;
                }
            }
            times.sort_by(f64::total_cmp);
            println!(
                "{step}{}: median of {} turns {:.2} ms",
                if mc { "+mc" } else { "" },
                times.len(),
                0.5 * (times[(times.len() - 1) / 2] + times[times.len() / 2])
            );
        }
    }
    Ok(())
}

/// The peer numbers LeNet's steps with all samples in the likelihood three above, the residual network's one above.
fn peer_id(id: &str, mc: bool) -> String {
    match (mc, id) {
        (true, "A1") => "A4".into(),
        (true, "A2") => "A5".into(),
        (true, "A3") => "A6".into(),
        (true, "B1") => "B2".into(),
        _ => id.into(),
    }
}

fn show(p: &Profile, json: bool) -> Result<(), Box<dyn std::error::Error>> {
    if json {
        println!("{}", serde_json::to_string(p)?);
    } else {
        let (total, ceilings) = (&p.total, p.ceilings.as_ref().ok_or("the CPU keeps time")?);
        let figure = |value: Option<f64>| value.unwrap_or(f64::NAN);
        println!(
            "bbh   {:<14} {:>8.2} ms ({:.2}..{:.2})  {:>6.1} GFLOP/s {:>5.1} GB/s  {:>3.0}% of ceilings (update {:.1} GB/s, product {:.0} GFLOP/s)  peak {:.2} GiB",
            p.name,
            figure(total.us) * 1e-3,
            figure(total.us_p10) * 1e-3,
            figure(total.us_p90) * 1e-3,
            figure(total.tflops) * 1e3,
            figure(total.gbps),
            100.0 * figure(total.share_of_ceilings),
            ceilings.memory_gbps(),
            ceilings.fp32_tflops * 1e3,
            bbh::machine::peak_resident().unwrap_or(0) as f64 / f64::from(1 << 30)
        );
    }
    Ok(())
}

fn run_peer(command: &str, id: &str, mode: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let mut words: Vec<&str> = command.split_whitespace().collect();
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/torch/resnet.py");
    if id == OWN_PEER {
        words.truncate(1);
        words.push(own);
    }
    let (program, words) = words.split_first().ok_or("BBH_PEER is empty")?;
    let output = Command::new(program)
        .args(words)
        .arg(id)
        .args(mode)
        .env("MALLOC_MMAP_MAX_", "0")
        .env("MALLOC_TRIM_THRESHOLD_", "100000000000")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).to_string();
    let line = text.lines().last().filter(|_| output.status.success());
    let Some(line) = line else {
        println!("peer  {id} {}: failed: {}", mode.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        return Ok(());
    };
    let value: serde_json::Value = serde_json::from_str(line)?;
    println!(
        "peer  {id} {:<40} {:>8.2} ms  peak {:.2} GiB",
        mode.join(" "),
        value["ms"].as_f64().unwrap_or(f64::NAN),
        value["rss_gib"].as_f64().unwrap_or(f64::NAN)
    );
    Ok(())
}
