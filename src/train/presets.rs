//! Named settings: the authors' runs (arXiv 1711.01297), one TOML file for each, embedded in the program.

use super::options::Options;
use crate::{Error, Result};

/// Name and text of a preset.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    pub name: &'static str,
    text: &'static str,
}

/// All of them, in the order of the authors' table.
pub const PRESETS: [Preset; 25] = [
    Preset { name: "paper/bbh-noise8", text: include_str!("../../presets/paper/bbh-noise8.toml") },
    Preset { name: "paper/bbh-noise1", text: include_str!("../../presets/paper/bbh-noise1.toml") },
    Preset { name: "paper/bbh-noise64", text: include_str!("../../presets/paper/bbh-noise64.toml") },
    Preset {
        name: "paper/bbh-noise8-independent",
        text: include_str!("../../presets/paper/bbh-noise8-independent.toml"),
    },
    Preset {
        name: "paper/bbh-noise1-independent",
        text: include_str!("../../presets/paper/bbh-noise1-independent.toml"),
    },
    Preset {
        name: "paper/bbh-noise64-independent",
        text: include_str!("../../presets/paper/bbh-noise64-independent.toml"),
    },
    Preset { name: "paper/dropout", text: include_str!("../../presets/paper/dropout.toml") },
    Preset { name: "paper/map", text: include_str!("../../presets/paper/map.toml") },
    Preset { name: "paper/ensemble", text: include_str!("../../presets/paper/ensemble.toml") },
    Preset { name: "paper/mnf", text: include_str!("../../presets/paper/mnf.toml") },
    Preset { name: "paper/bbb", text: include_str!("../../presets/paper/bbb.toml") },
    Preset { name: "paper/bbb-per-weight", text: include_str!("../../presets/paper/bbb-per-weight.toml") },
    Preset { name: "paper/bbb-full", text: include_str!("../../presets/paper/bbb-full.toml") },
    Preset { name: "paper/bbb-disc", text: include_str!("../../presets/paper/bbb-disc.toml") },
    Preset { name: "paper/cifar5-bbh-noise8", text: include_str!("../../presets/paper/cifar5-bbh-noise8.toml") },
    Preset { name: "paper/cifar5-bbh-noise1", text: include_str!("../../presets/paper/cifar5-bbh-noise1.toml") },
    Preset { name: "paper/cifar5-bbh-noise64", text: include_str!("../../presets/paper/cifar5-bbh-noise64.toml") },
    Preset {
        name: "paper/cifar5-bbh-noise8-independent",
        text: include_str!("../../presets/paper/cifar5-bbh-noise8-independent.toml"),
    },
    Preset {
        name: "paper/cifar5-bbh-noise1-independent",
        text: include_str!("../../presets/paper/cifar5-bbh-noise1-independent.toml"),
    },
    Preset {
        name: "paper/cifar5-bbh-noise64-independent",
        text: include_str!("../../presets/paper/cifar5-bbh-noise64-independent.toml"),
    },
    Preset { name: "paper/cifar5-dropout", text: include_str!("../../presets/paper/cifar5-dropout.toml") },
    Preset { name: "paper/cifar5-map", text: include_str!("../../presets/paper/cifar5-map.toml") },
    Preset { name: "paper/cifar5-ensemble", text: include_str!("../../presets/paper/cifar5-ensemble.toml") },
    Preset { name: "paper/cifar5-bbb", text: include_str!("../../presets/paper/cifar5-bbb.toml") },
    Preset { name: "paper/cifar5-mnf", text: include_str!("../../presets/paper/cifar5-mnf.toml") },
];

impl Preset {
    /// The preset called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self> {
        PRESETS
            .into_iter()
            .find(|preset| preset.name == name)
            .ok_or_else(|| Error::input(format!("preset: there is no {name}; bbh presets lists them")))
    }

    /// What it is, in one sentence: the comment that its file begins with.
    pub fn summary(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches('#').trim()
    }

    /// What it sets.
    ///
    /// # Errors
    /// When its file has a key or a value that no run knows.
    pub fn options(&self) -> Result<Options> {
        Options::parse(self.text, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::config::Config;
    use std::path::Path;

    #[test]
    fn every_file_is_a_preset_that_resolves() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets/paper");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("paper/{}", entry.unwrap().path().file_stem().unwrap().to_str().unwrap()))
            .collect();
        let mut names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        files.sort();
        names.sort_unstable();
        assert_eq!(files, names);
        for preset in PRESETS {
            Config::resolve(preset.options().unwrap()).unwrap();
            assert!(preset.summary().ends_with('.'), "{}", preset.name);
        }
    }
}
