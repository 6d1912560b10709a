//! A run's folder: config.toml, metrics.jsonl, checkpoint.safetensors, best.safetensors, summary.json, log.txt.

use super::config::Config;
use super::record::EpochRecord;
use crate::{Error, Result};
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A new folder at `path`, which must not exist or be empty; by default the next free `runs/NNN-...`.
    ///
    /// # Errors
    /// When the folder holds something already or cannot be made.
    pub fn create(path: Option<&Path>, config: &Config) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_path_buf(),
            None => next_free(Path::new("runs"), &label(config)),
        };
        let occupied = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if occupied || path.is_file() {
            return Err(Error::input(format!(
                "{}: expected a new or empty folder for the run; choose another --out, or --resume this one",
                path.display()
            )));
        }
        let folder = Self { path };
        fs::create_dir_all(&folder.path).map_err(|error| {
            Error::input(format!("{}: expected a folder that can be made anew: {error}", folder.path.display()))
        })?;
        let text = toml::to_string(config).map_err(|error| folder.failed("given a configuration", &error))?;
        folder.replace("config.toml", text.as_bytes())?;
        Ok(folder)
    }

    /// Removes the folder of a run that never began: its configuration, and itself where nothing else is in it.
    pub fn discard(self) {
        // What cannot be removed does no harm: the error that ended the run is what the user hears.
        let _ = fs::remove_file(self.path.join("config.toml"));
        let _ = fs::remove_dir(&self.path);
    }

    /// The folder of a run that exists, with its configuration.
    ///
    /// # Errors
    /// When there is no readable configuration.
    pub fn open(path: &Path) -> Result<(Self, Config)> {
        let file = path.join("config.toml");
        let text = fs::read_to_string(&file).map_err(|error| {
            Error::input(format!("{}: not the folder of a run: config.toml: {error}", path.display()))
        })?;
        let config: Config = toml::from_str(&text).map_err(|error| {
            let message = error.to_string();
            let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            Error::input(format!("{}: {}", file.display(), lines.join(" ")))
        })?;
        config.check().map_err(|error| Error::input(format!("{}: {error}", file.display())))?;
        Ok((Self { path: path.to_path_buf() }, config))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state after the last complete epoch (or an interruption).
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint.safetensors")
    }

    /// The weights of the epoch with the best validation loss.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// Appends an epoch to metrics.jsonl.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn append_metrics(&self, record: &EpochRecord) -> Result<()> {
        let line = serde_json::to_string(record).map_err(|error| self.failed("given metrics", &error))?;
        self.append("metrics.jsonl", &line)
    }

    /// Drops the epochs after `epoch` from metrics.jsonl: a resumed run writes them again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_metrics(&self, epoch: usize) -> Result<()> {
        let Ok(text) = fs::read_to_string(self.path.join("metrics.jsonl")) else { return Ok(()) };
        let kept: String = text
            .lines()
            .filter(|line| serde_json::from_str::<EpochRecord>(line).is_ok_and(|record| record.epoch <= epoch))
            .flat_map(|line| [line, "\n"])
            .collect();
        self.replace("metrics.jsonl", kept.as_bytes())
    }

    /// Writes a JSON file of the folder.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string_pretty(value).map_err(|error| self.failed("given a summary", &error))?;
        text.push('\n');
        self.replace(name, text.as_bytes())
    }

    /// Appends a line to log.txt.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn log(&self, line: &str) -> Result<()> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = now.map_or(0, |duration| duration.as_secs());
        self.append("log.txt", &format!("{seconds} {line}"))
    }

    fn append(&self, name: &str, line: &str) -> Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(self.path.join(name));
        let written = file.and_then(|mut file| writeln!(file, "{line}"));
        written.map_err(|error| self.failed(&format!("written ({name})"), &error))
    }

    /// Writes a file under another name first, so that a crash leaves the former one whole.
    fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        let temporary = self.path.join(format!("{name}.partial"));
        let written = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, self.path.join(name)));
        written.map_err(|error| self.failed(&format!("written ({name})"), &error))
    }

    fn failed(&self, what: &str, error: &dyn std::fmt::Display) -> Error {
        Error::run(format!("{}: the run's folder cannot be {what}: {error}", self.path.display()))
    }
}

/// `synthetic-bbh-shared`: data, method and, for generated weights, generator.
fn label(config: &Config) -> String {
    let data = Path::new(&config.data).file_name().map_or("data".into(), |name| name.to_string_lossy().to_string());
    config.label(&data)
}

fn next_free(parent: &Path, label: &str) -> PathBuf {
    let used = fs::read_dir(parent).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().to_string();
        name.split('-').next().and_then(|number| number.parse::<usize>().ok())
    });
    let number = used.max().unwrap_or(0) + 1;
    parent.join(format!("{number:03}-{label}"))
}
