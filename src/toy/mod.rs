//! The cubic regression of arXiv 1711.01297 (figure 1): every method on 20 points, beside Hamiltonian Monte Carlo.

mod device;
mod fit;
mod picture;
mod recipe;
mod reference;
mod scores;
mod structured;
mod table;
mod task;

pub use device::Arithmetic;
pub use fit::{Networked, loss};
pub use picture::svg;
pub use recipe::{Changes, Kind};
pub use reference::Diagnostics;
pub use scores::{Band, Distance};
pub use structured::Structured;
pub use table::table;
pub use task::Task;

use crate::Result;
use crate::hmc::Settings as Hmc;
use fit::fit;
use recipe::Recipe;
use serde::Serialize;
use std::time::Instant;

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub methods: Vec<Kind>,
    pub seed: u64,
    /// Training points.
    pub points: usize,
    /// Hidden units of the network.
    pub units: usize,
    /// Networks (or masks) that predictions are the mean of, where a method draws them.
    pub draws: usize,
    pub changes: Changes,
    pub hmc: Hmc,
    /// Of the methods; the reference always computes in f64 on the CPU.
    pub arithmetic: Arithmetic,
}

/// A method's results.
pub struct Row {
    pub kind: Kind,
    pub networked: Networked,
    pub report: Report,
}

/// A method's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub method: String,
    /// Networks (or masks) that predicted.
    pub networks: usize,
    /// At the held-out points.
    pub rmse: f64,
    /// Of a held-out point, nats.
    pub log_likelihood: f64,
    /// From the reference, on the whole grid.
    pub distance: Option<Distance>,
    /// From the reference, beyond the data.
    pub distance_outside: Option<Distance>,
    /// On the grid.
    pub band: Band,
    pub seconds: f64,
    /// Of the reference itself.
    pub hmc: Option<Diagnostics>,
}

/// Trains the methods one after another and compares them with the reference, if it is one of them.
///
/// # Errors
/// When settings are out of range or a training diverges.
pub fn run(settings: &Settings) -> Result<(Task, Vec<Row>)> {
    let task = Task::new(settings.seed, settings.points, settings.units)?;
    let mut rows = settings.methods.iter().map(|&kind| row(&task, settings, kind)).collect::<Result<Vec<_>>>()?;
    let reference = rows.iter().find(|row| row.kind == Kind::Hmc).map(|row| row.report.band.clone());
    if let Some(reference) = reference {
        for row in rows.iter_mut().filter(|row| row.kind != Kind::Hmc) {
            row.report.distance = Some(Distance::everywhere(&row.report.band, &reference));
            row.report.distance_outside = Some(Distance::outside(&row.report.band, &reference));
        }
    }
    Ok((task, rows))
}

fn row(task: &Task, settings: &Settings, kind: Kind) -> Result<Row> {
    let start = Instant::now();
    let recipe = Recipe::new(kind, &settings.changes, (settings.seed, task.weights()));
    let (networked, hmc) = match kind {
        Kind::Hmc => {
            let map = fit(task, &recipe, (settings.seed, 1), Arithmetic::F64)?;
            let (networked, diagnostics) = reference::sample(task, &settings.hmc, &map.weights)?;
            (networked, Some(diagnostics))
        }
        _ => (fit(task, &recipe, (settings.seed, settings.draws), settings.arithmetic)?, None),
    };
    let predictions = &networked.predictions;
    let report = Report {
        method: kind.name().into(),
        networks: predictions.len() / task.inputs.len(),
        rmse: scores::rmse(task, predictions),
        log_likelihood: scores::log_likelihood(task, predictions),
        distance: None,
        distance_outside: None,
        band: Band::new(predictions, task.inputs.len()),
        seconds: start.elapsed().as_secs_f64(),
        hmc,
    };
    Ok(Row { kind, networked, report })
}
