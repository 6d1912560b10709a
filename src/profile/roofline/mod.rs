//! A profile as a picture: the roofline model (Williams, Waterman & Patterson 2009). Across: arithmetic intensity, FLOP per
//! byte moved; up: FLOP per second; both logarithmic. A call lies below the slanted lines of the memory rates and the level
//! ones of the arithmetic. Calls without multiply-adds have no place on such axes: they stand in a strip on the left, whose
//! height is bytes per second at the same scale, so that the memory rates run through it level.

mod legend;
mod scale;

use super::table::{figure, share, time};
use super::{CallProfile, Profile};
use crate::backend::Ceilings;
use crate::svg::{Anchor, Drawing, width};
use crate::{Error, Result};
use scale::{Scale, above, below, power};

/// Size of the picture, its strip and its panel, pixels.
const WIDTH: f64 = 1220.0;
const HEIGHT: f64 = 640.0;
const STRIP: (f64, f64) = (80.0, 320.0);
const PANEL: (f64, f64) = (STRIP.1, 820.0);
const TOP: f64 = 76.0;
const BOTTOM: f64 = 570.0;
/// Part of the strip that the names of the memory rates have for themselves.
const NAMES: f64 = 112.0;
/// Radius of a call that takes no time, and of one that takes all of it (its area grows with its share).
const RADII: (f64, f64) = (3.5, 34.0);
/// Most decades of the upward axis: slower calls stand on its lower end.
const MOST_DECADES: i32 = 6;
/// Calls with a number and a name.
const NAMED: usize = 8;

const GRID: &str = "stroke=\"#e3e3e3\" stroke-width=\"1\"";
const FRAME: &str = "stroke=\"#555555\" stroke-width=\"1\"";
const CEILING: &str = "stroke=\"#333333\" stroke-width=\"1.6\"";

/// Draws the profile.
///
/// # Errors
/// When the device kept no time, so that there is nothing to draw.
pub fn svg(profile: &Profile) -> Result<String> {
    let (Some(ceilings), Some(_)) = (&profile.ceilings, profile.total.us) else {
        return Err(Error::input(format!(
            "svg: a roofline needs times, and {} keeps none; leave --svg out or choose another --device",
            profile.device
        )));
    };
    let axes = Axes::new(profile, ceilings);
    let mut drawing = Drawing::default();
    heading(&mut drawing, profile);
    axes.grid(&mut drawing);
    axes.ceilings(&mut drawing, ceilings);
    let calls = dots(profile, &axes);
    for dot in calls.iter().rev() {
        let colour = legend::family(&dot.name).colour;
        let style = format!("fill=\"{colour}\" fill-opacity=\"0.75\" stroke=\"#ffffff\" stroke-width=\"0.8\"");
        drawing.disc(dot.place, dot.radius, &style, &dot.title);
    }
    let named: Vec<_> = calls.iter().take(NAMED).map(|dot| (dot.place, dot.radius)).collect();
    legend::numbers(&mut drawing, &named);
    legend::legend(&mut drawing, profile, PANEL.1 + 70.0, TOP);
    Ok(drawing.finish(WIDTH, HEIGHT))
}

fn heading(drawing: &mut Drawing, p: &Profile) {
    let title = format!("{} on {}", p.name, p.device);
    drawing.text((STRIP.0, 30.0), 18.0, Anchor::Start, "font-weight=\"bold\"", &title);
    let t = &p.total;
    let text = format!(
        "{} in {} launches: {} GB/s, {} TFLOP/s, {} of the ceilings; median of {}",
        t.us.map_or("-".into(), time),
        t.launches,
        figure(t.gbps),
        figure(t.tflops),
        share(t.share_of_ceilings),
        p.repeats
    );
    drawing.text((STRIP.0, 52.0), 13.0, Anchor::Start, "", &text);
}

/// The axes: FLOP per byte across the panel; GFLOP/s up, or GB/s in the strip, which are `edge` times as many.
struct Axes {
    intensity: Scale,
    gflops: Scale,
    /// FLOP per byte at the left edge of the panel.
    edge: f64,
}

