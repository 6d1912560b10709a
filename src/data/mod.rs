//! Labelled image sets: files in IDX format, CIFAR-10, digits and letters rendered by the program, uniform noise; the cubic
//! regression.

pub mod cifar;
pub mod fetch;
mod folder;
pub mod idx;
pub mod synthetic;
pub mod toy;

use std::env;
use std::path::{Path, PathBuf};

use crate::{Error, Result};
pub use synthetic::SyntheticConfig;

/// The named sets that [`load`] knows, beside paths.
pub const NAMES: [&str; 5] = ["mnist", "fashion-mnist", "cifar10", "cifar5", "synthetic"];
/// The named sets that [`load_ood`] knows, beside paths.
pub const OOD_NAMES: [&str; 8] =
    ["notmnist", "fashion-mnist", "mnist", "cifar10", "cifar5", "cifar5-rest", "letters", "uniform"];
/// Environment variable that names the data folder.
pub const DATA_VARIABLE: &str = "BBH_DATA";

/// A labelled image set in memory: raw bytes, never converted on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    pub name: String,
    pub channels: usize,
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
    /// Every label is below this number.
    pub classes: usize,
    /// `[n, channels, height, width]`, 0 (background) to 255.
    pub images: Vec<u8>,
    /// `[n]`.
    pub labels: Vec<u8>,
}

/// Training and test set of one data set; same image shape and classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSet {
    pub name: String,
    pub train: ImageSet,
    pub test: ImageSet,
}

impl ImageSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image: channels * height * width.
    pub fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The bytes of image `i`, `[channels, height, width]`.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Self::len).
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.image_len();
        &self.images[i * size..(i + 1) * size]
    }

    /// The first `limit` images (all of them when there are fewer).
    #[must_use]
    pub fn take(mut self, limit: usize) -> Self {
        let count = limit.min(self.len());
        self.images.truncate(count * self.image_len());
        self.labels.truncate(count);
        self
    }

    /// Splits the last round(`fraction` * n) images off as a validation set: (rest, validation).
    ///
    /// # Errors
    /// A fraction outside [0, 1), or one that leaves no image to train on.
    pub fn split_validation(mut self, fraction: f64) -> Result<(Self, Self)> {
        let count = (self.len() as f64 * fraction).round();
        if !(0.0..1.0).contains(&fraction) || count >= self.len() as f64 {
            return Err(Error::input(format!(
                "expected a validation fraction from 0 to below 1 that leaves an image to train on, found {fraction} of {} images; choose a smaller one",
                self.len()
            )));
        }
        let rest = self.len() - count as usize;
        let validation = Self {
            name: self.name.clone(),
            images: self.images.split_off(rest * self.image_len()),
            labels: self.labels.split_off(rest),
            ..self
        };
        Ok((self, validation))
    }

    /// `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }
}

/// Resolves `mnist`, `fashion-mnist`, `cifar10`, `cifar5` (its classes 0 to 4), `synthetic`, or a path: to a folder in the
/// four-file layout, to one with the six batches of CIFAR-10, or to their archive.
///
/// Named sets other than `synthetic` are read from their folder below [`data_dir`]: that of the set's name, for CIFAR-10
/// `cifar-10-batches-bin`.
///
/// # Errors
/// An unknown name, a missing file (the message says which names were looked for), a malformed file.
pub fn load(name_or_path: &str, data_dir: Option<&Path>, synthetic: SyntheticConfig) -> Result<DataSet> {
    load_first(name_or_path, data_dir, synthetic, usize::MAX)
}

/// [`load`] with the first `limit` training images alone. Batches of CIFAR-10 that lie past them may be missing.
///
/// # Errors
/// As [`load`].
pub fn load_first(
    name_or_path: &str,
    data_dir: Option<&Path>,
    synthetic: SyntheticConfig,
    limit: usize,
) -> Result<DataSet> {
    let root = self::data_dir(data_dir);
    let set = match (name_or_path, cifar::classes(name_or_path), cifar::at(Path::new(name_or_path))) {
        ("synthetic", ..) => {
            synthetic.check()?;
            synthetic::digits(synthetic)
        }
        ("mnist" | "fashion-mnist", ..) => folder::load_named(name_or_path, &root)?,
        ("cifar10" | "cifar5", Some(classes), _) => cifar::load(&cifar::find(&root)?, name_or_path, &classes, limit)?,
        (path, _, Some(place)) => {
            cifar::load(&place, &folder::folder_name(Path::new(path)), &cifar::ALL_CLASSES, limit)?
        }
        (path, ..) => folder::load_path(existing_folder(path, &NAMES)?)?,
    };
    Ok(DataSet { train: set.train.take(limit), ..set })
}

