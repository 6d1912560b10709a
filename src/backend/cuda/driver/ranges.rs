//! Named ranges in NVIDIA's profilers, through the NVTX library where one is installed.

use std::ffi::{CString, c_char, c_int};

/// File names of the library.
const NAMES: [&str; 3] = ["libnvToolsExt.so.1", "libnvToolsExt.so", "nvToolsExt64_1.dll"];

/// The library's two functions.
pub struct Ranges {
    push: unsafe extern "C" fn(*const c_char) -> c_int,
    pop: unsafe extern "C" fn() -> c_int,
    /// Keeps both functions loaded.
    _library: libloading::Library,
}

impl Ranges {
    /// The library, where there is one.
    pub fn load() -> Option<Self> {
        // SAFETY: initialisers of NVIDIA's own library; its functions have the signatures of nvToolsExt.h, and it stays loaded as
        // long as they are kept.
        unsafe {
            let library = NAMES.iter().find_map(|name| libloading::Library::new(*name).ok())?;
            let push = *library.get(b"nvtxRangePushA").ok()?;
            let pop = *library.get(b"nvtxRangePop").ok()?;
            Some(Self { push, pop, _library: library })
        }
    }

    /// Opens a range on this thread.
    pub fn begin(&self, name: &str) {
        if let Ok(name) = CString::new(name) {
            // SAFETY: the text ends with a zero byte and is copied by the library.
            unsafe { (self.push)(name.as_ptr()) };
        }
    }

    /// Closes the range opened last.
    pub fn end(&self) {
        // SAFETY: no argument.
        unsafe { (self.pop)() };
    }
}
