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
