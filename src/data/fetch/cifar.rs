//! Unpacks the CIFAR-10 archive: six batches of records, nothing else from it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use tar::Archive;

use super::super::cifar::{BATCHES, RECORD};
use super::verify;
use crate::{Error, Result};

/// Whether all batches lie in `folder` with their full length.
pub(super) fn complete(folder: &Path, records: usize) -> bool {
    let length = (records * RECORD) as u64;
    BATCHES.iter().all(|name| folder.join(name).metadata().is_ok_and(|file| file.len() == length))
}

/// Writes the batches of the archive into `folder`. Only the last part of an entry's path is used: no entry
/// can reach outside the folder.
///
/// # Errors
/// A damaged archive, a missing or malformed batch, a failing disk.
pub(super) fn unpack(archive: &Path, folder: &Path, records: usize) -> Result<()> {
    let damaged =
        |e| Error::run(format!("{}: cannot be unpacked ({e}); remove it and fetch the set again", archive.display()));
    let mut tar = Archive::new(GzDecoder::new(File::open(archive).map_err(damaged)?));
    let limit = (records * RECORD) as u64 + 1;
    for entry in tar.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let Some(name) = BATCHES.iter().find(|&&name| path.file_name().is_some_and(|last| last == name)) else {
            continue;
        };
        let target = folder.join(name);
        let mut bytes = Vec::new();
        entry.take(limit).read_to_end(&mut bytes).map_err(damaged)?;
        verify::cifar_batch(&target, &bytes, records)?;
        write_whole(&target, &bytes)?;
    }
    match BATCHES.iter().find(|name| !folder.join(name).is_file()) {
        None => Ok(()),
        Some(name) => Err(Error::run(format!(
            "{}: expected an entry {name}, found none; remove it and fetch the set again",
            archive.display()
        ))),
    }
}

/// Writes a file that appears under its name only when complete.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("bin.part");
    let written = File::create(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    written.map_err(|e| {
        Error::run(format!(
            "{}: cannot be written ({e}); free space or give another folder with --data-dir",
            path.display()
        ))
    })
}
