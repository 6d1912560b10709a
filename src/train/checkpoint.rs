//! Checkpoints in safetensors files: parameters by name, moments as `moment.<i>/<name>`, step words, metrics.
//!
//! Written to a temporary file, flushed to disk, then renamed: a crash leaves the former checkpoint whole.

use crate::backend::cpu::Cpu;
use crate::call::{Optimizer, Region};
use crate::graph::{Parameter, Store};
use crate::{Error, Result};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Key of the progress in the file's metadata.
const PROGRESS: &str = "bbh";

/// Longest header that is read: names and shapes of a few hundred tensors take far less.
const MAX_HEADER: u64 = 16 << 20;

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
    (store, cpu): (&Store, &Cpu<f32>),
    optimizer: Optimizer,
    progress: &Progress,
    content: Content,
) -> Result<()> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::run(format!("{}: checkpoint not {what}: {error}; the former one, if any, is kept", path.display()))
    };
    let mut store_copy = store.clone();
    let tensors = tensors(&mut store_copy, optimizer, content);
    let mut views = Vec::with_capacity(tensors.len());
    for (name, dtype, shape, region) in &tensors {
        let bytes: &[u8] = match dtype {
            Dtype::F32 => bytemuck::cast_slice(cpu.persistent::<f32>(*region)),
            Dtype::F64 => bytemuck::cast_slice(cpu.persistent::<f64>(*region)),
            _ => bytemuck::cast_slice(cpu.persistent::<u32>(*region)),
        };
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| failed("formed", &error))?;
        views.push((name.clone(), view));
    }
    let text = serde_json::to_string(progress).map_err(|error| failed("formed", &error))?;
    let metadata = HashMap::from([(PROGRESS.to_string(), text)]);
    let temporary = path.with_extension("partial");
    safetensors::serialize_to_file(views, Some(metadata), &temporary).map_err(|error| failed("written", &error))?;
    File::open(&temporary).and_then(|file| file.sync_all()).map_err(|error| failed("flushed", &error))?;
    fs::rename(&temporary, path).map_err(|error| failed("renamed", &error))
}

/// Reads a checkpoint into memory laid out for the same configuration.
///
/// # Errors
/// When the file is missing, malformed, truncated, or of another configuration.
pub fn load(
    path: &Path,
    (store, cpu): (&Store, &mut Cpu<f32>),
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
    let mut store_copy = store.clone();
    for (name, dtype, shape, region) in tensors(&mut store_copy, optimizer, content) {
        let info = header.info(&name).ok_or_else(|| malformed(format!("tensor {name} is missing")))?;
        if info.dtype != dtype || info.shape != shape {
            return Err(malformed(format!(
                "{name}: expected {dtype:?} {shape:?}, found {:?} {:?}",
                info.dtype, info.shape
            )));
        }
        let bytes: &mut [u8] = match dtype {
            Dtype::F32 => bytemuck::cast_slice_mut(cpu.persistent_mut::<f32>(region)),
            Dtype::F64 => bytemuck::cast_slice_mut(cpu.persistent_mut::<f64>(region)),
            _ => bytemuck::cast_slice_mut(cpu.persistent_mut::<u32>(region)),
        };
        let start = header_len + info.data_offsets.0 as u64;
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(bytes));
        read.map_err(|error| malformed(format!("{name} cannot be read: {error}")))?;
    }
    Ok(progress)
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

/// Name, type, shape and region of every tensor of a checkpoint.
fn tensors(store: &mut Store, optimizer: Optimizer, content: Content) -> Vec<(String, Dtype, Vec<usize>, Region)> {
    let parameters: Vec<Parameter> = store.parameters().to_vec();
    let mut tensors: Vec<_> =
        parameters.iter().map(|p| (p.name.clone(), Dtype::F32, p.shape.sizes(), p.region)).collect();
    if content == Content::Weights {
        return tensors;
    }
    for parameter in &parameters {
        for (index, region) in store.moments(parameter.region, optimizer.moments()).into_iter().enumerate() {
            let name = format!("moment.{}/{}", index + 1, parameter.name);
            tensors.push((name, Dtype::F32, parameter.shape.sizes(), region));
        }
    }
    let (words, metrics) = (store.words(), store.metrics());
    tensors.push(("step words".into(), Dtype::U32, vec![words.len], words));
    tensors.push(("metrics".into(), Dtype::F64, vec![metrics.len], metrics));
    tensors
}
