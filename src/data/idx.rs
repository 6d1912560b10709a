//! Reader of the IDX format of MNIST: big-endian header (magic, sizes), then raw bytes; plain or gzip.
//!
//! Source: the format note of the MNIST distribution (LeCun, Cortes, Burges).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// Largest accepted payload, bytes. A header that claims more is refused before anything is allocated.
pub const MAX_BYTES: usize = 1 << 30;
/// Reserved ahead of reading, bytes: a header's claim alone must not cost more memory than this.
const MAX_RESERVE: usize = 1 << 26;
/// Type code of unsigned bytes, the only element type of the image sets read here.
const UNSIGNED_BYTE: u8 = 0x08;
const MAX_RANK: usize = 4;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An array of unsigned bytes, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// Sizes, outermost first; none is zero and there are 1 to 4 of them.
    pub dims: Vec<usize>,
    /// The elements; the length is the product of `dims`.
    pub bytes: Vec<u8>,
}

/// Reads the file at `path`; gzip is recognised by its content, not by its name.
///
/// # Errors
/// An unreadable file, a wrong magic number, element type or size, missing or trailing bytes.
pub fn read(path: &Path) -> Result<Idx> {
    let name = path.display().to_string();
    parse(open(path)?, &name)
}

/// Opens `path` for reading its contents: decompressed when the file starts with the gzip magic number.
///
/// # Errors
/// A file that cannot be opened or read.
pub fn open(path: &Path) -> Result<Box<dyn Read>> {
    let failed = |e| Error::input(format!("cannot read {}: {e}; check that it is a readable file", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    let mut start = Vec::with_capacity(2);
    file.by_ref().take(2).read_to_end(&mut start).map_err(failed)?;
    let gzip = start == GZIP_MAGIC;
    let whole = BufReader::new(std::io::Cursor::new(start).chain(file));
    Ok(if gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}

/// Parses one IDX array from uncompressed bytes; `name` is the file named in errors.
///
/// # Errors
/// As [`read`].
pub fn parse(mut reader: impl Read, name: &str) -> Result<Idx> {
    let dims = header(&mut reader, name)?;
    let expected = payload(&dims, name)?;
    let mut bytes = Vec::with_capacity(expected.min(MAX_RESERVE) + 1);
    // One byte more than expected shows trailing bytes, and reaching the end checks gzip's CRC.
    let limit = expected as u64 + 1;
    reader
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::input(format!("{name}: damaged after the header ({e}); fetch or copy the file again")))?;
    if bytes.len() != expected {
        let found = if bytes.len() > expected { "more".to_string() } else { bytes.len().to_string() };
        return Err(Error::input(format!(
            "{name}: expected {expected} bytes of data for sizes {dims:?}, found {found}; fetch or copy the file again"
        )));
    }
    Ok(Idx { dims, bytes })
}

/// Reads the magic number and the sizes.
fn header(reader: &mut impl Read, name: &str) -> Result<Vec<usize>> {
    let magic = word(reader, name)?;
    let [zero0, zero1, element, rank] = magic;
    if zero0 != 0 || zero1 != 0 {
        return Err(Error::input(format!(
            "{name}: expected an IDX file (magic number 0x0000....), found 0x{:08x}; is it another kind of file?",
            u32::from_be_bytes(magic)
        )));
    }
    if element != UNSIGNED_BYTE {
        return Err(Error::input(format!(
            "{name}: expected IDX elements of type 0x08 (unsigned byte), found 0x{element:02x}; convert the file"
        )));
    }
    let rank = usize::from(rank);
    if rank == 0 || rank > MAX_RANK {
        return Err(Error::input(format!(
            "{name}: expected 1 to {MAX_RANK} IDX dimensions, found {rank}; is it a file of images or labels?"
        )));
    }
    (0..rank).map(|_| Ok(u32::from_be_bytes(word(reader, name)?) as usize)).collect()
}

/// Reads four bytes of the header.
fn word(reader: &mut impl Read, name: &str) -> Result<[u8; 4]> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes).map_err(|e| {
        Error::input(format!(
            "{name}: expected an IDX header, found a file that ends or breaks in it ({e}); fetch or copy the file again"
        ))
    })?;
    Ok(bytes)
}

