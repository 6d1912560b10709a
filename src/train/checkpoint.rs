//! Checkpoints in safetensors files: parameters by name, moments as `moment.<i>/<name>`, step words, metrics.
//!
//! Written to a temporary file, flushed to disk, then renamed: a crash leaves the former checkpoint whole.

use crate::backend::Backend;
use crate::call::{Moments, Optimizer, Region};
use crate::graph::{Parameter, Store};
use crate::{Error, Result};
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Key of the progress in the file's metadata.
const PROGRESS: &str = "bbh";

/// Longest header that is read: names and shapes of a few hundred tensors take far less.
const MAX_HEADER: u64 = 16 << 20;

/// Elements that are read from a file before they are copied to the device.
const AT_ONCE: usize = 4 << 20;

/// Where a run stands, besides its tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Complete epochs.
    pub epoch: usize,
    /// Training steps done.
    pub step: u64,
    /// Epoch and validation loss of the best epoch so far.
    pub best: Option<(usize, f64)>,
    /// Seconds of training in all complete epochs.
    pub seconds: f64,
    /// Seconds of training in the epoch that is not complete.
    pub epoch_seconds: f64,
}

/// What a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Everything that training needs to go on.
    All,
    /// Parameters alone.
    Weights,
}

/// Writes a checkpoint.
///
/// # Errors
/// When the disk is full or the folder cannot be written.
pub fn save(
    path: &Path,
    (store, device): (&Store, &dyn Backend),
    optimizer: Optimizer,
    progress: &Progress,
    content: Content,
) -> Result<()> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::run(format!("{}: checkpoint not {what}: {error}; the former one, if any, is kept", path.display()))
    };
    let mut store_copy = store.clone();
    let tensors = tensors(&mut store_copy, optimizer, content)?;
    let failure = RefCell::new(None);
    let mut views = Vec::with_capacity(tensors.len());
    for (name, dtype, shape, region) in &tensors {
        views.push((name.as_str(), DeviceTensor { device, dtype: *dtype, shape, region: *region, failure: &failure }));
    }
    let text = serde_json::to_string(progress).map_err(|error| failed("formed", &error))?;
    let metadata = HashMap::from([(PROGRESS.to_string(), text)]);
    let temporary = path.with_extension("partial");
    safetensors::serialize_to_file(views, Some(metadata), &temporary).map_err(|error| failed("written", &error))?;
    if let Some(error) = failure.take() {
        return Err(failed("read from the device", &error));
    }
    File::open(&temporary).and_then(|file| file.sync_all()).map_err(|error| failed("flushed", &error))?;
    fs::rename(&temporary, path).map_err(|error| failed("renamed", &error))
}

/// Reads a checkpoint into memory laid out for the same configuration.
///
/// # Errors
/// When the file is missing, malformed, truncated, or of another configuration.
pub fn load(
    path: &Path,
    (store, device): (&Store, &mut dyn Backend),
    optimizer: Optimizer,
    content: Content,
) -> Result<Progress> {
    let malformed =
        |what: String| Error::input(format!("{}: not a checkpoint of this configuration: {what}", path.display()));
    let file =
        File::open(path).map_err(|error| Error::input(format!("{}: cannot be opened: {error}", path.display())))?;
    let mut file = BufReader::new(file);
    let (header_len, header) = header(&mut file).map_err(&malformed)?;
    let progress = header.metadata().as_ref().and_then(|metadata| metadata.get(PROGRESS));
    let progress = progress.ok_or_else(|| malformed("it has no progress".into()))?;
    let progress: Progress = serde_json::from_str(progress).map_err(|error| malformed(error.to_string()))?;
    let (mut store_copy, mut bytes) = (store.clone(), Vec::new());
    for (name, dtype, shape, region) in tensors(&mut store_copy, optimizer, content)? {
        let info = header.info(&name).ok_or_else(|| malformed(format!("tensor {name} is missing")))?;
        if info.dtype != dtype || info.shape != shape {
            return Err(malformed(format!(
                "{name}: expected {dtype:?} {shape:?}, found {:?} {:?}",
                info.dtype, info.shape
            )));
        }
        file.seek(SeekFrom::Start(header_len + info.data_offsets.0 as u64))
            .map_err(|error| malformed(format!("{name} cannot be read: {error}")))?;
        let element = dtype.bitsize() / 8;
        for first in (0..region.len).step_by(AT_ONCE) {
            bytes.resize(AT_ONCE.min(region.len - first) * element, 0);
            file.read_exact(&mut bytes).map_err(|error| malformed(format!("{name} cannot be read: {error}")))?;
            let part = Region::contiguous(region.buffer, region.offset + first, bytes.len() / element);
            device.write_bytes(part, &bytes)?;
        }
    }
    Ok(progress)
}

/// A tensor in device memory, copied to the host when the writer comes to it.
struct DeviceTensor<'a> {
    device: &'a dyn Backend,
    dtype: Dtype,
    shape: &'a [usize],
    region: Region,
    /// The first copy that failed; the writer's interface has no room for errors.
    failure: &'a RefCell<Option<Error>>,
}

impl View for DeviceTensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.device.bytes(None, self.region).unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            Cow::Owned(vec![0; self.data_len()])
        })
    }

    fn data_len(&self) -> usize {
        self.region.len * self.dtype.bitsize() / 8
    }
}

/// Length of everything before the tensors, and what it says.
fn header(file: &mut BufReader<File>) -> std::result::Result<(u64, safetensors::tensor::Metadata), String> {
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|error| format!("it has no header: {error}"))?;
    let len = u64::from_le_bytes(length);
    if len > MAX_HEADER {
        return Err(format!("its header claims {len} bytes, more than {MAX_HEADER}"));
    }
    let mut json = vec![0; len as usize];
    file.read_exact(&mut json).map_err(|error| format!("its header is cut off: {error}"))?;
    let metadata: safetensors::tensor::Metadata = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let expected = 8 + len + metadata.data_len() as u64;
    let found = file.get_ref().metadata().map_err(|error| error.to_string())?.len();
    if found != expected {
        return Err(format!("expected {expected} bytes, found {found}"));
    }
    Ok((8 + len, metadata))
}

/// Name, type, shape and region of a tensor.
type Tensor = (String, Dtype, Vec<usize>, Region);

/// Every tensor of a checkpoint.
fn tensors(store: &mut Store, optimizer: Optimizer, content: Content) -> Result<Vec<Tensor>> {
    let parameters: Vec<Parameter> = store.parameters().to_vec();
    let mut tensors: Vec<_> =
        parameters.iter().map(|p| (p.name.clone(), Dtype::F32, p.shape.sizes(), p.region)).collect();
    if content == Content::Weights {
        return Ok(tensors);
    }
    let dtype = match optimizer.moments() {
        Moments::Fp32 => Dtype::F32,
        Moments::Bf16 => Dtype::BF16,
    };
    for parameter in &parameters {
        for (index, region) in store.moments(parameter.region, optimizer)?.into_iter().enumerate() {
            let name = format!("moment.{}/{}", index + 1, parameter.name);
            tensors.push((name, dtype, parameter.shape.sizes(), region));
        }
    }
    let (words, metrics) = (store.words(), store.metrics());
    tensors.push(("step words".into(), Dtype::U32, vec![words.len], words));
    tensors.push(("metrics".into(), Dtype::F64, vec![metrics.len], metrics));
    Ok(tensors)
}
