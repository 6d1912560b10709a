//! How a run shows itself: a bar on a terminal, lines elsewhere, JSON lines or nothing when asked for.

use super::{json, print};
use crate::train::session::Event;
use crate::train::{EpochRecord, Sums};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::io::IsTerminal;

enum Style {
    Quiet,
    Json,
    Lines,
    Bar(ProgressBar),
}

/// Shows the events of a run.
pub struct Display {
    style: Style,
    /// Epoch that the bar shows.
    epoch: RefCell<usize>,
}

impl Display {
    /// A display for standard error.
    pub fn new(quiet: bool, as_json: bool) -> Self {
        let style = match (quiet, as_json, std::io::stderr().is_terminal()) {
            (true, _, _) => Style::Quiet,
            (_, true, _) => Style::Json,
            (_, _, true) => Style::Bar(ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8))),
            _ => Style::Lines,
        };
        Self { style, epoch: RefCell::new(0) }
    }

    /// Shows a line before everything else.
    pub fn heading(&self, text: &str) {
        if matches!(self.style, Style::Lines | Style::Bar(_)) {
            eprintln!("{text}");
        }
    }

    /// Shows one event.
    pub fn show(&self, event: &Event) {
        match (&self.style, event) {
            (Style::Quiet, _) => {}
            (Style::Json, Event::Epoch(record)) => {
                if let Ok(line) = json(record) {
                    print(&line);
                }
            }
            (Style::Json, _) => {}
            (Style::Lines, Event::Epoch(record)) => eprintln!("{}", line(record)),
            (Style::Lines, _) => {}
            (Style::Bar(bar), event) => self.draw(bar, event),
        }
    }

    /// Clears the bar.
    pub fn finish(&self) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }

    fn draw(&self, bar: &ProgressBar, event: &Event) {
        match event {
            Event::Step { epoch, done, steps, sums, seconds } => {
                if self.epoch.replace(*epoch) != *epoch {
                    bar.reset();
                    bar.set_length(*steps as u64);
                    bar.set_prefix(format!("epoch {epoch}"));
                    bar.set_style(style("{prefix} {bar:24} {pos}/{len} {msg} ETA {eta}"));
                }
                bar.set_position(*done as u64);
                bar.set_message(figures(sums, sums.images / seconds));
            }
            Event::Epoch(record) => bar.println(line(record)),
            Event::Evaluation(share) => {
                if self.epoch.replace(usize::MAX) != usize::MAX {
                    bar.reset();
                    bar.set_length(1000);
                    bar.set_prefix("evaluation");
                    bar.set_style(style("{prefix} {bar:24} {percent}% ETA {eta}"));
                }
                bar.set_position((share * 1000.0) as u64);
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn figures(sums: &Sums, images_per_second: f64) -> String {
    format!(
        "loss {:.4} ce {:.4} kl {:.3e} scaled {:.4} anneal {:.2} acc {:.2}% {:.0} img/s",
        sums.loss / sums.steps,
        sums.cross_entropy / sums.steps,
        sums.kl / sums.steps,
        sums.scaled_kl / sums.steps,
        sums.anneal,
        100.0 * sums.correct / sums.images,
        images_per_second
    )
}

fn line(record: &EpochRecord) -> String {
    let valid = match (record.valid_accuracy, record.valid_nll) {
        (Some(accuracy), Some(nll)) => format!(" valid acc {:.2}% nll {nll:.4}", 100.0 * accuracy),
        _ => String::new(),
    };
    format!(
        "epoch {:>3} loss {:.4} ce {:.4} kl {:.3e} scaled {:.4} anneal {:.2} acc {:.2}%{valid} {:.0} img/s {:.1} s",
        record.epoch,
        record.loss,
        record.cross_entropy,
        record.kl,
        record.scaled_kl,
        record.anneal,
        100.0 * record.accuracy,
        record.images_per_second,
        record.seconds
    )
}
