//! Digits, letters and noise that the program makes itself: any number, no download, reproducible from a seed.
//!
//! Image `i` depends on the seed, the kind and `i` alone, by arithmetic that is exact on every platform.

mod draws;
mod glyphs;
mod render;
mod warp;

use rayon::prelude::*;

use super::{DataSet, ImageSet};
use crate::{Error, Result};
use draws::Draws;
use glyphs::Glyph;

/// Pixels per side of digits and letters.
pub const SIDE: usize = 28;
/// Most images of one set: 3.9 GB of pixels.
const MAX_IMAGES: usize = 5_000_000;
/// Classes of digits and of letters.
const CLASSES: usize = 10;

/// How many images to render, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticConfig {
    /// Training digits.
    pub train: usize,
    /// Test digits; also the number of letters or noise images.
    pub test: usize,
    /// A set from another seed shares no image with this one.
    pub seed: u64,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self { train: 10_000, test: 2_000, seed: 0 }
    }
}

impl SyntheticConfig {
    /// Refuses empty sets and sets larger than memory.
    ///
    /// # Errors
    /// A number of images outside 1 to 5,000,000.
    pub fn check(&self) -> Result<()> {
        for (set, count) in [("training", self.train), ("test", self.test)] {
            if count == 0 || count > MAX_IMAGES {
                return Err(Error::input(format!(
                    "expected 1 to {MAX_IMAGES} synthetic {set} images, found {count}; choose another number"
                )));
            }
        }
        Ok(())
    }
}

/// Independent random streams of one seed. The offset keeps them apart from the streams of a model.
#[derive(Clone, Copy)]
enum Stream {
    Train = 0x6461_7400,
    Test,
    Letters,
    Uniform,
    /// Order of the classes; plus the stream it belongs to.
    Order = 0x6461_7480,
}

/// Digits 0 to 9 for training and test: 28 x 28, one channel, white on black.
pub fn digits(config: SyntheticConfig) -> DataSet {
    let half = |stream, count| glyph_set("synthetic", &glyphs::DIGITS, stream, count, config.seed);
    DataSet {
        name: "synthetic".into(),
        train: half(Stream::Train, config.train),
        test: half(Stream::Test, config.test),
    }
}

/// Letters A to J in the style of [`digits`], `config.test` of them: labels 0 to 9 stand for A to J.
pub fn letters(config: SyntheticConfig) -> ImageSet {
    glyph_set("letters", &glyphs::LETTERS, Stream::Letters, config.test, config.seed)
}

/// `config.test` images of independent uniform bytes; `shape` is `[channels, height, width]`; every label is 0.
pub fn uniform(config: SyntheticConfig, shape: [usize; 3]) -> ImageSet {
    let [channels, height, width] = shape;
    let size = channels * height * width;
    let mut images = vec![0; config.test * size];
    images.par_chunks_mut(size.max(1)).enumerate().for_each(|(i, image)| {
        let mut draws = Draws::new(config.seed, Stream::Uniform as u32, i as u64);
        image.iter_mut().for_each(|pixel| *pixel = (draws.word() >> 24) as u8);
    });
    ImageSet { name: "uniform".into(), channels, height, width, classes: CLASSES, images, labels: vec![0; config.test] }
}

/// Renders `count` glyphs with classes in balanced random order.
fn glyph_set(name: &str, classes: &[&[Glyph]; CLASSES], stream: Stream, count: usize, seed: u64) -> ImageSet {
    let labels: Vec<u8> = (0..count as u64).into_par_iter().map(|i| label(seed, stream, i)).collect();
    let mut images = vec![0; count * SIDE * SIDE];
    images.par_chunks_mut(SIDE * SIDE).zip(&labels).enumerate().for_each(|(i, (image, &label))| {
        let mut draws = Draws::new(seed, stream as u32, i as u64);
        render::glyph(classes[usize::from(label)], &mut draws, image);
    });
    ImageSet { name: name.into(), channels: 1, height: SIDE, width: SIDE, classes: CLASSES, images, labels }
}

/// Class of image `i`: each block of ten images is a random permutation of the ten classes.
fn label(seed: u64, stream: Stream, i: u64) -> u8 {
    let block = i / CLASSES as u64;
    let mut draws = Draws::new(seed, Stream::Order as u32 + (stream as u32 & 0x7f), block);
    let mut order: [u8; CLASSES] = std::array::from_fn(|class| class as u8);
    for last in (1..CLASSES).rev() {
        order.swap(last, draws.below(last + 1));
    }
    order[(i % CLASSES as u64) as usize]
}
