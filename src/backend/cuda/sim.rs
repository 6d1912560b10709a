//! The simulated device: the kernels of kernels/, compiled for the host, behind the same seam as a GPU.
//! See kernels/sim/api.h for what the functions below do.

use super::launch::{Address, Graph, Launch, Launcher};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{self, NonNull};

/// In which order the threads of a block and the blocks of a grid run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Forward,
    Reverse,
    /// A lot per choice, drawn from this seed.
    Random(u64),
}

/// How the simulated device runs kernels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    pub order: Order,
    /// Runs the instrumented kernels: every access is checked for bounds and races.
    pub race: bool,
    /// A synchronising site (file, line) that does nothing: for mutation tests.
    pub dropped: Option<(String, u32)>,
    /// Most synchronisations and instrumented accesses of a launch; 0: the simulator's default, 2^31.
    pub watchdog: u64,
}

/// A place in a kernel's source that synchronises threads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    pub kernel: String,
    pub file: String,
    pub line: u32,
    /// `syncthreads`, `syncwarp` or `copy_async_wait`.
    pub kind: String,
}

#[repr(C)]
struct SimOptions {
    order: c_int,
    seed: u64,
    race: c_int,
    dropped_file: *const c_char,
    dropped_line: c_int,
    watchdog: u64,
}

// SAFETY: the declarations are those of kernels/sim/api.h.
unsafe extern "C" {
    fn sim_kernel_count() -> usize;
    fn sim_kernel_name(kernel: usize) -> *const c_char;
    fn sim_parameter_count(kernel: usize) -> usize;
    fn sim_parameter_size(kernel: usize, index: usize) -> usize;
    fn sim_allocate(bytes: usize) -> *mut c_void;
    fn sim_free(memory: *mut c_void);
    fn sim_name_buffer(start: *const c_void, bytes: usize, name: *const c_char);
    fn sim_clear_buffers(memory: *const c_void);
    fn sim_launch(
        kernel: usize,
        grid: *const c_uint,
        block: *const c_uint,
        dynamic_shared: usize,
        arguments: *const *const c_void,
        options: *const SimOptions,
    ) -> c_int;
    fn sim_error() -> *const c_char;
    fn sim_site_count() -> usize;
    fn sim_site(index: usize, file: *mut *const c_char, line: *mut c_int, kind: *mut *const c_char);
}

/// A simulated device with its memory and captures.
pub struct Sim {
    pub options: Options,
    /// Synchronising sites met by launches since this was made or emptied; `None`: they are not recorded.
    pub sites: Option<BTreeSet<Site>>,
    kernels: HashMap<String, usize>,
    allocations: Vec<(NonNull<u8>, usize)>,
    recording: Option<Vec<Launch>>,
    graphs: Vec<Vec<Launch>>,
}

// SAFETY: the allocations belong to this value alone.
unsafe impl Send for Sim {}

impl Default for Sim {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Sim {
    pub fn new(options: Options) -> Self {
        let kernels = kernel_names().into_iter().enumerate().map(|(index, name)| (name, index)).collect();
        Self { options, sites: None, kernels, allocations: Vec::new(), recording: None, graphs: Vec::new() }
    }

    /// Names a part of an allocation; in a race run a kernel may then touch named parts only.
    pub fn name_buffer(&mut self, start: Address, bytes: usize, name: &str) {
        let name = text(name);
        // SAFETY: the simulator stores the range and copies the name; it dereferences neither.
        unsafe { sim_name_buffer(start as *const c_void, bytes, name.as_ptr()) }
    }

    /// Forgets the named parts of the allocation at `start`.
    pub fn clear_buffers(&mut self, start: Address) {
        // SAFETY: the simulator compares the address and does not dereference it.
        unsafe { sim_clear_buffers(start as *const c_void) }
    }

    fn kernel(&self, name: &str) -> Result<usize> {
        let kernel = self.kernels.get(name).copied();
        kernel.ok_or_else(|| Error::run(format!("simulated device: there is no kernel {name}")))
    }

    fn outside_capture(&self, what: &str) -> Result<()> {
        match self.recording {
            Some(_) => Err(Error::run(format!("{what} is not permitted while a step is being captured"))),
            None => Ok(()),
        }
    }

    /// Pointer to `bytes` bytes at an address, checked to lie inside one allocation.
    fn pointer(&self, address: Address, bytes: usize) -> Result<*mut u8> {
        let inside = |(start, len): &&(NonNull<u8>, usize)| {
            let start = start.as_ptr() as Address;
            address >= start && address + bytes as Address <= start + *len as Address
        };
        match self.allocations.iter().find(inside) {
            Some((start, _)) => Ok(start.as_ptr().wrapping_add((address - start.as_ptr() as Address) as usize)),
            None => Err(Error::run(format!("simulated device: {bytes} bytes at {address:#x} lie outside its memory"))),
        }
    }

