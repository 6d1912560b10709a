//! Reader of CIFAR-10 in its binary version: six batches of records, in a folder or in the archive that holds them.
//!
//! A record is a label (0 to 9) and the red, the green and the blue plane of 32x32 pixels, row by row.
//! Source: the format note of the CIFAR-10 distribution (Krizhevsky, "Learning multiple layers of features", 2009).

mod archive;
mod records;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{DataSet, ImageSet};
use crate::{Error, Result};
use records::Records;

/// Colours, height and width in pixels of an image.
const SHAPE: [usize; 3] = [3, 32, 32];
/// Bytes of the planes of one image.
const IMAGE: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
/// Bytes of one record: label, then the planes.
pub(super) const RECORD: usize = 1 + IMAGE;
/// The files of the set: [`TRAINING`] batches to train on, then the test batch.
pub(super) const BATCHES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
/// Training batches, the first of [`BATCHES`].
const TRAINING: usize = 5;
/// Place of the test batch in [`BATCHES`].
const TEST: usize = 5;
/// Folder of the batches below the data folder, as the archive unpacks it.
pub(super) const FOLDER: &str = "cifar-10-batches-bin";
/// The archive's name.
pub(super) const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// The classes of `cifar10`.
pub(super) const ALL_CLASSES: Range<u8> = 0..10;
/// Largest accepted batch, bytes: all 60,000 images in one file. More is refused before it is read.
const MAX_BATCH: u64 = 60_000 * RECORD as u64;

/// What was found of each of [`BATCHES`].
type Found = [Option<Records>; BATCHES.len()];

/// Where the batches lie.
#[derive(Debug)]
pub(super) enum Place {
    Folder(PathBuf),
    Archive(PathBuf),
}

/// The classes of the set `name`, whose labels count from the first of them: `cifar10` has all ten, `cifar5` the first
/// five, `cifar5-rest` the others. `None` for the name of another set.
pub(super) fn classes(name: &str) -> Option<Range<u8>> {
    match name {
        "cifar10" => Some(ALL_CLASSES),
        "cifar5" => Some(0..5),
        "cifar5-rest" => Some(5..10),
        _ => None,
    }
}

/// The batches below the data folder `root`: their folder, else the archive in that folder or beside it.
pub(super) fn find(root: &Path) -> Result<Place> {
    let folder = root.join(FOLDER);
    let packed = || [folder.join(ARCHIVE), root.join(ARCHIVE)].into_iter().find(|path| path.is_file());
    if holds_batches(&folder) {
        return Ok(Place::Folder(folder));
    }
    packed().map(Place::Archive).ok_or_else(|| {
        Error::input(format!(
            "{}: expected {} to {} and {}, or {ARCHIVE}, found neither; run `bbh data fetch cifar10` or copy the files there",
            folder.display(),
            BATCHES[0],
            BATCHES[TRAINING - 1],
            BATCHES[TEST]
        ))
    })
}

/// The batches at a user's `path`: a folder that holds some, or a file whose name ends in `.tar.gz`.
pub(super) fn at(path: &Path) -> Option<Place> {
    let packed = path.is_file() && path.to_string_lossy().ends_with(".tar.gz");
    match packed {
        true => Some(Place::Archive(path.to_path_buf())),
        false => holds_batches(path).then(|| Place::Folder(path.to_path_buf())),
    }
}

/// What of the set lies below the data folder `root`, for a list of sets.
pub fn state(root: &Path) -> String {
    match find(root) {
        Err(_) => "missing: bbh data fetch cifar10".into(),
        Ok(Place::Archive(path)) => format!("there, in {}", path.display()),
        Ok(Place::Folder(folder)) => {
            let absent: Vec<&str> = BATCHES.into_iter().filter(|name| !folder.join(name).is_file()).collect();
            match absent.is_empty() {
                true => "there".into(),
                false => format!("there but for {}: bbh data fetch cifar10", absent.join(", ")),
            }
        }
    }
}

/// Training and test images of `classes`. Batches past the first `limit` training images may be missing.
pub(super) fn load(place: &Place, name: &str, classes: &Range<u8>, limit: usize) -> Result<DataSet> {
    let mut found = place.read(0..BATCHES.len(), classes)?;
    let test = place.join(&mut found, TEST..TEST + 1, (name, classes), usize::MAX)?;
    let train = place.join(&mut found, 0..TRAINING, (name, classes), limit)?;
    Ok(DataSet { name: name.to_string(), train, test })
}

/// Test images of `classes`.
pub(super) fn load_test(place: &Place, name: &str, classes: &Range<u8>) -> Result<ImageSet> {
    let mut found = place.read(TEST..TEST + 1, classes)?;
    place.join(&mut found, TEST..TEST + 1, (name, classes), usize::MAX)
}

fn holds_batches(folder: &Path) -> bool {
    BATCHES.iter().any(|name| folder.join(name).is_file())
}

impl Place {
    fn path(&self) -> &Path {
        let (Self::Folder(path) | Self::Archive(path)) = self;
        path
    }

    /// The batches `wanted` that are there, reduced to `classes`.
    fn read(&self, wanted: Range<usize>, classes: &Range<u8>) -> Result<Found> {
        match self {
            Self::Archive(path) => archive::read(open(path)?, &path.display().to_string(), &wanted, classes),
            Self::Folder(folder) => {
                let mut found = Found::default();
                for (batch, (name, slot)) in BATCHES.iter().zip(&mut found).enumerate() {
                    let path = folder.join(name);
                    if wanted.contains(&batch) && path.is_file() {
                        *slot = Some(records::read(open(&path)?, &path.display().to_string(), classes)?);
                    }
                }
                Ok(found)
            }
        }
    }

    /// One set of the batches `wanted`, in order, until it has `limit` images.
    fn join(
        &self,
        found: &mut Found,
        wanted: Range<usize>,
        (name, classes): (&str, &Range<u8>),
        limit: usize,
    ) -> Result<ImageSet> {
        let mut all = Records::default();
        for (batch, slot) in BATCHES.iter().zip(found).skip(wanted.start).take(wanted.len()) {
            if all.labels.len() >= limit {
                break;
            }
            let records = slot.take().ok_or_else(|| self.missing(batch, all.labels.len()))?;
            all.append(records);
        }
        if all.labels.is_empty() && limit > 0 {
            return Err(Error::input(format!(
                "{}: expected images of the classes {} to {} for {name}, found none; fetch the set again with `bbh data fetch cifar10`, or choose another set",
                self.path().display(),
                classes.start,
                classes.end.saturating_sub(1)
            )));
        }
        let [channels, height, width] = SHAPE;
        let Records { labels, images } = all;
        Ok(ImageSet { name: name.to_string(), channels, height, width, classes: classes.len(), images, labels })
    }

    /// The error for a batch that is not there after `before` images of earlier ones.
    fn missing(&self, batch: &str, before: usize) -> Error {
        let reduced = match before {
            0 => String::new(),
            _ => format!(", or use the {before} images before it with --train-limit {before}"),
        };
        Error::input(format!(
            "{}: expected {batch}, found no such file; run `bbh data fetch cifar10` or copy it there{reduced}",
            self.path().display()
        ))
    }
}

fn open(path: &Path) -> Result<impl Read> {
    File::open(path)
        .map_err(|e| Error::input(format!("cannot read {}: {e}; check that it is a readable file", path.display())))
}