/// Number of elements, checked against overflow, emptiness and [`MAX_BYTES`].
fn payload(dims: &[usize], name: &str) -> Result<usize> {
    let product = dims.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    match product {
        Some(count) if count > 0 && count <= MAX_BYTES => Ok(count),
        _ => Err(Error::input(format!(
            "{name}: expected sizes whose product is 1 to {MAX_BYTES}, found {dims:?}; the header is damaged or the set too large"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn encode(dims: &[usize], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, UNSIGNED_BYTE, dims.len() as u8];
        dims.iter().for_each(|&size| file.extend_from_slice(&(size as u32).to_be_bytes()));
        file.extend_from_slice(bytes);
        file
    }

    fn error(file: &[u8]) -> String {
        let text = parse(file, "some-file").unwrap_err().to_string();
        assert!(text.contains("some-file") && !text.contains('\n'), "{text}");
        text
    }

    #[test]
    fn each_field_is_checked() {
        let right = encode(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(parse(right.as_slice(), "f").unwrap().dims, [2, 3]);
        let with = |at: usize, byte: u8| {
            let mut file = right.clone();
            file[at] = byte;
            error(&file)
        };
        assert!(with(0, 1).contains("0x01000802"));
        assert!(with(2, 0x0d).contains("0x0d"));
        assert!(with(3, 0).contains("found 0"));
        assert!(with(3, 5).contains("found 5"));
        assert!(with(7, 0).contains("[0, 3]"));
        assert!(with(7, 3).contains("expected 9 bytes") && with(7, 3).contains("found 6"));
        assert!(with(7, 1).contains("found more"));
        assert!(error(&right[..6]).contains("header"));
        assert!(error(&[]).contains("header"));
    }

    #[test]
    fn a_huge_header_is_refused_before_allocation() {
        let most = u32::MAX as usize;
        assert!(error(&encode(&[most, most, most, most], &[])).contains("product"));
        assert!(error(&encode(&[MAX_BYTES + 1], &[])).contains("product"));
        assert!(error(&encode(&[MAX_BYTES], &[7])).contains("found 1"));
    }

    #[test]
    fn gzip_is_recognised_by_content_and_its_damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no-extension");
        let plain = encode(&[200], &[9; 200]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).unwrap();
        let mut packed = encoder.finish().unwrap();
        for file in [&plain, &packed] {
            std::fs::write(&path, file).unwrap();
            assert_eq!(read(&path).unwrap(), Idx { dims: vec![200], bytes: vec![9; 200] });
        }
        let crc = packed.len() - 8;
        packed[crc] ^= 1;
        std::fs::write(&path, &packed).unwrap();
        let text = read(&path).unwrap_err().to_string();
        assert!(text.contains("no-extension") && text.contains("damaged"), "{text}");
        let text = read(folder.path()).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("cannot read"), "{text}");
    }

    /// Sizes with a small product, and that many bytes.
    fn arrays() -> impl Strategy<Value = (Vec<usize>, Vec<u8>)> {
        prop::collection::vec(1usize..6, 1..=MAX_RANK).prop_flat_map(|dims| {
            let count = dims.iter().product::<usize>();
            (Just(dims), prop::collection::vec(any::<u8>(), count))
        })
    }

    proptest! {
        #[test]
        fn round_trip((dims, bytes) in arrays()) {
            let read = parse(encode(&dims, &bytes).as_slice(), "f").unwrap();
            prop_assert_eq!((read.dims, read.bytes), (dims, bytes));
        }

        #[test]
        fn truncation_is_an_error((dims, bytes) in arrays(), cut in 1usize..9) {
            let file = encode(&dims, &bytes);
            let kept = file.len().saturating_sub(cut);
            prop_assert!(parse(&file[..kept], "f").is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(file in prop::collection::vec(any::<u8>(), 0..64), gzip: bool) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("f");
            let start: &[u8] = if gzip { &GZIP_MAGIC } else { &[] };
            std::fs::write(&path, [start, &file].concat()).unwrap();
            let _ = read(&path);
        }

        #[test]
        fn a_mutated_file_never_panics((dims, bytes) in arrays(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut file = encode(&dims, &bytes);
            let at = at.index(file.len());
            file[at] = byte;
            if let Ok(read) = parse(file.as_slice(), "f") {
                prop_assert_eq!(read.dims.iter().product::<usize>(), read.bytes.len());
            }
        }
    }
}
