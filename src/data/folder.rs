//! Folders in the four-file layout of MNIST: images and labels, for training (`train`) and test (`t10k`).

use std::path::{Path, PathBuf};

use super::{DataSet, ImageSet, idx};
use crate::{Error, Result};

/// Classes of the named sets.
const NAMED_CLASSES: usize = 10;

/// Who to ask for missing files.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// `bbh data fetch NAME` provides the folder.
    Named(&'a str),
    /// A folder of the user's own.
    Path,
}

/// Loads the set `name` from the folder of that name below `root`.
pub(super) fn load_named(name: &str, root: &Path) -> Result<DataSet> {
    load(&root.join(name), name, Origin::Named(name), Some(NAMED_CLASSES))
}

/// Loads the test set of `name` from the folder of that name below `root`.
pub(super) fn load_named_test(name: &str, root: &Path) -> Result<ImageSet> {
    load_half(&root.join(name), "t10k", name, Origin::Named(name), Some(NAMED_CLASSES))
}

/// Loads a user's folder; the classes are counted in the training labels.
pub(super) fn load_path(folder: &Path) -> Result<DataSet> {
    load(folder, &folder_name(folder), Origin::Path, None)
}

/// Loads the test set of a user's folder; the classes are counted in its labels.
pub(super) fn load_path_test(folder: &Path) -> Result<ImageSet> {
    load_half(folder, "t10k", &folder_name(folder), Origin::Path, None)
}

/// The last part of a path.
pub(super) fn folder_name(folder: &Path) -> String {
    folder.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn load(folder: &Path, name: &str, origin: Origin, classes: Option<usize>) -> Result<DataSet> {
    let train = load_half(folder, "train", name, origin, classes)?;
    let test = load_half(folder, "t10k", name, origin, Some(train.classes))?;
    if test.shape() != train.shape() {
        return Err(Error::input(format!(
            "{}: expected test images of shape {:?} (channels, height, width) as in training, found {:?}; replace the files by those of one set",
            folder.display(),
            train.shape(),
            test.shape()
        )));
    }
    Ok(DataSet { name: name.to_string(), train, test })
}

/// Reads images and labels of one half and checks them against each other.
fn load_half(folder: &Path, half: &str, name: &str, origin: Origin, classes: Option<usize>) -> Result<ImageSet> {
    let images_path = find(folder, &format!("{half}-images"), "idx3-ubyte", origin)?;
    let labels_path = find(folder, &format!("{half}-labels"), "idx1-ubyte", origin)?;
    let images = idx::read(&images_path)?;
    let [count, channels, height, width] = image_dims(&images.dims, &images_path)?;
    let labels = idx::read(&labels_path)?;
    if labels.dims != [count] {
        return Err(Error::input(format!(
            "{}: expected {count} labels for the {count} images in {}, found sizes {:?}; replace the files by those of one set",
            labels_path.display(),
            images_path.display(),
            labels.dims
        )));
    }
    let classes = check_labels(&labels.bytes, classes, &labels_path)?;
    Ok(ImageSet {
        name: name.to_string(),
        channels,
        height,
        width,
        classes,
        images: images.bytes,
        labels: labels.bytes,
    })
}

/// [n, channels, height, width] of grey images [n, height, width] or colour images with four sizes.
fn image_dims(dims: &[usize], path: &Path) -> Result<[usize; 4]> {
    match *dims {
        [count, height, width] => Ok([count, 1, height, width]),
        [count, channels, height, width] => Ok([count, channels, height, width]),
        _ => Err(Error::input(format!(
            "{}: expected images with 3 sizes (count, height, width) or 4 (count, channels, height, width), found {dims:?}; is it the file of the labels?",
            path.display()
        ))),
    }
}

/// The number of classes: `classes` when given (each label must be below it), else the largest label plus one.
fn check_labels(labels: &[u8], classes: Option<usize>, path: &Path) -> Result<usize> {
    let needed = labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
    let classes = classes.unwrap_or(needed.max(2));
    if needed > classes {
        let at = labels.iter().position(|&label| usize::from(label) >= classes).unwrap_or(0);
        return Err(Error::input(format!(
            "{}: expected labels from 0 to {}, found {} at index {at}; replace the file or correct the label",
            path.display(),
            classes - 1,
            labels.get(at).copied().unwrap_or(0)
        )));
    }
    Ok(classes)
}

/// The spellings in use of one file of the layout, the most common first.
fn spellings(stem: &str, suffix: &str) -> [String; 4] {
    let (dash, dot) = (format!("{stem}-{suffix}"), format!("{stem}.{suffix}"));
    [format!("{dash}.gz"), dash, format!("{dot}.gz"), dot]
}

/// The first spelling of the file that exists in `folder`.
fn find(folder: &Path, stem: &str, suffix: &str, origin: Origin) -> Result<PathBuf> {
    let names = spellings(stem, suffix);
    if let Some(path) = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(path);
    }
    let remedy = match origin {
        Origin::Named(name) => format!("run `bbh data fetch {name}` or copy the file there"),
        Origin::Path => "copy the file there or give another folder".to_string(),
    };
    Err(Error::input(format!(
        "{}: expected one of the files {}, found none; {remedy}",
        folder.display(),
        names.join(", ")
    )))
}
