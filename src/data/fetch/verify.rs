//! Checks a file against what its source promises: SHA-256 where known, format, sizes and labels always.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::super::cifar::RECORD;
use super::super::idx;
use super::source::{Digest, Kind, RemoteFile};
use crate::{Error, Result};

/// Checks the file at `path`.
///
/// # Errors
/// Any difference, as one sentence that names the file.
pub(super) fn file(spec: &RemoteFile, path: &Path) -> Result<()> {
    if let Digest::File(expected) = spec.digest {
        let found = sha256(File::open(path).map_err(|e| unreadable(path, &e))?, u64::MAX, path)?;
        same_digest(path, "SHA-256", expected, &found)?;
    }
    if let Digest::Contents(expected) = spec.digest {
        // One byte past the limit is enough to make the digest differ from that of any right file.
        let found = sha256(idx::open(path)?, spec.contents_limit() as u64 + 1, path)?;
        same_digest(path, "SHA-256 of the uncompressed contents", expected, &found)?;
    }
    match spec.kind {
        Kind::Images { count, height, width } => sizes(path, &idx::read(path)?.dims, &[count, height, width]),
        Kind::Labels { count } => {
            let labels = idx::read(path)?;
            sizes(path, &labels.dims, &[count])?;
            ten_classes(path, labels.bytes.iter().copied())
        }
        Kind::CifarArchive { .. } => Ok(()),
    }
}

/// Checks one CIFAR-10 batch: `records` of one label (0 to 9) and 3072 pixel bytes.
pub(super) fn cifar_batch(path: &Path, bytes: &[u8], records: usize) -> Result<()> {
    let expected = records * RECORD;
    if bytes.len() != expected {
        return Err(Error::run(format!(
            "{}: expected {expected} bytes ({records} records of {}), found {}; fetch the set again",
            path.display(),
            RECORD,
            bytes.len()
        )));
    }
    ten_classes(path, bytes.iter().step_by(RECORD).copied())
}

/// Whether the file starts with gzip's magic number.
pub(super) fn is_gzip(path: &Path) -> bool {
    let mut start = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == [0x1f, 0x8b]
}

fn sizes(path: &Path, found: &[usize], expected: &[usize]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::run(format!("{}: expected sizes {expected:?}, found {found:?}; fetch the set again", path.display())))
}

fn ten_classes(path: &Path, mut labels: impl Iterator<Item = u8>) -> Result<()> {
    match labels.find(|&label| label > 9) {
        None => Ok(()),
        Some(label) => Err(Error::run(format!(
            "{}: expected labels from 0 to 9, found {label}; fetch the set again",
            path.display()
        ))),
    }
}

fn same_digest(path: &Path, what: &str, expected: &str, found: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::run(format!(
        "{}: expected {what} {expected}, found {found}; the file is damaged or another one",
        path.display()
    )))
}

/// SHA-256, lower-case hexadecimal, of at most `limit` bytes.
fn sha256(reader: impl Read, limit: u64, path: &Path) -> Result<String> {
    let mut hash = Hash(Sha256::new());
    io::copy(&mut reader.take(limit), &mut hash).map_err(|e| unreadable(path, &e))?;
    Ok(hash.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A hash as a writer.
struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::run(format!("{}: cannot be read ({error}); fetch the set again", path.display()))
}
