//! A profile as a table for people.

use super::{CallProfile, Profile};
use crate::backend::Ceilings;
use crate::plan::bytes;
use std::fmt::Write;

/// Totals, ceilings, and a line for each call; "-" for what the device cannot tell.
pub fn table(p: &Profile) -> String {
    let t = &p.total;
    let mut text = format!(
        "{} on {}: {} calls, {} launches, {} moved, {} multiplied, {} of memory\n",
        p.name,
        p.device,
        p.calls.len(),
        t.launches,
        bytes(t.bytes),
        flop(t.flop),
        bytes(p.memory_bytes)
    );
    match (&p.ceilings, t.us, t.us_p10, t.us_p90) {
        (Some(ceilings), Some(us), Some(p10), Some(p90)) => {
            let _ = writeln!(
                text,
                "{} (10% to 90%: {} to {}), {} GB/s, {} TFLOP/s, {} of the ceilings; gap {}; median of {}",
                time(us),
                time(p10),
                time(p90),
                figure(t.gbps),
                figure(t.tflops),
                share(t.share_of_ceilings),
                t.gap_us.map_or("-".into(), time),
                p.repeats
            );
            text += &ceilings_line(ceilings);
        }
        _ => text += "this device keeps no time: counts only\n",
    }
    let _ = writeln!(
        text,
        "\n{:<26} {:<22} {:<36} {:>8} {:>10} {:>10} {:>9} {:>8} {:>8} {:>6}",
        "call", "for", "shape", "launches", "bytes", "FLOP", "us", "GB/s", "TFLOP/s", "share"
    );
    p.calls.iter().for_each(|call| text += &line(call));
    text
}

fn line(call: &CallProfile) -> String {
    format!(
        "{:<26} {:<22} {:<36} {:>8} {:>10} {:>10} {:>9} {:>8} {:>8} {:>6}\n",
        call.name,
        call.label,
        call.shape,
        call.launches,
        bytes(call.bytes),
        flop(call.flop),
        call.us.map_or("-".into(), |us| format!("{us:.1}")),
        figure(call.gbps),
        if call.flop > 0.0 { figure(call.tflops) } else { "-".into() },
        share(call.share_of_ceilings)
    )
}

/// `ceilings: copy 9.1 GB/s, ...`
fn ceilings_line(c: &Ceilings) -> String {
    let all = [
        ("copy", Some(c.copy_gbps), "GB/s"),
        ("update", c.update_gbps, "GB/s"),
        ("read", c.read_gbps, "GB/s"),
        ("fp32", Some(c.fp32_tflops), "TFLOP/s"),
        ("tf32", c.tf32_tflops, "TFLOP/s"),
        ("bf16", c.bf16_tflops, "TFLOP/s"),
    ];
    let known = all.iter().filter(|(_, rate, _)| rate.is_some());
    let known: Vec<String> = known.map(|(name, rate, unit)| format!("{name} {} {unit}", figure(*rate))).collect();
    format!("ceilings: {}\n", known.join(", "))
}

/// Microseconds for people.
pub fn time(us: f64) -> String {
    if us.abs() < 1000.0 { format!("{us:.1} us") } else { format!("{:.2} ms", us / 1000.0) }
}

/// Three significant digits, or "-".
pub fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value == 0.0 || !value.is_finite() => format!("{value}"),
        Some(value) => {
            let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
            format!("{value:.digits$}")
        }
    }
}

/// Percent, or "-".
pub fn share(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.0}%", 100.0 * value))
}

/// FLOP for people; "-" for none.
fn flop(flop: f64) -> String {
    match flop {
        0.0 => "-".into(),
        f if f < 1e6 => format!("{} kFLOP", figure(Some(f * 1e-3))),
        f if f < 1e9 => format!("{} MFLOP", figure(Some(f * 1e-6))),
        f => format!("{} GFLOP", figure(Some(f * 1e-9))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        for (value, text) in [(0.08712, "0.0871"), (1.0, "1.00"), (12.34, "12.3"), (4300.4, "4300"), (0.0, "0")] {
            assert_eq!(figure(Some(value)), text);
        }
        assert_eq!((figure(None), share(Some(0.456)), flop(2.5e7)), ("-".into(), "46%".into(), "25.0 MFLOP".into()));
    }
}