    fn execute(&mut self, launch: &Launch) -> Result<()> {
        let kernel = self.kernel(launch.kernel)?;
        check_sizes(kernel, launch)?;
        let arguments: Vec<*const c_void> =
            launch.arguments.parameters().map(|parameter| parameter.as_ptr().cast()).collect();
        let file = self.options.dropped.as_ref().map(|(file, _)| text(file));
        let (order, seed) = match self.options.order {
            Order::Forward => (0, 0),
            Order::Reverse => (1, 0),
            Order::Random(seed) => (2, seed),
        };
        let options = SimOptions {
            order,
            seed,
            race: self.options.race.into(),
            dropped_file: file.as_ref().map_or(ptr::null(), |file| file.as_ptr()),
            dropped_line: self.options.dropped.as_ref().map_or(-1, |(_, line)| *line as c_int),
            watchdog: self.options.watchdog,
        };
        // SAFETY: the kernel's number, its parameters' count and sizes were checked; all pointers outlive the call. Addresses
        // inside the parameters are the kernel's own matter, as on a GPU; the simulator's race build checks them.
        let code = unsafe {
            sim_launch(
                kernel,
                launch.grid.as_ptr(),
                launch.block.as_ptr(),
                launch.shared as usize,
                arguments.as_ptr(),
                &options,
            )
        };
        if let Some(met) = &mut self.sites {
            met.extend(sites(launch.kernel));
        }
        // SAFETY: the simulator keeps the text of its last error until its next launch on this thread.
        if code == 0 {
            Ok(())
        } else {
            Err(Error::run(format!("simulated device: {}", unsafe { string(sim_error()) })))
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        for (start, _) in &self.allocations {
            // SAFETY: allocated by `sim_allocate` and freed once.
            unsafe { sim_free(start.as_ptr().cast()) }
        }
    }
}

impl Launcher for Sim {
    fn allocate(&mut self, bytes: usize) -> Result<Address> {
        self.outside_capture("an allocation")?;
        // SAFETY: any size may be asked for.
        let start = NonNull::new(unsafe { sim_allocate(bytes) }.cast::<u8>())
            .ok_or_else(|| Error::run("simulated device: out of memory"))?;
        // SAFETY: the allocation is `bytes` long.
        unsafe { ptr::write_bytes(start.as_ptr(), 0, bytes) };
        self.allocations.push((start, bytes));
        Ok(start.as_ptr() as Address)
    }

    fn write(&mut self, to: Address, bytes: &[u8]) -> Result<()> {
        self.outside_capture("a copy from the host")?;
        let pointer = self.pointer(to, bytes.len())?;
        // SAFETY: the target was checked to lie inside an allocation of this device.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, bytes.len()) };
        Ok(())
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        self.outside_capture("a copy to the host")?;
        let pointer = self.pointer(from, bytes.len())?;
        // SAFETY: the source was checked to lie inside an allocation of this device.
        unsafe { ptr::copy_nonoverlapping(pointer, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn prepare(&mut self, kernel: &'static str, _: u32) -> Result<()> {
        self.outside_capture("loading a kernel")?;
        self.kernel(kernel).map(drop)
    }

    fn captures(&self) -> bool {
        true
    }

    fn launch(&mut self, launch: &Launch) -> Result<()> {
        match &mut self.recording {
            Some(launches) => {
                launches.push(launch.clone());
                Ok(())
            }
            None => self.execute(launch),
        }
    }

    fn begin_capture(&mut self) -> Result<()> {
        self.outside_capture("another capture")?;
        self.recording = Some(Vec::new());
        Ok(())
    }

    fn end_capture(&mut self) -> Result<Graph> {
        let launches = self.recording.take().ok_or_else(|| Error::run("no capture is open"))?;
        self.graphs.push(launches);
        Ok(Graph(self.graphs.len() - 1))
    }

    fn replay(&mut self, graph: Graph) -> Result<()> {
        self.outside_capture("a replay")?;
        let launches = std::mem::take(&mut self.graphs[graph.0]);
        let result = launches.iter().try_for_each(|launch| self.execute(launch));
        self.graphs[graph.0] = launches;
        result
    }

    fn start_timer(&mut self, _: bool) -> Result<()> {
        self.outside_capture("a timer")
    }

    fn stop_timer(&mut self) -> Result<Option<f64>> {
        self.outside_capture("a timer").map(|()| None)
    }
}

/// All kernels, in the order of their files.
pub fn kernel_names() -> Vec<String> {
    // SAFETY: names are static strings of the kernel table.
    (0..unsafe { sim_kernel_count() }).map(|kernel| unsafe { string(sim_kernel_name(kernel)) }).collect()
}

/// Synchronising sites that this thread's last launch, of `kernel`, met.
fn sites(kernel: &str) -> Vec<Site> {
    // SAFETY: no pointer is passed.
    let count = unsafe { sim_site_count() };
    let site = |index| {
        let (mut file, mut kind, mut line) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the index is below the count; the simulator sets all three, to static strings.
        unsafe {
            sim_site(index, &mut file, &mut line, &mut kind);
            Site { kernel: kernel.into(), file: string(file), line: line as u32, kind: string(kind) }
        }
    };
    (0..count).map(site).collect()
}

/// Compares the parameters of a launch with what the kernel takes.
fn check_sizes(kernel: usize, launch: &Launch) -> Result<()> {
    // SAFETY: the kernel's number comes from the table, the indices stay below its count.
    let wanted: Vec<usize> =
        unsafe { (0..sim_parameter_count(kernel)).map(|index| sim_parameter_size(kernel, index)).collect() };
    let found: Vec<usize> = launch.arguments.parameters().map(<[u8]>::len).collect();
    if wanted != found {
        return Err(Error::run(format!(
            "simulated device: {} takes parameters of {wanted:?} bytes, found {found:?}",
            launch.kernel
        )));
    }
    Ok(())
}

fn text(name: &str) -> CString {
    CString::new(name).expect("names of kernels, files and buffers have no zero byte")
}

/// # Safety
/// `text` is a zero-terminated string that lives through the call.
unsafe fn string(text: *const c_char) -> String {
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
