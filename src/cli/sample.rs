//! `bbh sample`.

use super::{Machine, npy, print};
use crate::eval::plans::posterior;
use crate::eval::posterior::SAMPLES_AT_ONCE;
use crate::method::Networks;
use crate::plan::bytes;
use crate::train::Trainer;
use crate::{Error, Result, machine};
use safetensors::tensor::{Dtype, TensorView};
use std::path::{Path, PathBuf};

/// Arguments of `bbh sample`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run.
    run: PathBuf,
    /// Networks to draw.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    count: usize,
    /// File to write: .safetensors (one tensor [count, ..] per weight) or .npy (one matrix [count, weights]).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Use the weights of the best validation epoch.
    #[arg(long)]
    best: bool,
    /// Folder that holds mnist/, fashion-mnist/, notmnist/, cifar-10-batches-bin/. Default: $BBH_DATA, else the cache folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

/// The two file formats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Safetensors,
    Npy,
}

/// Draws and writes weights.
///
/// # Errors
/// When the run cannot be read or the file cannot be written.
pub fn run(args: Args) -> Result<()> {
    let format = match args.out.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Format::Safetensors,
        Some("npy") => Format::Npy,
        _ => {
            return Err(Error::input(format!(
                "{}: expected a name that ends in .safetensors or .npy",
                args.out.display()
            )));
        }
    };
    if args.count == 0 {
        return Err(Error::input("count: expected at least 1, found 0"));
    }
    args.machine.clone().install(move || {
        let (mut trainer, _) =
            super::eval::open(&args.run, args.best, |_| {}, args.data_dir.as_deref(), args.machine.target()?)?;
        expect_networks(trainer.planned.posterior.networks(), args.count)?;
        let total: usize = trainer.planned.specs.iter().map(|spec| spec.elements()).sum();
        expect_memory(args.count, total)?;
        let weights = draw(&mut trainer, args.count)?;
        let written = match format {
            Format::Safetensors => write_safetensors(&args.out, &trainer, args.count, &weights),
            Format::Npy => npy::write(&args.out, args.count, &weights).map_err(|error| error.to_string()),
        };
        written.map_err(|error| Error::run(format!("{}: cannot be written: {error}", args.out.display())))?;
        print(&format!("{} networks of {total} weights -> {}\n", args.count, args.out.display()));
        Ok(())
    })
}

/// Refuses to write more networks than a run has.
fn expect_networks(networks: Networks, count: usize) -> Result<()> {
    let (found, most) = match networks {
        Networks::Drawn => return Ok(()),
        Networks::One | Networks::Masked => ("one set of weights", 1),
        Networks::Members(members) => ("an ensemble", members),
    };
    if count > most {
        return Err(Error::input(format!("count: this run has {found}; expected at most {most}, found {count}")));
    }
    Ok(())
}

/// Refuses more networks of `total` weights than memory holds: all are drawn before any is written.
fn expect_memory(count: usize, total: usize) -> Result<()> {
    let (needed, available) = (count.saturating_mul(total * size_of::<f32>()), machine::available_memory());
    let most = available.unwrap_or(isize::MAX.unsigned_abs());
    if needed > most {
        return Err(Error::input(format!(
            "count: {count} networks need {} of memory and {} are available; draw fewer",
            bytes(needed),
            bytes(most)
        )));
    }
    Ok(())
}

/// [weight][count, elements]
fn draw(trainer: &mut Trainer, count: usize) -> Result<Vec<Vec<f32>>> {
    let planned = &trainer.planned;
    let mut weights: Vec<Vec<f32>> =
        planned.specs.iter().map(|spec| Vec::with_capacity(count * spec.elements())).collect();
    if planned.posterior.networks() != Networks::Drawn {
        for (spec, values) in planned.specs.iter().zip(&mut weights) {
            let region = planned.store.find(&spec.name)?;
            values.extend_from_slice(&trainer.device.persistent::<f32>(region)?[..count * spec.elements()]);
        }
        return Ok(weights);
    }
    for block in 0..count.div_ceil(SAMPLES_AT_ONCE) {
        planned.posterior.draw((&planned.store, trainer.device.as_mut()), block)?;
        let wanted = (count - block * SAMPLES_AT_ONCE).min(SAMPLES_AT_ONCE);
        for (spec, values) in planned.specs.iter().zip(&mut weights) {
            let region = planned.store.find(&posterior(spec))?;
            values.extend_from_slice(&trainer.device.persistent::<f32>(region)?[..wanted * spec.elements()]);
        }
    }
    Ok(weights)
}

fn write_safetensors(
    path: &Path,
    trainer: &Trainer,
    count: usize,
    weights: &[Vec<f32>],
) -> std::result::Result<(), String> {
    let mut views = Vec::with_capacity(weights.len());
    for (spec, values) in trainer.planned.specs.iter().zip(weights) {
        let shape = spec.shape(count).sizes();
        let view =
            TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values)).map_err(|error| error.to_string())?;
        views.push((spec.name.clone(), view));
    }
    safetensors::serialize_to_file(views, None, path).map_err(|error| error.to_string())
}
