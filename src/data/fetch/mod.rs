//! Downloads the public data sets: mirrors in order, retries, resume, verification, atomic rename.

mod cifar;
mod download;
mod source;
mod verify;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::{Error, Result};
use download::Failure;
pub use source::{Digest, Kind, NAMES, RemoteFile, Source, find};

/// How far one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    pub file: &'a str,
    /// Bytes so far, those of earlier attempts included.
    pub received: u64,
    /// Bytes in all, when the mirror says.
    pub total: Option<u64>,
}

/// How often to try, and how long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Attempts at each mirror, at least 1.
    pub attempts: u32,
    /// Wait before the second attempt; doubled before each later one.
    pub pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 4, pause: Duration::from_secs(1) }
    }
}

/// Downloads the files of `source` into its folder below `data_dir`; files that are there and right stay.
///
/// An interrupted download goes on at the next call (`NAME.part`). A file appears under its name only
/// when it is complete and verified.
///
/// # Errors
/// No mirror that serves a right file (the message says where to put which files), or a failing disk.
pub fn fetch(source: &Source, data_dir: &Path, retry: Retry, progress: &mut dyn FnMut(Progress)) -> Result<()> {
    let folder = data_dir.join(source.folder);
    fs::create_dir_all(&folder).map_err(|e| {
        Error::run(format!("{}: cannot be created ({e}); give another folder with --data-dir", folder.display()))
    })?;
    for file in source.files {
        if !present(file, &folder) {
            fetch_file(source, file, &folder, retry, progress)?;
        }
    }
    Ok(())
}

/// Whether the right file is already in `folder`.
fn present(file: &RemoteFile, folder: &Path) -> bool {
    if let Kind::CifarArchive { records } = file.kind {
        return cifar::complete(folder, records);
    }
    [true, false].iter().any(|&gzip| {
        let path = folder.join(file.stored_name(gzip));
        path.is_file() && verify::file(file, &path).is_ok()
    })
}

/// Downloads, verifies and stores one file from the first mirror that serves it.
fn fetch_file(
    source: &Source,
    file: &RemoteFile,
    folder: &Path,
    retry: Retry,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let part = folder.join(format!("{}.part", file.name));
    let mut failures = Vec::new();
    for mirror in source.mirrors {
        match from_mirror(mirror, file, &part, retry, progress) {
            Ok(()) => return store(file, folder, &part),
            Err(Failure::Disk(failure)) => {
                return Err(Error::run(format!("{failure}; free space or give another folder with --data-dir")));
            }
            Err(Failure::Passing(failure) | Failure::Lasting(failure)) => failures.push(failure),
        }
    }
    let names: Vec<&str> = source.files.iter().map(|file| file.name).collect();
    Err(Error::run(format!(
        "cannot fetch {} of {}: {}; try again later, or get {} in another way and {}",
        file.name,
        source.name,
        failures.join("; "),
        names.join(", "),
        by_hand(file, folder)
    )))
}

/// What to do with files that were got in another way. The CIFAR archive brings its own folder along.
fn by_hand(file: &RemoteFile, folder: &Path) -> String {
    match file.kind {
        Kind::CifarArchive { .. } => {
            format!("unpack it so that its files lie in {}", folder.display())
        }
        Kind::Images { .. } | Kind::Labels { .. } => format!("put them into {}", folder.display()),
    }
}

/// Attempts one mirror until the partial file is complete and right.
fn from_mirror(
    mirror: &str,
    file: &RemoteFile,
    part: &Path,
    retry: Retry,
    progress: &mut dyn FnMut(Progress),
) -> std::result::Result<(), Failure> {
    let address = format!("{mirror}{}", file.name);
    let agent = download::agent(&address);
    let mut pause = retry.pause;
    let mut last = Failure::Lasting(format!("{address}: not tried"));
    for attempt in 0..retry.attempts.max(1) {
        if attempt > 0 {
            thread::sleep(pause);
            pause = pause.saturating_mul(2);
        }
        let resumed = part.exists();
        last = match download::attempt(&agent, &address, part, file.name, progress) {
            Err(failure @ Failure::Passing(_)) => failure,
            Err(failure) => return Err(failure),
            Ok(()) => match verify::file(file, part) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    // What is wrong cannot be completed: the next attempt or mirror starts from nothing.
                    fs::remove_file(part)
                        .map_err(|e| Failure::Disk(format!("{}: cannot be removed ({e})", part.display())))?;
                    let failure = format!("{address}: {error}");
                    // The start may have come from another mirror or version; a whole file is what it is.
                    if !resumed {
                        return Err(Failure::Lasting(failure));
                    }
                    Failure::Passing(failure)
                }
            },
        };
    }
    Err(last)
}

/// Gives the verified partial file its name, or unpacks it.
fn store(file: &RemoteFile, folder: &Path, part: &Path) -> Result<()> {
    if let Kind::CifarArchive { records } = file.kind {
        cifar::unpack(part, folder, records)?;
        return fs::remove_file(part)
            .map_err(|e| Error::run(format!("{}: cannot be removed ({e}); remove it yourself", part.display())));
    }
    let path = folder.join(file.stored_name(verify::is_gzip(part)));
    fs::rename(part, &path)
        .map_err(|e| Error::run(format!("{}: cannot be stored ({e}); check the folder's permissions", path.display())))
}
