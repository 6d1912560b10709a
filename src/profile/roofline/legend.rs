//! What the colours, sizes and numbers of the picture mean.

use super::{NAMED, RADII};
use crate::profile::Profile;
use crate::profile::table::{share, time};
use crate::svg::{Anchor, Drawing};

/// Calls of one colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// What the names of its kernels begin with.
    beginnings: &'static [&'static str],
    title: &'static str,
    pub colour: &'static str,
}

/// Colours that are told apart with any colour vision (Okabe & Ito 2008).
const FAMILIES: [Family; 6] = [
    Family { beginnings: &["linear"], title: "linear maps", colour: "#0072b2" },
    Family { beginnings: &["conv2d"], title: "convolutions", colour: "#d55e00" },
    Family {
        beginnings: &["pairwise", "nearest", "per_weight", "half_squared_norm", "gaussian_kl", "log_density"],
        title: "divergence from the prior",
        colour: "#009e73",
    },
    Family { beginnings: &["optimizer", "clip"], title: "optimiser", colour: "#cc79a7" },
    Family { beginnings: &["softmax", "log_mean"], title: "softmax and loss", colour: "#e69f00" },
    Family { beginnings: &[""], title: "element by element, data, noise", colour: "#6c6c6c" },
];

/// The family of a kernel: the last one for all that have no other.
pub fn family(kernel: &str) -> Family {
    let has = |family: &&Family| family.beginnings.iter().any(|beginning| kernel.starts_with(beginning));
    FAMILIES.iter().find(has).copied().unwrap_or(FAMILIES[5])
}

/// Numbers calls from 1 on, given as (place, radius): in the dot, or beside it where the dot is small or another number stands.
pub fn numbers(drawing: &mut Drawing, calls: &[((f64, f64), f64)]) {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (index, &((x, y), radius)) in calls.iter().enumerate() {
        let inside = (radius >= LEAST_AROUND_NUMBER).then_some((x, y));
        let beside = [1.0, 2.0, 3.0].into_iter().flat_map(|ring| {
            let away = radius + 9.0 * ring;
            [(x + away, y), (x - away, y), (x, y - away), (x, y + away)]
        });
        let is_free = |place: &(f64, f64)| {
            taken.iter().all(|other| (other.0 - place.0).abs() >= 14.0 || (other.1 - place.1).abs() >= 13.0)
        };
        let place = inside.into_iter().chain(beside).find(is_free).unwrap_or((x, y));
        taken.push(place);
        let style = if place == (x, y) { "fill=\"#ffffff\" font-weight=\"bold\"" } else { "font-weight=\"bold\"" };
        drawing.text((place.0, place.1 + 4.0), 12.0, Anchor::Middle, style, &(index + 1).to_string());
    }
}

/// Radius of the smallest dot that a number fits into.
const LEAST_AROUND_NUMBER: f64 = 9.0;

/// Colours of the families that occur, sizes, and the slowest calls by number, from (x, y) down.
pub fn legend(drawing: &mut Drawing, profile: &Profile, x: f64, y: f64) {
    let mut y = y + 10.0;
    let heading = |drawing: &mut Drawing, y: f64, text: &str| {
        drawing.text((x, y), 13.0, Anchor::Start, "font-weight=\"bold\"", text);
    };
    heading(drawing, y, "calls");
    for shown in FAMILIES.iter().filter(|shown| profile.calls.iter().any(|call| family(&call.name) == **shown)) {
        y += 19.0;
        drawing.disc((x + 7.0, y - 4.0), 6.0, &format!("fill=\"{}\" fill-opacity=\"0.75\"", shown.colour), shown.title);
        drawing.text((x + 22.0, y), 12.0, Anchor::Start, "", shown.title);
    }
    y += 44.0;
    heading(drawing, y, "share of the calls' time");
    y += 26.0;
    let mut at = x;
    for part in [0.01_f64, 0.1, 0.3] {
        let radius = RADII.0 + (RADII.1 - RADII.0) * part.sqrt();
        at += radius;
        drawing.disc((at, y), radius, "fill=\"#bbbbbb\"", "size");
        drawing.text((at + radius + 5.0, y + 4.0), 12.0, Anchor::Start, "", &share(Some(part)));
        at += radius + 50.0;
    }
    y += 56.0;
    let all: f64 = profile.calls.iter().filter_map(|call| call.us).sum();
    heading(drawing, y, "slowest");
    for (index, call) in profile.calls.iter().take(NAMED).enumerate() {
        y += 30.0;
        let us = call.us.unwrap_or(0.0);
        let (name, label) = (&call.name, &call.label);
        drawing.text((x, y), 12.0, Anchor::Start, "", &format!("{}  {name} for {label}", index + 1));
        let times =
            format!("{}, {}, {} of its ceiling", time(us), share(Some(us / all)), share(call.share_of_ceilings));
        drawing.text((x + 16.0, y + 13.0), 11.0, Anchor::Start, "fill=\"#666666\"", &times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_a_family() {
        let expected = [
            ("linear_rank_update", "linear maps"),
            ("conv2d_pool_grad_weight", "convolutions"),
            ("nearest_neighbour_kl", "divergence from the prior"),
            ("per_weight_kl_grad", "divergence from the prior"),
            ("clip_by_value", "optimiser"),
            ("softmax_xent", "softmax and loss"),
            ("normal", "element by element, data, noise"),
        ];
        for (kernel, title) in expected {
            assert_eq!(family(kernel).title, title, "{kernel}");
        }
    }
}
