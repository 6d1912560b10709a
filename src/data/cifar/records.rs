//! One batch of CIFAR-10: its bytes to labels and images.

use std::io::Read;
use std::ops::Range;

use super::{MAX_BATCH, RECORD};
use crate::{Error, Result};

/// Labels of CIFAR-10 are below this number.
const LABELS: u8 = 10;
const REMEDY: &str = "run `bbh data fetch cifar10` or copy the file again";

/// Images of some classes, in the order of their file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// `[n]`, counted from the first of the classes.
    pub labels: Vec<u8>,
    /// `[n, 3, 32, 32]`, 0 to 255.
    pub images: Vec<u8>,
}

impl Records {
    /// Puts the images of `other` behind these.
    pub fn append(&mut self, mut other: Self) {
        self.labels.append(&mut other.labels);
        self.images.append(&mut other.images);
    }
}

/// Reads a batch to its end; `name` is the file named in errors.
///
/// # Errors
/// As [`parse`]; a file that cannot be read or holds more than a set can have.
pub(super) fn read(reader: impl Read, name: &str, classes: &Range<u8>) -> Result<Records> {
    let mut bytes = Vec::new();
    let unreadable = |e| Error::input(format!("{name}: cannot be read to its end ({e}); {REMEDY}"));
    reader.take(MAX_BATCH + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BATCH {
        return Err(Error::input(format!("{name}: expected at most {MAX_BATCH} bytes, found more; {REMEDY}")));
    }
    parse(&bytes, name, classes)
}

/// The records of a batch whose labels lie in `classes`.
///
/// # Errors
/// No record, an incomplete one, a label above 9.
pub(super) fn parse(bytes: &[u8], name: &str, classes: &Range<u8>) -> Result<Records> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        return Err(Error::input(format!(
            "{name}: expected records of {RECORD} bytes (label and three planes of 32x32), found {} bytes, {} records and {} bytes over; the file is cut short or another one: {REMEDY}",
            bytes.len(),
            bytes.len() / RECORD,
            bytes.len() % RECORD
        )));
    }
    let mut kept = Records::default();
    for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
        let Some((&label, image)) = record.split_first() else { continue };
        if label >= LABELS {
            return Err(Error::input(format!(
                "{name}: expected labels from 0 to {}, found {label} in record {index}; the file is damaged or another one: {REMEDY}",
                LABELS - 1
            )));
        }
        if classes.contains(&label) {
            kept.labels.push(label - classes.start);
            kept.images.extend_from_slice(image);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::IMAGE;
    use super::*;

    /// A batch whose records have these labels and, from one to the next, other pixels.
    fn batch(labels: &[u8], salt: u8) -> Vec<u8> {
        let pixel = |record: usize, at: usize| (record * 31 + at * 7 + at / 1024 * 50) as u8 ^ salt;
        let record = |(i, &label)| std::iter::once(label).chain((0..IMAGE).map(move |at| pixel(i, at)));
        labels.iter().enumerate().flat_map(record).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whole_records_come_back(labels in prop::collection::vec(0..10_u8, 1..5), salt: u8, first in 0..6_u8) {
            let bytes = batch(&labels, salt);
            let classes = first..first + 5;
            let kept = parse(&bytes, "b", &classes).unwrap();
            let of_classes = |label: &&u8| classes.contains(label);
            let expected: Vec<u8> = labels.iter().filter(of_classes).map(|label| label - first).collect();
            prop_assert_eq!(&kept.labels, &expected);
            let images: Vec<u8> = bytes.chunks(RECORD).filter(|r| classes.contains(&r[0])).flat_map(|r| r[1..].to_vec()).collect();
            prop_assert_eq!(kept.images, images);
        }

        #[test]
        fn every_cut_is_refused(labels in prop::collection::vec(0..10_u8, 1..4), cut in 1..RECORD) {
            let bytes = batch(&labels, 0);
            let text = parse(&bytes[..bytes.len() - cut], "b", &(0..10)).unwrap_err().to_string();
            prop_assert!(text.starts_with("b: ") && text.contains(&format!("{} bytes over", RECORD - cut)), "{}", text);
        }

        #[test]
        fn arbitrary_bytes_are_whole_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            repeat in 1..40_usize,
            pad in prop::bool::ANY,
        ) {
            let mut bytes = bytes.repeat(repeat);
            if pad {
                bytes.resize(bytes.len().next_multiple_of(RECORD), 0);
            }
            let valid = !bytes.is_empty() && bytes.len() % RECORD == 0 && bytes.iter().step_by(RECORD).all(|&l| l < 10);
            let parsed = parse(&bytes, "b", &(0..10));
            prop_assert_eq!(parsed.is_ok(), valid);
            if let Err(error) = parsed {
                prop_assert!(error.exit_code() == 2 && !error.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn a_label_out_of_range_is_named_with_its_record() {
        let text = parse(&batch(&[3, 9, 10], 0), "file.bin", &(0..5)).unwrap_err().to_string();
        assert!(text.starts_with("file.bin: ") && text.contains("found 10 in record 2"), "{text}");
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let text = read(std::io::repeat(0), "zero", &(0..10)).unwrap_err().to_string();
        assert!(text.contains("found more"), "{text}");
    }
}
