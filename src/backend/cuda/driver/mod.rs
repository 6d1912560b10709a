//! A GPU through NVIDIA's driver: one stream, memory by one allocation, kernels from the program itself, steps as captured graphs.

mod error;
mod library;
mod ranges;

pub use library::{DeviceInfo, Devices, devices, initialise};

use super::embedded;
use super::launch::{Address, Graph, Launch, Launcher};
use crate::{Error, Result};
use cudarc::driver::{DriverError, result, sys};
use error::{Failure, describe};
use ranges::Ranges;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CString, c_void};

/// Launches that an error names.
const RECENT: usize = 8;

/// Bytes that are overwritten to empty the caches: more than the second-level cache of any card.
const FLUSH_BYTES: usize = 256 << 20;

/// Dynamic shared memory that a kernel may use without asking, bytes.
const FREE_SHARED_BYTES: u32 = 48 << 10;

/// One GPU.
pub struct Driver {
    pub info: DeviceInfo,
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    timer: (sys::CUevent, sys::CUevent),
    kernels: HashMap<&'static str, Kernel>,
    /// Loaded machine code by kernel file, and loaded PTX.
    files: HashMap<&'static str, sys::CUmodule>,
    modules: Vec<sys::CUmodule>,
    /// Start and bytes of each allocation.
    allocations: Vec<(Address, usize)>,
    graphs: Vec<Captured>,
    /// Kernels of the open capture.
    capture: Option<Vec<&'static str>>,
    recent: VecDeque<Work>,
    flush: Option<Address>,
    ranges: Option<Ranges>,
    /// Waits for every launch, and replays no graph: BBH_CUDA_EAGER=1, to find the launch that fails.
    eager: bool,
}

/// A captured step and its kernels.
struct Captured {
    executable: sys::CUgraphExec,
    kernels: Vec<&'static str>,
}

/// What was handed to the stream.
#[derive(Clone, Copy)]
enum Work {
    Kernel(&'static str),
    Graph(Graph),
}

/// A loaded kernel.
struct Kernel {
    function: sys::CUfunction,
    /// Dynamic shared memory that it may use, bytes.
    shared: u32,
}

// SAFETY: the handles belong to this value alone; the driver's functions may be called from any thread, and each public
// function here makes the context current on its thread first.
unsafe impl Send for Driver {}

impl Driver {
    /// Opens device `ordinal`.
    ///
    /// # Errors
    /// When there is no driver, no such device, or the device is older than the kernels.
    pub fn open(ordinal: usize) -> Result<Self> {
        initialise()?;
        let (device, info) = library::device(ordinal)?;
        info.check_usable()?;
        let failed = |error| describe(error, &Failure::Open(format!("cuda:{ordinal} ({})", info.name)));
        // SAFETY: the device was returned by the driver; the context is released when this value is dropped.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed)?;
        let mut driver = Self {
            info: info.clone(),
            device,
            context,
            stream: std::ptr::null_mut(),
            timer: (std::ptr::null_mut(), std::ptr::null_mut()),
            kernels: HashMap::new(),
            files: HashMap::new(),
            modules: Vec::new(),
            allocations: Vec::new(),
            graphs: Vec::new(),
            capture: None,
            recent: VecDeque::with_capacity(RECENT),
            flush: None,
            ranges: Ranges::load(),
            eager: std::env::var_os("BBH_CUDA_EAGER").is_some_and(|value| value == "1"),
        };
        driver.enter().map_err(failed)?;
        driver.stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(failed)?;
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).map_err(failed);
        driver.timer = (event()?, event()?);
        Ok(driver)
    }

