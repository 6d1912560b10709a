//! Where each set comes from, and what its files must contain.

use super::super::{cifar, idx};
use crate::{Error, Result};

/// Names that [`find`] knows.
pub const NAMES: [&str; 4] = ["mnist", "fashion-mnist", "notmnist", "cifar10"];

/// One downloadable set.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    /// Folder below the data folder.
    pub folder: &'a str,
    /// Addresses before the file name, tried in order.
    pub mirrors: &'a [&'a str],
    pub files: &'a [RemoteFile<'a>],
}

/// One file of a set.
#[derive(Debug, Clone, Copy)]
pub struct RemoteFile<'a> {
    /// Name at the mirror; also below the folder, without `.gz` where a mirror sends plain content.
    pub name: &'a str,
    pub kind: Kind,
    pub digest: Digest<'a>,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IDX images `[count, height, width]`.
    Images { count: usize, height: usize, width: usize },
    /// IDX labels `[count]`, 0 to 9.
    Labels { count: usize },
    /// Gzipped tar of the six binary CIFAR-10 batches: `records` of 1 + 3072 bytes in each.
    CifarArchive { records: usize },
}

/// Which SHA-256 is known, in lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest<'a> {
    /// Of the uncompressed contents.
    Contents(&'a str),
    /// Of the file as the mirrors send it.
    File(&'a str),
    /// None: the format, sizes and labels are checked alone.
    Unknown,
}

/// The source of a named set; `cifar5` comes with `cifar10`.
///
/// # Errors
/// An unknown name.
pub fn find(name: &str) -> Result<Source<'static>> {
    let known = if name == "cifar5" { "cifar10" } else { name };
    SOURCES.iter().find(|source| source.name == known).copied().ok_or_else(|| {
        Error::input(format!(
            "expected one of {} as the set to fetch, found '{name}'; check the spelling",
            NAMES.join(", ")
        ))
    })
}

impl RemoteFile<'_> {
    /// The file's name once stored: a mirror may send a `.gz` file already decompressed.
    pub(super) fn stored_name(&self, gzip: bool) -> &str {
        if gzip { self.name } else { self.name.strip_suffix(".gz").unwrap_or(self.name) }
    }

    /// Most bytes that the uncompressed contents can have.
    pub(super) fn contents_limit(&self) -> usize {
        match self.kind {
            Kind::Images { count, height, width } => 16 + count * height * width,
            Kind::Labels { count } => 8 + count,
            Kind::CifarArchive { .. } => idx::MAX_BYTES,
        }
    }
}

const fn images<'a>(name: &'a str, count: usize, digest: Digest<'a>) -> RemoteFile<'a> {
    RemoteFile { name, kind: Kind::Images { count, height: 28, width: 28 }, digest }
}

const fn labels<'a>(name: &'a str, count: usize, digest: Digest<'a>) -> RemoteFile<'a> {
    RemoteFile { name, kind: Kind::Labels { count }, digest }
}

const SOURCES: [Source<'static>; 4] = [
    Source {
        name: "mnist",
        folder: "mnist",
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        files: &[
            images(
                "train-images-idx3-ubyte.gz",
                60_000,
                Digest::Contents("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            ),
            labels(
                "train-labels-idx1-ubyte.gz",
                60_000,
                Digest::Contents("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            ),
            images(
                "t10k-images-idx3-ubyte.gz",
                10_000,
                Digest::Contents("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            ),
            labels(
                "t10k-labels-idx1-ubyte.gz",
                10_000,
                Digest::Contents("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
            ),
        ],
    },
    Source {
        name: "fashion-mnist",
        folder: "fashion-mnist",
        mirrors: &[
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ],
        files: &[
            images(
                "train-images-idx3-ubyte.gz",
                60_000,
                Digest::File("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            ),
            labels(
                "train-labels-idx1-ubyte.gz",
                60_000,
                Digest::File("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            ),
            images(
                "t10k-images-idx3-ubyte.gz",
                10_000,
                Digest::File("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            ),
            labels(
                "t10k-labels-idx1-ubyte.gz",
                10_000,
                Digest::File("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            ),
        ],
    },
    Source {
        name: "notmnist",
        folder: "notmnist",
        mirrors: &["https://github.com/davidflanagan/notMNIST-to-MNIST/raw/master/"],
        files: &[
            images(
                "t10k-images-idx3-ubyte.gz",
                10_000,
                Digest::Contents("8e7f38ae95cc8f48e0986175ffc9137e5007ebcf3d8fdf6656c904eb9dab198b"),
            ),
            labels(
                "t10k-labels-idx1-ubyte.gz",
                10_000,
                Digest::Contents("5f8e6012f2ce730700d8d05fca098bc47f71d25b890e4bec7ac5ebfd614a4001"),
            ),
        ],
    },
    Source {
        name: "cifar10",
        folder: cifar::FOLDER,
        mirrors: &["https://www.cs.toronto.edu/~kriz/"],
        files: &[RemoteFile {
            name: cifar::ARCHIVE,
            kind: Kind::CifarArchive { records: 10_000 },
            digest: Digest::File("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
        }],
    },
];