/// Resolves an out-of-distribution set: `notmnist`, `fashion-mnist`, `mnist`, `cifar10`, `cifar5`, `cifar5-rest` (the
/// classes 5 to 9 of CIFAR-10), `letters` (rendered A to J), `uniform` (noise), or a path as for [`load`], where the test
/// files are enough.
///
/// `like` is the set the model was trained on: the result has its image shape. `synthetic` gives the seed
/// and, by its number of test images, the size of `letters` and `uniform`.
///
/// # Errors
/// As [`load`], and images whose shape differs from that of `like`.
pub fn load_ood(
    name_or_path: &str,
    data_dir: Option<&Path>,
    like: &ImageSet,
    synthetic: SyntheticConfig,
) -> Result<ImageSet> {
    let root = self::data_dir(data_dir);
    let set = match (name_or_path, cifar::classes(name_or_path), cifar::at(Path::new(name_or_path))) {
        ("letters", ..) => {
            synthetic.check()?;
            synthetic::letters(synthetic)
        }
        ("uniform", ..) => {
            synthetic.check()?;
            synthetic::uniform(synthetic, like.shape())
        }
        ("notmnist" | "fashion-mnist" | "mnist", ..) => folder::load_named_test(name_or_path, &root)?,
        (name, Some(classes), _) => cifar::load_test(&cifar::find(&root)?, name, &classes)?,
        (path, _, Some(place)) => cifar::load_test(&place, &folder::folder_name(Path::new(path)), &cifar::ALL_CLASSES)?,
        (path, ..) => folder::load_path_test(existing_folder(path, &OOD_NAMES)?)?,
    };
    if set.shape() != like.shape() {
        return Err(Error::input(format!(
            "{}: expected images of shape {:?} (channels, height, width) as in {}, found {:?}; choose another out-of-distribution set",
            set.name,
            like.shape(),
            like.name,
            set.shape()
        )));
    }
    Ok(set)
}

/// The folder below which the named sets lie: `flag`, else the variable `BBH_DATA`, else `bbh` in the
/// platform's cache folder (`XDG_CACHE_HOME` or `~/.cache`; `~/Library/Caches`; `%LOCALAPPDATA%`).
pub fn data_dir(flag: Option<&Path>) -> PathBuf {
    resolve_data_dir(flag, |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

/// [`data_dir`] with the environment as a function.
fn resolve_data_dir(flag: Option<&Path>, variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if let Some(folder) = flag {
        return folder.to_path_buf();
    }
    if let Some(folder) = variable(DATA_VARIABLE) {
        return folder;
    }
    let cache = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library").join("Caches"))
    } else {
        // The XDG specification: a relative XDG_CACHE_HOME is invalid and ignored.
        variable("XDG_CACHE_HOME")
            .filter(|folder| folder.is_absolute())
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    cache.unwrap_or_else(|| PathBuf::from(".cache")).join("bbh")
}

/// `path` when it is a folder, else an error that lists the known names.
fn existing_folder<'a>(path: &'a str, names: &[&str]) -> Result<&'a Path> {
    let folder = Path::new(path);
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Error::input(format!(
        "expected one of {} or an existing folder with IDX files or CIFAR-10 batches as the data set, found '{path}'; check the spelling or the path",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(count: usize) -> ImageSet {
        ImageSet {
            name: "numbers".into(),
            channels: 1,
            height: 2,
            width: 1,
            classes: 10,
            images: (0..2 * count as u8).collect(),
            labels: (0..count as u8).collect(),
        }
    }

    #[test]
    fn take_keeps_the_first_images() {
        let two = set(5).take(2);
        assert_eq!((two.len(), two.images.as_slice()), (2, &[0, 1, 2, 3][..]));
        assert_eq!(set(5).take(9), set(5));
    }

    #[test]
    fn validation_is_the_last_images() {
        let (rest, validation) = set(5).split_validation(0.4).unwrap();
        assert_eq!(rest.labels, [0, 1, 2]);
        assert_eq!(validation.labels, [3, 4]);
        assert_eq!(validation.image(1), [8, 9]);
        let (all, none) = set(5).split_validation(0.0).unwrap();
        assert_eq!((all.len(), none.is_empty()), (5, true));
        for fraction in [1.0, 0.99, -0.1, f64::NAN] {
            assert!(set(5).split_validation(fraction).is_err(), "{fraction}");
        }
    }

    #[test]
    fn data_folder_order() {
        let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
        assert_eq!(resolve_data_dir(Some(Path::new("here")), all), PathBuf::from("here"));
        assert_eq!(resolve_data_dir(None, all), PathBuf::from("/BBH_DATA"));
        let cache = resolve_data_dir(None, |name| if name == DATA_VARIABLE { None } else { all(name) });
        assert!(cache.is_absolute() && cache.ends_with("bbh"), "{}", cache.display());
        assert_ne!(cache, PathBuf::from("/BBH_DATA/bbh"));
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let error = load("minst", None, SyntheticConfig::default()).unwrap_err().to_string();
        assert!(error.contains("'minst'") && error.contains("fashion-mnist"), "{error}");
    }
}