    /// Device `ordinal`, if the kernels run on it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn find(ordinal: usize) -> Result<DeviceInfo> {
        initialise()?;
        let (_, info) = library::device(ordinal)?;
        info.check_usable().map(|()| info)
    }

    /// Makes the context current on this thread.
    fn enter(&self) -> std::result::Result<(), DriverError> {
        // SAFETY: the context is retained as long as this value lives.
        unsafe { result::ctx::set_current(self.context) }
    }

    fn outside_capture(&self, what: &str) -> Result<()> {
        match self.capture {
            Some(_) => Err(Error::run(format!("{what} is not permitted while a step is being captured"))),
            None => Ok(()),
        }
    }

    /// Checks that bytes lie inside one allocation.
    fn inside(&self, address: Address, bytes: usize) -> Result<()> {
        let inside = |&&(start, len): &&(Address, usize)| {
            address >= start && address + bytes as Address <= start + len as Address
        };
        match self.allocations.iter().find(inside) {
            Some(_) => Ok(()),
            None => Err(Error::run(format!("{bytes} bytes at {address:#x} lie outside the memory of the GPU's plan"))),
        }
    }

    fn failed(&self, error: DriverError) -> Error {
        let name = |work: &Work| match work {
            Work::Kernel(kernel) => (*kernel).to_string(),
            Work::Graph(graph) => {
                let kernels = self.graphs.get(graph.0).map_or(&[][..], |captured| &captured.kernels);
                let ends = [kernels.first(), kernels.last()].map(|end| end.copied().unwrap_or("nothing"));
                format!("a captured plan of {} kernels from {} to {}", kernels.len(), ends[0], ends[1])
            }
        };
        describe(error, &Failure::Run(self.recent.iter().map(name).collect()))
    }

    fn remember(&mut self, work: Work) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(work);
    }

    fn wait(&self) -> Result<()> {
        // SAFETY: the stream belongs to this value.
        unsafe { result::stream::synchronize(self.stream) }.map_err(|error| self.failed(error))
    }

    /// Loads a kernel unless it is loaded.
    fn load(&mut self, kernel: &'static str) -> Result<()> {
        if self.kernels.contains_key(kernel) {
            return Ok(());
        }
        let failed = |error| describe(error, &Failure::Load(kernel.into()));
        let image = embedded::image(kernel, self.info.compute_capability)?;
        let known = image.file.and_then(|file| self.files.get(file).copied());
        let module = match known {
            Some(module) => module,
            None => {
                // SAFETY: the image is machine code, or PTX that ends with a zero byte; the driver copies it.
                let module = unsafe { result::module::load_data(image.bytes.as_ptr().cast()) }.map_err(failed)?;
                self.modules.push(module);
                if let Some(file) = image.file {
                    self.files.insert(file, module);
                }
                module
            }
        };
        let name = CString::new(kernel).map_err(|_| Error::run("a kernel's name has a zero byte"))?;
        // SAFETY: the module is loaded and stays so as long as this value lives.
        let function = unsafe { result::module::get_function(module, name) }.map_err(failed)?;
        self.kernels.insert(kernel, Kernel { function, shared: FREE_SHARED_BYTES });
        Ok(())
    }

    /// Launches on the stream.
    fn submit(&mut self, launch: &Launch) -> Result<()> {
        let kernel = self.kernels.get(launch.kernel);
        let kernel = kernel.ok_or_else(|| Error::run(format!("kernel {} was not prepared", launch.kernel)))?;
        let mut arguments: Vec<*mut c_void> =
            launch.arguments.parameters().map(|parameter| parameter.as_ptr().cast_mut().cast()).collect();
        let ([x, y, z], [a, b, c]) = (launch.grid, launch.block);
        // SAFETY: the kernel is loaded; `arguments` points at one value for each of its parameters, which the driver copies before
        // it returns. That these have the kernel's own types, and that addresses in them lie inside the plan's memory, is what the
        // same launches show on the simulated device.
        let launched = unsafe {
            result::launch_kernel(kernel.function, (x, y, z), (a, b, c), launch.shared, self.stream, &mut arguments)
        };
        launched.map_err(|error| self.failed(error))
    }
}

impl Launcher for Driver {
    fn allocate(&mut self, bytes: usize) -> Result<Address> {
        self.outside_capture("an allocation")?;
        self.enter().map_err(|error| self.failed(error))?;
        // SAFETY: any size may be asked for; the memory is freed when this value is dropped.
        let start = unsafe { result::malloc_sync(bytes) }.map_err(|error| describe(error, &Failure::Allocate))?;
        self.allocations.push((start, bytes));
        // SAFETY: the allocation has `bytes` bytes.
        unsafe { result::memset_d8_async(start, 0, bytes, self.stream) }.map_err(|error| self.failed(error))?;
        Ok(start)
    }

    fn write(&mut self, to: Address, bytes: &[u8]) -> Result<()> {
        self.outside_capture("a copy from the host")?;
        self.inside(to, bytes.len())?;
        self.enter().map_err(|error| self.failed(error))?;
        // SAFETY: the target lies inside an allocation; the driver has read pageable memory when it returns.
        unsafe { result::memcpy_htod_async(to, bytes, self.stream) }.map_err(|error| self.failed(error))
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        self.outside_capture("a copy to the host")?;
        self.inside(from, bytes.len())?;
        self.enter().map_err(|error| self.failed(error))?;
        // SAFETY: the source lies inside an allocation; the stream is waited for before `bytes` is used.
        unsafe { result::memcpy_dtoh_async(bytes, from, self.stream) }.map_err(|error| self.failed(error))?;
        self.wait()
    }

    fn prepare(&mut self, kernel: &'static str, shared: u32) -> Result<()> {
        use sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as SHARED;
        self.outside_capture("loading a kernel")?;
        self.enter().map_err(|error| self.failed(error))?;
        self.load(kernel)?;
        if let Some(loaded) = self.kernels.get_mut(kernel)
            && shared > loaded.shared
        {
            // SAFETY: the function is loaded.
            let raised = unsafe { result::function::set_function_attribute(loaded.function, SHARED, shared as i32) };
            raised.map_err(|error| describe(error, &Failure::Load(kernel.into())))?;
            loaded.shared = shared;
        }
        Ok(())
    }

