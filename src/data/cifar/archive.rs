//! The batches inside the gzipped tar archive, without unpacking it to disk.

use std::io::{self, Read};
use std::ops::Range;

use flate2::read::GzDecoder;
use tar::Archive;

use super::{BATCHES, Found, records};
use crate::{Error, Result};

/// Most bytes that are decompressed; the true archive has 184 million.
const MAX_UNPACKED: u64 = 1 << 30;

/// The batches `wanted` of the archive `reader`, reduced to `classes`; the folders inside do not matter.
///
/// # Errors
/// No gzipped tar archive, a damaged one, a malformed batch; `name` is the file named.
pub(super) fn read(reader: impl Read, name: &str, wanted: &Range<usize>, classes: &Range<u8>) -> Result<Found> {
    let damaged = |e: io::Error| {
        Error::input(format!(
            "{name}: expected the gzipped tar archive of CIFAR-10's binary version, found one that cannot be read ({e}); run `bbh data fetch cifar10` or copy the archive again"
        ))
    };
    let mut tar = Archive::new(GzDecoder::new(reader).take(MAX_UNPACKED));
    let mut found = Found::default();
    for entry in tar.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let mut batches = BATCHES.iter().zip(&mut found).enumerate();
        let named = batches.find(|(index, (batch, _))| wanted.contains(index) && path.ends_with(batch));
        if let Some((_, (batch, slot))) = named {
            *slot = Some(records::read(entry, &format!("{name}: {batch}"), classes)?);
        }
    }
    if found.iter().all(Option::is_none) {
        return Err(Error::input(format!(
            "{name}: expected the entries {} to {}, found none of them; is it the Python or the Matlab version, not the binary one? run `bbh data fetch cifar10`",
            BATCHES[0],
            BATCHES[BATCHES.len() - 1]
        )));
    }
    // Only at its end does gzip tell whether the contents were right.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::super::RECORD;
    use super::*;

    /// An archive with one record of label `i` in the `i`-th of `names`.
    fn packed(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (label, name) in names.iter().enumerate() {
            let mut record: Vec<u8> = (0..RECORD).map(|at| (at * 13 % 251) as u8).collect();
            record[0] = label as u8;
            let mut header = tar::Header::new_gnu();
            header.set_size(record.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("any/{name}"), record.as_slice()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn read_all(bytes: &[u8]) -> Result<Found> {
        read(bytes, "a.tar.gz", &(0..BATCHES.len()), &(0..10))
    }

    #[test]
    fn entries_are_found_in_any_order_and_unwanted_ones_left() {
        let mut names = BATCHES;
        names.reverse();
        let bytes = packed(&names);
        let found = read_all(&bytes).unwrap();
        let labels: Vec<u8> = found.iter().flatten().flat_map(|records| records.labels.clone()).collect();
        assert_eq!(labels, [5, 4, 3, 2, 1, 0]);
        let found = read(bytes.as_slice(), "a.tar.gz", &(5..6), &(0..10)).unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, false, false, true]);
    }

    #[test]
    fn other_archives_are_explained() {
        let mut plain = GzEncoder::new(Vec::new(), Compression::fast());
        plain.write_all(&[7; 5000]).unwrap();
        let whole = packed(&BATCHES);
        let mut wrong_sum = whole.clone();
        let crc = whole.len() - 8;
        wrong_sum[crc] ^= 1;
        let cases = [
            (packed(&["data_batch_1", "test_batch"]), "found none of them"),
            (plain.finish().unwrap(), "cannot be read"),
            (b"PK\x03\x04 a zip file".to_vec(), "cannot be read"),
            (whole[..whole.len() / 2].to_vec(), "a.tar.gz: "),
            (whole[..whole.len() - 9].to_vec(), "cannot be read"),
            (wrong_sum, "cannot be read"),
        ];
        for (index, (bytes, expected)) in cases.iter().enumerate() {
            let error = read_all(bytes).unwrap_err();
            assert!(error.to_string().contains(expected) && error.exit_code() == 2, "{index}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_bytes_are_no_archive(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(read_all(&bytes).unwrap_err().exit_code(), 2);
        }

        #[test]
        fn a_changed_archive_gives_its_contents_or_an_error(at in any::<prop::sample::Index>(), value: u8) {
            let mut bytes = packed(&BATCHES);
            let place = at.index(bytes.len());
            bytes[place] = value;
            match read_all(&bytes) {
                Ok(found) => prop_assert_eq!(found, read_all(&packed(&BATCHES)).unwrap()),
                Err(error) => prop_assert_eq!(error.exit_code(), 2),
            }
        }
    }
}