impl Axes {
    /// Whole decades around all calls and ceilings.
    fn new(profile: &Profile, ceilings: &Ceilings) -> Self {
        let multiplying = || profile.calls.iter().filter(|call| call.flop > 0.0 && call.bytes > 0);
        let intensities = || multiplying().map(|call| call.flop / call.bytes as f64);
        let roof = products(ceilings).iter().map(|ceiling| ceiling.1).fold(0.0, f64::max);
        let ridge = roof / ceilings.copy_gbps;
        let left = below(intensities().fold(1.0, f64::min)).clamp(-4, -1);
        let right = above(intensities().fold(3.0 * ridge, f64::max)).clamp(left + 2, 7);
        let edge = 10_f64.powi(left);
        let rate = |call: &CallProfile| match call.flop > 0.0 {
            true => call.tflops.map(|tflops| 1e3 * tflops),
            false => call.gbps.map(|gbps| edge * gbps),
        };
        let rates =
            || profile.calls.iter().filter_map(rate).chain([edge * ceilings.copy_gbps]).filter(|&rate| rate > 0.0);
        let high = above(1.2 * rates().fold(roof, f64::max));
        let lowest = rates().fold(f64::INFINITY, f64::min);
        let low = below(lowest).clamp(high - MOST_DECADES, high - 2);
        Self {
            intensity: Scale { low: left, high: right, from: PANEL.0, to: PANEL.1 },
            gflops: Scale { low, high, from: BOTTOM, to: TOP },
            edge,
        }
    }

    fn grid(&self, drawing: &mut Drawing) {
        for decade in self.gflops.decades() {
            let y = self.gflops.place(10_f64.powi(decade));
            drawing.line((STRIP.0, y), (PANEL.1, y), GRID);
            drawing.text((STRIP.0 - 8.0, y + 4.0), 12.0, Anchor::End, "", &power(decade - self.intensity.low));
            drawing.text((PANEL.1 + 8.0, y + 4.0), 12.0, Anchor::Start, "", &power(decade));
        }
        for decade in self.intensity.decades() {
            let x = self.intensity.place(10_f64.powi(decade));
            drawing.line((x, TOP), (x, BOTTOM), GRID);
            drawing.text((x, BOTTOM + 18.0), 12.0, Anchor::Middle, "", &power(decade));
        }
        for value in self.gflops.between() {
            let y = self.gflops.place(value);
            drawing.line((STRIP.0, y), (STRIP.0 + 4.0, y), FRAME);
            drawing.line((PANEL.1 - 4.0, y), (PANEL.1, y), FRAME);
        }
        for value in self.intensity.between() {
            let x = self.intensity.place(value);
            drawing.line((x, BOTTOM - 4.0), (x, BOTTOM), FRAME);
        }
        let frame = format!("fill=\"none\" {FRAME}");
        drawing.rectangle((STRIP.0, TOP), (STRIP.1 - STRIP.0, BOTTOM - TOP), &frame);
        drawing.rectangle((PANEL.0, TOP), (PANEL.1 - PANEL.0, BOTTOM - TOP), &frame);
        let middle = 0.5 * (TOP + BOTTOM);
        drawing.upward_text((24.0, middle), 13.0, "bytes moved, GB/s");
        drawing.upward_text((PANEL.1 + 58.0, middle), 13.0, "multiply-adds, GFLOP/s");
        let below = BOTTOM + 44.0;
        drawing.text((0.5 * (STRIP.0 + STRIP.1), below), 13.0, Anchor::Middle, "", "calls without multiply-adds");
        let across = "arithmetic intensity, FLOP per byte";
        drawing.text((0.5 * (PANEL.0 + PANEL.1), below), 13.0, Anchor::Middle, "", across);
    }

