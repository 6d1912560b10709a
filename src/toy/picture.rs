//! The bands as a picture: a panel for each method, mean and 1, 2, 3 standard deviations beside the cubic and the data.

use super::Report;
use super::task::{END, Task, grid};
use crate::data::toy::{RANGE, cubic};
use crate::svg::{Anchor, Drawing};

/// Panels side by side, and the size of each with its margins, pixels.
const COLUMNS: usize = 3;
const CELL: (f64, f64) = (340.0, 280.0);
const MARGIN: (f64, f64) = (58.0, 34.0);
const PANEL: (f64, f64) = (270.0, 200.0);
/// Height of the heading.
const TOP: f64 = 64.0;

/// Targets on [-HEIGHT, HEIGHT] are shown; bands that leave it are cut off.
const HEIGHT: f64 = 250.0;

const BLUE: &str = "#0072b2";
const ORANGE: &str = "#d55e00";
const CUBIC: &str = "fill=\"none\" stroke=\"#d55e00\" stroke-width=\"1.6\" stroke-dasharray=\"6 3\"";
const MEAN: &str = "fill=\"none\" stroke=\"#0072b2\" stroke-width=\"2\"";
const BAND: &str = "fill=\"#0072b2\" fill-opacity=\"0.17\" stroke=\"none\"";
const POINT: &str = "fill=\"#000000\"";
const LIGHT: &str = "stroke=\"#e3e3e3\" stroke-width=\"1\"";
const EDGE: &str = "stroke=\"#999999\" stroke-width=\"1\" stroke-dasharray=\"2 3\"";

/// Draws the bands of all methods.
pub fn svg(task: &Task, reports: &[&Report]) -> String {
    let columns = reports.len().clamp(1, COLUMNS);
    let rows = reports.len().div_ceil(COLUMNS);
    let mut drawing = Drawing::default();
    heading(&mut drawing, task);
    for (index, report) in reports.iter().enumerate() {
        let x = (index % COLUMNS) as f64 * CELL.0 + MARGIN.0;
        let y = TOP + (index / COLUMNS) as f64 * CELL.1 + MARGIN.1;
        Panel { x, y }.draw(&mut drawing, task, report);
    }
    let width = (columns as f64 * CELL.0 + 10.0).max(700.0);
    drawing.finish(width, TOP + rows as f64 * CELL.1 + 10.0)
}

/// Title and legend.
fn heading(drawing: &mut Drawing, task: &Task) {
    let title = format!("y = x³ + N(0, 9²): predictions after {} points", task.train.x.len());
    drawing.text((20.0, 26.0), 16.0, Anchor::Start, "font-weight=\"bold\"", &title);
    let y = 50.0;
    drawing.line((20.0, y - 4.0), (44.0, y - 4.0), &format!("stroke=\"{BLUE}\" stroke-width=\"2\""));
    drawing.text((50.0, y), 12.0, Anchor::Start, "", "mean");
    for width in [66.0, 44.0, 22.0] {
        drawing.rectangle((128.0 - 0.5 * width, y - 10.0), (width, 12.0), BAND);
    }
    drawing.text((168.0, y), 12.0, Anchor::Start, "", "± 1, 2, 3 standard deviations of f(x)");
    let dashed = format!("stroke=\"{ORANGE}\" stroke-width=\"1.6\" stroke-dasharray=\"6 3\"");
    drawing.line((400.0, y - 4.0), (424.0, y - 4.0), &dashed);
    drawing.text((430.0, y), 12.0, Anchor::Start, "", "x³");
    drawing.disc((474.0, y - 4.0), 3.0, POINT, "data");
    drawing.text((484.0, y), 12.0, Anchor::Start, "", "data");
    drawing.line((534.0, y - 12.0), (534.0, y + 2.0), EDGE);
    drawing.text((542.0, y), 12.0, Anchor::Start, "", "end of the data's range");
}

/// Upper left corner of a panel's axes.
struct Panel {
    x: f64,
    y: f64,
}

impl Panel {
    /// Where a point lies, moved to the upper or lower edge when it is beyond.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let across = (x + END) / (2.0 * END);
        let down = (HEIGHT - y.clamp(-HEIGHT, HEIGHT)) / (2.0 * HEIGHT);
        (self.x + across * PANEL.0, self.y + down * PANEL.1)
    }

    fn draw(&self, drawing: &mut Drawing, task: &Task, report: &Report) {
        self.axes(drawing);
        let band = &report.band;
        for factor in [3.0, 2.0, 1.0] {
            let at = |sign: f64| {
                let points = grid().zip(band.mean.iter().zip(&band.deviation));
                points.map(move |(x, (mean, deviation))| self.place(x, mean + sign * factor * deviation))
            };
            let lower: Vec<_> = at(-1.0).collect();
            drawing.path(at(1.0).chain(lower.into_iter().rev()), BAND);
        }
        drawing.path(grid().map(|x| self.place(x, cubic(x))), CUBIC);
        drawing.path(grid().zip(&band.mean).map(|(x, &mean)| self.place(x, mean)), MEAN);
        for (&x, &y) in task.train.x.iter().zip(&task.train.y) {
            drawing.disc(self.place(x, y), 2.2, POINT, &format!("{x:.2}, {y:.1}"));
        }
        let middle = self.x + 0.5 * PANEL.0;
        drawing.text((middle, self.y - 8.0), 14.0, Anchor::Middle, "font-weight=\"bold\"", &report.method);
    }

    fn axes(&self, drawing: &mut Drawing) {
        for y in [-200.0, -100.0, 0.0, 100.0, 200.0] {
            let (left, height) = self.place(-END, y);
            drawing.line((left, height), (left + PANEL.0, height), LIGHT);
            drawing.text((left - 6.0, height + 4.0), 11.0, Anchor::End, "", &y.to_string());
        }
        for x in [-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0] {
            let (across, bottom) = self.place(x, -HEIGHT);
            let style = if f64::abs(x) == RANGE { EDGE } else { LIGHT };
            drawing.line((across, self.y), (across, bottom), style);
            drawing.text((across, bottom + 15.0), 11.0, Anchor::Middle, "", &x.to_string());
        }
        drawing.rectangle((self.x, self.y), PANEL, "fill=\"none\" stroke=\"#555555\" stroke-width=\"1\"");
        drawing.text((self.x + 0.5 * PANEL.0, self.y + PANEL.1 + 31.0), 12.0, Anchor::Middle, "", "x");
        drawing.upward_text((self.x - 42.0, self.y + 0.5 * PANEL.1), 12.0, "y");
    }
}
