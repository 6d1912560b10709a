//! The kernels inside this program, as PTX and perhaps as machine code; build/ptx.rs puts them there.

use crate::{Error, Result};
use flate2::read::GzDecoder;
use std::io::Read;

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// One file of kernels/.
pub struct KernelFile {
    /// Its name without .cu.
    pub name: &'static str,
    pub kernels: &'static [&'static str],
    /// PTX of all its kernels for compute capability 8.0, gzip.
    ptx: Option<&'static [u8]>,
    /// Machine code of all its kernels, gzip, by architecture (80 for compute capability 8.0).
    cubins: &'static [(u32, &'static [u8])],
}

/// Oldest compute capability that the kernels run on.
pub const OLDEST_CAPABILITY: (u32, u32) = (8, 0);

/// Something that a driver loads.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Zero-terminated PTX, or machine code.
    pub bytes: Vec<u8>,
    /// The file whose kernels it holds, all of them; `None`: the one kernel that was asked for.
    pub file: Option<&'static str>,
}

impl KernelFile {
    /// Machine code for a card: of its own architecture, else of the nearest older one of the same generation, which runs on it.
    fn cubin(&self, (major, minor): (u32, u32)) -> Option<&'static [u8]> {
        let fits = |architecture: u32| architecture / 10 == major && architecture % 10 <= minor;
        let fitting = self.cubins.iter().filter(|(architecture, _)| fits(*architecture));
        fitting.max_by_key(|(architecture, _)| *architecture).map(|&(_, code)| code)
    }
}

/// Where a kernel's code is, for a card of compute capability (major, minor): the machine code of its file where there is some
/// for the card, else its own PTX, so that the driver compiles no kernel that nobody launches.
///
/// # Errors
/// When this program has no such kernel.
pub fn image(kernel: &str, capability: (u32, u32)) -> Result<Image> {
    let file = FILES.iter().find(|file| file.kernels.contains(&kernel));
    let file = file.ok_or_else(|| Error::run(format!("this program has no kernel {kernel}")))?;
    if let Some(cubin) = file.cubin(capability) {
        return Ok(Image { bytes: unpack(file.name, cubin)?, file: Some(file.name) });
    }
    let ptx = file.ptx.ok_or_else(|| Error::run(format!("this program was built without PTX of {}.cu", file.name)))?;
    let text = String::from_utf8_lossy(&unpack(file.name, ptx)?).into_owned();
    let mut bytes = entry(&text, kernel).into_bytes();
    bytes.push(0);
    Ok(Image { bytes, file: None })
}

/// Architectures that there is machine code for, in every file.
pub fn machine_code() -> Vec<u32> {
    let of = |file: &KernelFile| file.cubins.iter().map(|(architecture, _)| *architecture).collect();
    FILES.first().map(of).unwrap_or_default()
}

/// What the PTX was made by.
pub fn origin() -> &'static str {
    ORIGIN
}

/// Number of kernels.
pub fn count() -> usize {
    FILES.iter().map(|file| file.kernels.len()).sum()
}

fn unpack(name: &str, packed: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let unpacked = GzDecoder::new(packed).read_to_end(&mut bytes);
    unpacked
        .map_err(|error| Error::run(format!("the kernels of {name}.cu inside this program are damaged: {error}")))?;
    Ok(bytes)
}

/// The part of a file's PTX that one kernel needs: everything outside the kernels, and its own text. A kernel begins with
/// `.visible .entry name(` and ends with the first line that is a closing brace.
fn entry(ptx: &str, kernel: &str) -> String {
    let mut kept = String::new();
    let mut inside: Option<bool> = None;
    for line in ptx.lines() {
        if let Some(rest) = line.strip_prefix(".visible .entry ") {
            inside = Some(rest.trim_end_matches(['(', ')', ' ']) == kernel);
        }
        if inside != Some(false) {
            kept.push_str(line);
            kept.push('\n');
        }
        if line == "}" {
            inside = None;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_text_of_its_own() {
        for file in FILES {
            for kernel in file.kernels {
                let image = image(kernel, (7, 5)).unwrap();
                let text = String::from_utf8(image.bytes).unwrap();
                let entries: Vec<&str> = text.lines().filter(|line| line.contains(".entry ")).collect();
                assert_eq!(entries.len(), 1, "{kernel}: {entries:?}");
                assert!(entries[0].contains(&format!(".entry {kernel}(")), "{kernel}: {entries:?}");
                assert!(text.contains(".version 7.0") && text.contains(".target sm_80"), "{kernel}");
                assert_eq!(text.matches("\n}\n").count(), 1, "{kernel}: one body");
            }
        }
    }

    #[test]
    fn machine_code_runs_on_later_cards_of_its_generation() {
        const FILE: KernelFile =
            KernelFile { name: "x", kernels: &[], ptx: None, cubins: &[(80, &[80]), (86, &[86]), (90, &[90])] };
        let file = FILE;
        assert_eq!(file.cubin((8, 0)), Some([80].as_slice()));
        assert_eq!(file.cubin((8, 9)), Some([86].as_slice()));
        assert_eq!(file.cubin((9, 0)), Some([90].as_slice()));
        assert_eq!(file.cubin((10, 0)), None);
    }

    #[test]
    fn an_unknown_kernel_is_an_error() {
        assert!(image("no_such_kernel", (8, 0)).is_err());
    }
}