    fn launch(&mut self, launch: &Launch) -> Result<()> {
        self.enter().map_err(|error| self.failed(error))?;
        match &mut self.capture {
            Some(kernels) => kernels.push(launch.kernel),
            None => self.remember(Work::Kernel(launch.kernel)),
        }
        self.submit(launch)?;
        if self.eager && self.capture.is_none() { self.wait() } else { Ok(()) }
    }

    fn begin_capture(&mut self) -> Result<()> {
        self.outside_capture("another capture")?;
        self.enter().map_err(|error| self.failed(error))?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream belongs to this value and captures nothing yet.
        unsafe { result::stream::begin_capture(self.stream, mode) }.map_err(|error| self.failed(error))?;
        self.capture = Some(Vec::new());
        Ok(())
    }

    fn end_capture(&mut self) -> Result<Graph> {
        let kernels = self.capture.take().ok_or_else(|| Error::run("no capture is open"))?;
        self.enter().map_err(|error| self.failed(error))?;
        // SAFETY: the stream captures; the graph is destroyed once its executable form is made; that one is kept and destroyed
        // when this value is dropped.
        let graph = unsafe { result::stream::end_capture(self.stream) }.map_err(|error| self.failed(error))?;
        let executable = unsafe {
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            executable
        };
        let executable = executable.map_err(|error| self.failed(error))?;
        self.graphs.push(Captured { executable, kernels });
        // SAFETY: the executable graph and the stream belong to this value.
        unsafe { result::graph::upload(executable, self.stream) }.map_err(|error| self.failed(error))?;
        Ok(Graph(self.graphs.len() - 1))
    }

    fn replay(&mut self, graph: Graph) -> Result<()> {
        self.outside_capture("a replay")?;
        self.enter().map_err(|error| self.failed(error))?;
        let executable = self.graphs.get(graph.0).map(|captured| captured.executable);
        let executable = executable.ok_or_else(|| Error::run("a graph of another device was to be replayed"))?;
        self.remember(Work::Graph(graph));
        // SAFETY: the executable graph and the stream belong to this value.
        unsafe { result::graph::launch(executable, self.stream) }.map_err(|error| self.failed(error))
    }

    fn captures(&self) -> bool {
        !self.eager
    }

    fn begin_range(&mut self, name: &str) {
        self.ranges.iter().for_each(|ranges| ranges.begin(name));
    }

    fn end_range(&mut self) {
        self.ranges.iter().for_each(Ranges::end);
    }

    fn start_timer(&mut self, cold: bool) -> Result<()> {
        self.outside_capture("a timer")?;
        self.enter().map_err(|error| self.failed(error))?;
        if cold {
            let flush = match self.flush {
                Some(flush) => flush,
                None => self.allocate(FLUSH_BYTES)?,
            };
            self.flush = Some(flush);
            // SAFETY: the allocation has that many bytes.
            let emptied = unsafe { result::memset_d8_async(flush, 0, FLUSH_BYTES, self.stream) };
            emptied.map_err(|error| self.failed(error))?;
        }
        // SAFETY: event and stream belong to this value.
        unsafe { result::event::record(self.timer.0, self.stream) }.map_err(|error| self.failed(error))
    }

    fn stop_timer(&mut self) -> Result<Option<f64>> {
        self.outside_capture("a timer")?;
        self.enter().map_err(|error| self.failed(error))?;
        // SAFETY: events and stream belong to this value.
        unsafe { result::event::record(self.timer.1, self.stream) }.map_err(|error| self.failed(error))?;
        self.wait()?;
        // SAFETY: both events are recorded, and what is before them has run.
        let milliseconds = unsafe { result::event::elapsed(self.timer.0, self.timer.1) };
        milliseconds.map(|ms| Some(f64::from(ms) * 1e-3)).map_err(|error| self.failed(error))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.enter().is_err() {
            return;
        }
        // SAFETY: every handle was made by this value and is destroyed once, after the work that uses it. Errors are of no use to
        // anybody here.
        unsafe {
            let _ = result::stream::synchronize(self.stream);
            for graph in &self.graphs {
                let _ = result::graph::exec_destroy(graph.executable);
            }
            for module in &self.modules {
                let _ = result::module::unload(*module);
            }
            for (start, _) in &self.allocations {
                let _ = result::free_sync(*start);
            }
            for event in [self.timer.0, self.timer.1].into_iter().filter(|event| !event.is_null()) {
                let _ = result::event::destroy(event);
            }
            if !self.stream.is_null() {
                let _ = result::stream::destroy(self.stream);
            }
            let _ = result::primary_ctx::release(self.device);
        }
    }
}