    /// Memory rates: level through the strip, then rising to the roof; arithmetic: level from where the fastest memory rate
    /// meets it.
    fn ceilings(&self, drawing: &mut Drawing, c: &Ceilings) {
        let (memory, products) = (memory(c), products(c));
        let fastest = memory.iter().map(|ceiling| ceiling.1).fold(0.0, f64::max);
        let roof = products.iter().map(|ceiling| ceiling.1).fold(0.0, f64::max);
        let mut names = Vec::new();
        for (index, (name, gbps)) in memory.iter().enumerate() {
            let style = format!("{CEILING} stroke-dasharray=\"{}\"", ["none", "8 3", "2 3"][index % 3]);
            let corner = (PANEL.0, self.gflops.place(self.edge * gbps));
            drawing.line((STRIP.0, corner.1), corner, &style);
            let ridge = (self.intensity.place(roof / gbps), self.gflops.place(roof));
            drawing.line(corner, ridge, &style);
            names.push((corner.1, format!("{name} {} GB/s", figure(Some(*gbps)))));
        }
        write_names(drawing, names, STRIP.0 + 8.0);
        // Their names stand left of them, above all memory rates, where no call can be unless it stays in a cache.
        for (name, gflops) in &products {
            let (x, y) = (self.intensity.place(gflops / fastest), self.gflops.place(*gflops));
            drawing.line((x, y), (PANEL.1, y), CEILING);
            let name = format!("{name} {} TFLOP/s", figure(Some(1e-3 * gflops)));
            drawing.text((x - 12.0, y + 4.0), 12.0, Anchor::End, "", &name);
        }
    }
}

/// Memory rates that are known, GB/s.
fn memory(c: &Ceilings) -> Vec<(&'static str, f64)> {
    let all = [("copy", Some(c.copy_gbps)), ("update", c.update_gbps), ("read", c.read_gbps)];
    all.into_iter().filter_map(|(name, rate)| Some((name, rate?))).collect()
}

/// Rates of arithmetic that are known, GFLOP/s.
fn products(c: &Ceilings) -> Vec<(&'static str, f64)> {
    let all = [("fp32", Some(c.fp32_tflops)), ("tf32", c.tf32_tflops), ("bf16", c.bf16_tflops)];
    all.into_iter().filter_map(|(name, rate)| Some((name, 1e3 * rate?))).collect()
}

/// Names above their lines from x on, moved down where two would overlap.
fn write_names(drawing: &mut Drawing, mut names: Vec<(f64, String)>, x: f64) {
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut least = TOP;
    for (y, name) in names {
        let y = (y - 5.0).max(least);
        least = y + 14.0;
        let style = "fill=\"#ffffff\" fill-opacity=\"0.85\"";
        drawing.rectangle((x - 2.0, y - 10.0), (width(&name, 12.0) + 4.0, 12.5), style);
        drawing.text((x, y), 12.0, Anchor::Start, "", &name);
    }
}

/// A call in the picture.
struct Dot {
    name: String,
    place: (f64, f64),
    radius: f64,
    title: String,
}

/// All calls, slowest first.
fn dots(profile: &Profile, axes: &Axes) -> Vec<Dot> {
    let all: f64 = profile.calls.iter().filter_map(|call| call.us).sum();
    let mut in_strip = 0;
    let dot = |call: &CallProfile| {
        let us = call.us?;
        let place = if call.flop > 0.0 {
            (axes.intensity.place(call.flop / call.bytes as f64), axes.gflops.place(1e3 * call.tflops?))
        } else {
            in_strip += 1;
            (strip_place(in_strip), axes.gflops.place(axes.edge * call.gbps?))
        };
        let title = format!(
            "{} for {}: {}; {}, {} GB/s, {} TFLOP/s, {} of the ceilings",
            call.name,
            call.label,
            call.shape,
            time(us),
            figure(call.gbps),
            figure(call.tflops),
            share(call.share_of_ceilings)
        );
        let radius = RADII.0 + (RADII.1 - RADII.0) * (us / all).sqrt();
        Some(Dot { name: call.name.clone(), place, radius, title })
    };
    profile.calls.iter().filter_map(dot).collect()
}

