//! What a launch is made of, and the seam below which it is carried out: by a GPU's driver or by the simulated device.

use crate::Result;
use bytemuck::Pod;

/// An address in the device's memory, bytes.
pub type Address = u64;

/// Parameters of a kernel as the driver wants them: their bytes, and where each begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    /// Backing words, so that every parameter starts on 8 bytes.
    words: Vec<u64>,
    /// First word and size in bytes of each parameter.
    places: Vec<(usize, usize)>,
}

impl Arguments {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a parameter.
    pub fn with<P: Pod>(mut self, parameter: P) -> Self {
        let first = self.words.len();
        self.words.resize(first + size_of::<P>().div_ceil(8), 0);
        bytemuck::cast_slice_mut(&mut self.words[first..])[..size_of::<P>()]
            .copy_from_slice(bytemuck::bytes_of(&parameter));
        self.places.push((first, size_of::<P>()));
        self
    }

    /// Bytes of each parameter, in order.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.places.iter().map(|&(first, size)| &bytemuck::cast_slice(&self.words[first..])[..size])
    }
}

/// One kernel over a grid of blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub kernel: &'static str,
    /// Blocks along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
    /// Dynamic shared memory of a block, bytes.
    pub shared: u32,
    pub arguments: Arguments,
}

/// A captured sequence of launches of one [`Launcher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graph(pub usize);

/// A device that runs kernels. While a capture is open, launches are recorded instead of run, and everything else is an error:
/// the rules of a CUDA stream under capture.
pub trait Launcher {
    /// Reserves zeroed memory, aligned to 256 bytes.
    ///
    /// # Errors
    /// When the device has not as much.
    fn allocate(&mut self, bytes: usize) -> Result<Address>;

    /// Copies bytes to the device, behind all launches so far.
    ///
    /// # Errors
    /// When the bytes lie outside an allocation.
    fn write(&mut self, to: Address, bytes: &[u8]) -> Result<()>;

    /// Copies bytes from the device, behind all launches so far.
    ///
    /// # Errors
    /// When the bytes lie outside an allocation, or an earlier launch failed.
    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<()>;

    /// Makes a kernel ready to be launched with up to `shared` bytes of dynamic shared memory.
    ///
    /// # Errors
    /// When there is no such kernel, the device cannot load it, or a capture is open.
    fn prepare(&mut self, kernel: &'static str, shared: u32) -> Result<()>;

    /// True when plans are to be captured and replayed; false when their launches are to be run one by one.
    fn captures(&self) -> bool;

    /// Runs a prepared kernel, or records it while a capture is open.
    ///
    /// # Errors
    /// When there is no such kernel, its parameters have other sizes, or it fails.
    fn launch(&mut self, launch: &Launch) -> Result<()>;

    /// Opens a capture.
    ///
    /// # Errors
    /// When one is open.
    fn begin_capture(&mut self) -> Result<()>;

    /// Closes the capture.
    ///
    /// # Errors
    /// When none is open.
    fn end_capture(&mut self) -> Result<Graph>;

    /// Runs the launches of a capture, in order.
    ///
    /// # Errors
    /// As [`launch`](Self::launch).
    fn replay(&mut self, graph: Graph) -> Result<()>;

    /// Names what is launched until [`end_range`](Self::end_range), for profilers.
    fn begin_range(&mut self, _name: &str) {}

    fn end_range(&mut self) {}

    /// Starts the device's timer behind all launches so far. `cold`: empties its caches first.
    ///
    /// # Errors
    /// When a capture is open.
    fn start_timer(&mut self, cold: bool) -> Result<()>;

    /// Seconds of device time since the timer was started, when everything launched since has run; `None`: the device keeps
    /// no time.
    ///
    /// # Errors
    /// When a capture is open, or a launch failed.
    fn stop_timer(&mut self) -> Result<Option<f64>>;
}
