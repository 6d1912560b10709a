//! `bbh presets`.

use super::print;
use crate::train::config::Config;
use crate::train::presets::{PRESETS, Preset};
use crate::{Error, Result};
use clap::Subcommand;
use std::fmt::Write;

/// Arguments of `bbh presets`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Print every setting of a preset, as a file for --config.
    Show {
        /// Its name.
        name: String,
    },
}

/// Lists the presets, or shows one.
///
/// # Errors
/// When there is no preset of that name.
pub fn run(args: &Args) -> Result<()> {
    match &args.action {
        None => print(&list()),
        Some(Action::Show { name }) => print(&shown(Preset::named(name)?)?),
    }
    Ok(())
}

fn list() -> String {
    let width = PRESETS.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for preset in PRESETS {
        let _ = writeln!(text, "{:width$}  {}", preset.name, preset.summary());
    }
    text + "\nbbh train --preset NAME trains one; flags beside it win. bbh presets show NAME prints all that it sets.\n"
}

fn shown(preset: Preset) -> Result<String> {
    let config = Config::resolve(preset.options()?)?;
    let settings = toml::to_string(&config).map_err(|error| Error::run(format!("{}: {error}", preset.name)))?;
    Ok(format!("# {}\n{settings}", preset.summary()))
}
