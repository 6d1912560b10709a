//! Matrices as NumPy files.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

/// NumPy's format 1.0: magic, header padded to 64 bytes, then little-endian f32. Blocks [count, elements] stand side by side in a
/// matrix [count, sum of elements], in C order.
pub fn write(path: &Path, count: usize, blocks: &[Vec<f32>]) -> Result<()> {
    let columns: usize = blocks.iter().map(|values| values.len() / count).sum();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {columns}), }}");
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(padded - 1 - header.len()));
    header.push('\n');
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(header.len() as u16).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for row in 0..count {
        for values in blocks {
            let len = values.len() / count;
            values[row * len..(row + 1) * len].iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
        }
    }
    file.flush()
}
