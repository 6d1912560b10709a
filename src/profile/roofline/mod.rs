//! A profile as a picture: the roofline model (Williams, Waterman & Patterson 2009). Across: arithmetic intensity, FLOP per
//! byte moved; up: FLOP per second; both logarithmic. A call lies below the slanted lines of the memory rates and the level
//! ones of the arithmetic. Calls without multiply-adds have no place on such axes: they stand in a strip on the left, whose
//! height is bytes per second at the same scale, so that the memory rates run through it level.

mod draw;
mod legend;
mod scale;

use super::Profile;
use super::table::{figure, share, time};
use crate::backend::Ceilings;
use crate::{Error, Result};
use draw::{Anchor, Drawing, width};
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
    for (index, dot) in calls.iter().enumerate().rev() {
        let colour = legend::family(&dot.name).colour;
        let style = format!("fill=\"{colour}\" fill-opacity=\"0.75\" stroke=\"#ffffff\" stroke-width=\"0.8\"");
        drawing.disc(dot.place, dot.radius, &style, &dot.title);
        if index < NAMED {
            legend::number(&mut drawing, dot.place, dot.radius, index + 1);
        }
    }
    legend::legend(&mut drawing, profile, PANEL.1 + 70.0, TOP);
    Ok(drawing.finish(WIDTH, HEIGHT))
}

fn heading(drawing: &mut Drawing, p: &Profile) {
    let title = format!("{} on {}, {}", p.name, p.device, p.math);
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
        let high = above(1.2 * roof);
        let lowest = profile.calls.iter().filter_map(|call| match call.flop > 0.0 {
            true => call.tflops.map(|tflops| 1e3 * tflops),
            false => call.gbps.map(|gbps| edge * gbps),
        });
        let lowest = lowest.chain([edge * ceilings.copy_gbps]).filter(|&rate| rate > 0.0).fold(f64::INFINITY, f64::min);
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
        write_names(drawing, names, STRIP.0 + 8.0, Anchor::Start);
        let mut names = Vec::new();
        for (name, gflops) in &products {
            let y = self.gflops.place(*gflops);
            drawing.line((self.intensity.place(gflops / fastest), y), (PANEL.1, y), CEILING);
            names.push((y, format!("{name} {} TFLOP/s", figure(Some(1e-3 * gflops)))));
        }
        write_names(drawing, names, PANEL.1 - 8.0, Anchor::End);
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

/// Names above their lines, moved down where two would overlap.
fn write_names(drawing: &mut Drawing, mut names: Vec<(f64, String)>, x: f64, anchor: Anchor) {
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut least = TOP;
    for (y, name) in names {
        let y = (y - 5.0).max(least);
        least = y + 14.0;
        let left = if matches!(anchor, Anchor::End) { x - width(&name, 12.0) } else { x };
        let style = "fill=\"#ffffff\" fill-opacity=\"0.85\"";
        drawing.rectangle((left - 2.0, y - 10.0), (width(&name, 12.0) + 4.0, 12.5), style);
        drawing.text((x, y), 12.0, anchor, "", &name);
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
    let dot = |call: &super::CallProfile| {
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