/// Across the free part of the strip in steps of the golden section, which keeps neighbours apart.
fn strip_place(index: usize) -> f64 {
    let share = (index as f64 * 0.618_034).fract();
    let (left, right) = (STRIP.0 + NAMES + 24.0, STRIP.1 - 24.0);
    left + share * (right - left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Total;

    fn call(name: &str, us: f64, bytes: usize, flop: f64) -> CallProfile {
        CallProfile {
            name: name.into(),
            label: "a < b & \"c\"".into(),
            shape: "S5".into(),
            launches: 1,
            bytes,
            flop,
            us: Some(us),
            gbps: Some(bytes as f64 / us * 1e-3),
            tflops: Some(flop / us * 1e-6),
            share_of_ceilings: Some(0.5),
        }
    }

    /// A step such as a large GPU might run.
    fn profile() -> Profile {
        let calls = vec![
            call("linear_rank_update", 1300.0, 4_950_000_000, 4.1e9),
            call("linear", 220.0, 829_000_000, 2.05e9),
            call("pairwise_distances_grad", 11.0, 16_000_000, 0.0),
            call("conv2d_pool", 10.0, 7_800_000, 1.6e9),
            call("linear_grad_weight", 16.0, 16_700_000, 2.2e9),
            call("optimizer_step", 16.0, 60_000_000, 0.0),
            call("advance_step", 2.0, 48, 0.0),
        ];
        let total = Total {
            launches: 7,
            bytes: 1,
            flop: 1.0,
            us: Some(1500.0),
            us_p10: Some(1490.0),
            us_p90: Some(1510.0),
            calls_us: Some(1575.0),
            gap_us: Some(-75.0),
            gbps: Some(3900.0),
            tflops: Some(6.0),
            share_of_ceilings: Some(0.9),
        };
        let ceilings = Ceilings {
            copy_gbps: 4300.0,
            update_gbps: None,
            read_gbps: None,
            fp32_tflops: 60.0,
            tf32_tflops: Some(300.0),
            bf16_tflops: Some(620.0),
        };
        let (name, device) = ("lenet-full".into(), "a large GPU".into());
        Profile {
            version: "",
            name,
            device,
            math: "tf32",
            repeats: 9,
            memory_bytes: 0,
            ceilings: Some(ceilings),
            total,
            calls,
        }
    }

    /// The number of an attribute in the first element that holds `part`.
    fn attribute(svg: &str, part: &str, name: &str) -> f64 {
        let line = svg.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part} in {svg}"));
        let (_, rest) = line.split_once(&format!(" {name}=\"")).expect("the attribute");
        rest.split('"').next().expect("a value").parse().expect("a number")
    }

    #[test]
    fn every_ceiling_has_its_line_and_name_in_their_order() {
        let svg = svg(&profile()).expect("times");
        let y = |name: &str| attribute(&svg, &format!(">{name}"), "y");
        assert!(y("bf16 620") < y("tf32 300") && y("tf32 300") < y("fp32 60.0") && y("fp32 60.0") < y("copy 4300"));
        assert!(!svg.contains(">update ") && !svg.contains(">read "), "not measured");
        assert_eq!(svg.matches("<circle").count(), svg.matches("</circle>").count());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"), "{svg}");
    }

    #[test]
    fn calls_stand_where_their_rates_say_and_are_as_large_as_their_share() {
        let svg = svg(&profile()).expect("times");
        let place = |kernel: &str| {
            let part = format!("<title>{kernel} for");
            (attribute(&svg, &part, "cx"), attribute(&svg, &part, "cy"), attribute(&svg, &part, "r"))
        };
        let (update, linear, product) = (place("linear_rank_update"), place("linear"), place("linear_grad_weight"));
        assert!(update.2 > linear.2 && linear.2 > product.2, "{update:?} {linear:?} {product:?}");
        assert!(product.0 > linear.0 && linear.0 > update.0 && update.0 > PANEL.0, "intensities");
        assert!(product.1 < linear.1 && linear.1 < update.1, "rates");
        let (step, slow) = (place("optimizer_step"), place("advance_step"));
        assert!(step.0 < PANEL.0 && slow.0 < PANEL.0, "calls without multiply-adds stand in the strip");
        assert!(slow.1 > step.1 && slow.1 <= BOTTOM, "{slow:?}");
        let copy = attribute(&svg, ">copy 4300", "y");
        assert!(step.1 > copy, "{step:?} is slower than the copy at {copy}");
    }

    #[test]
    fn a_device_without_a_clock_has_no_roofline() {
        let error = svg(&Profile { ceilings: None, ..profile() }).expect_err("no times");
        assert!(error.exit_code() == 2 && error.to_string().contains("a large GPU"), "{error}");
    }
}
