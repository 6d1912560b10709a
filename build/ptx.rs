//! Embeds the kernels for GPUs: the PTX of kernels/ptx, or, where there is a CUDA compiler, PTX of the sources as they stand
//! and machine code for the architectures that the compiler knows. Never asks for a GPU.
//!
//! The compiler is NVCC, else CUDA_HOME/bin/nvcc, else nvcc on the PATH; NVCC=none takes the committed PTX. BBH_ARCHITECTURES
//! (`80,90`; `none`) limits the machine code.

use crate::{KERNEL, files, write};
use flate2::{Compression, GzBuilder};
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

/// Architectures that machine code is made for, those of them that the compiler knows.
const ARCHITECTURES: [u32; 6] = [80, 86, 89, 90, 100, 120];

/// Oldest PTX that can say what the kernels say, for drivers from CUDA 11.0 on.
const PTX_VERSION: &str = ".version 7.0";

/// A CUDA compiler.
struct Compiler {
    nvcc: PathBuf,
    version: String,
    architectures: Vec<u32>,
}

/// What is embedded of one kernel file: compressed PTX, and compressed machine code by architecture.
struct Embedded {
    stem: String,
    kernels: Vec<String>,
    ptx: Option<PathBuf>,
    cubins: Vec<(u32, PathBuf)>,
}

/// Writes kernels.rs, which src/backend/cuda/embedded.rs includes.
pub fn build(folder: &Path, out: &Path) {
    for name in ["NVCC", "CUDA_HOME", "BBH_ARCHITECTURES"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let compiler = find_compiler();
    let sources = files(folder, "cu");
    let embedded = match &compiler {
        Some(compiler) => compile_all(compiler, folder, out, &sources),
        None => sources.iter().map(|source| committed(folder, source)).collect(),
    };
    let origin = compiler.map_or("the repository's PTX".into(), |compiler| compiler.version);
    write(out.join("kernels.rs"), &table(&origin, &embedded));
}

/// The compiler to use, if there is one.
fn find_compiler() -> Option<Compiler> {
    let named = env::var_os("NVCC").filter(|path| !path.is_empty());
    if named.as_deref() == Some(OsStr::new("none")) {
        return None;
    }
    let toolkit = env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("bin/nvcc")).filter(|path| path.is_file());
    let on_path = || {
        let folders = env::var_os("PATH")?;
        env::split_paths(&folders).map(|folder| folder.join("nvcc")).find(|path| path.is_file())
    };
    let nvcc = named.map(PathBuf::from).or(toolkit).or_else(on_path)?;
    let output = Command::new(&nvcc).arg("--version").output();
    let output = output.unwrap_or_else(|error| {
        panic!("NVCC: {} cannot be run ({error}); name a CUDA compiler, or NVCC=none to do without", nvcc.display())
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split("release ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("of unknown version");
    let architectures = architectures(&nvcc);
    Some(Compiler { version: format!("nvcc {version}"), nvcc, architectures })
}

/// Architectures to make machine code for.
fn architectures(nvcc: &Path) -> Vec<u32> {
    let known = Command::new(nvcc).arg("--list-gpu-code").output().map(|output| output.stdout).unwrap_or_default();
    let known = String::from_utf8_lossy(&known).into_owned();
    let known = |architecture: &u32| known.lines().any(|line| line.trim() == format!("sm_{architecture}"));
    let wanted = match env::var("BBH_ARCHITECTURES") {
        Ok(list) if list == "none" => Vec::new(),
        Ok(list) => list
            .split(',')
            .map(|part| {
                part.trim()
                    .parse()
                    .unwrap_or_else(|_| panic!("BBH_ARCHITECTURES: expected numbers like 80,90 or none, found {list}"))
            })
            .collect(),
        Err(_) => ARCHITECTURES.to_vec(),
    };
    wanted.into_iter().filter(known).collect()
}

/// The committed PTX of a kernel file. Where there is none yet, the program is built without.
fn committed(folder: &Path, source: &Path) -> Embedded {
    let stem = stem(source);
    let ptx = Some(folder.join("ptx").join(format!("{stem}.ptx.gz"))).filter(|path| path.is_file());
    if ptx.is_none() {
        println!("cargo:warning=kernels/{stem}.cu has no PTX, so no GPU will run it: python3 .ci/kernels.py --update");
    }
    Embedded { kernels: kernels(source), stem, ptx, cubins: Vec::new() }
}

/// Compiles all files, as many at a time as cargo allows; what was compiled before from the same text is kept.
fn compile_all(compiler: &Compiler, folder: &Path, out: &Path, sources: &[PathBuf]) -> Vec<Embedded> {
    let workers = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let headers: String = files(folder, "cuh").iter().map(|path| read(path)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(compile(compiler, folder, out, source, &headers));
        }
        done
    };
    let mut embedded: Vec<Embedded> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a compiler thread")).collect()
    });
    embedded.sort_by(|a, b| a.stem.cmp(&b.stem));
    embedded
}

/// PTX and machine code of one file.
fn compile(compiler: &Compiler, folder: &Path, out: &Path, source: &Path, headers: &str) -> Embedded {
    let stem = stem(source);
    let mut hasher = DefaultHasher::new();
    (read(source), headers, &compiler.version, PTX_VERSION).hash(&mut hasher);
    let key = hasher.finish();
    let name = |suffix: &str| out.join(format!("{stem}.{key:016x}.{suffix}"));
    let ptx = name("ptx.gz");
    if !ptx.is_file() {
        let text = out.join(format!("{stem}.ptx"));
        let mut command = Command::new(&compiler.nvcc);
        command.args(["-std=c++17", "-arch=compute_80", "-ptx", "-I"]).arg(folder).arg(source).arg("-o").arg(&text);
        succeed(&mut command);
        let lowered = read(&text).lines().map(lower).collect::<Vec<_>>().join("\n") + "\n";
        fs::write(&text, &lowered).expect("a writable build folder");
        compress(&ptx, lowered.as_bytes());
    }
    let cubins = compiler.architectures.iter().map(|&architecture| {
        let cubin = name(&format!("sm_{architecture}.gz"));
        if !cubin.is_file() {
            let text = out.join(format!("{stem}.ptx"));
            let code = out.join(format!("{stem}.sm_{architecture}"));
            let ptxas = compiler.nvcc.with_file_name("ptxas");
            succeed(Command::new(ptxas).arg(format!("-arch=sm_{architecture}")).arg(&text).arg("-o").arg(&code));
            compress(&cubin, &fs::read(&code).expect("the machine code"));
        }
        (architecture, cubin)
    });
    Embedded { kernels: kernels(source), cubins: cubins.collect(), stem, ptx: Some(ptx) }
}

/// A line of PTX for the oldest driver.
fn lower(line: &str) -> &str {
    if line.starts_with(".version ") { PTX_VERSION } else { line }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a compressed file, complete or not at all.
fn compress(path: &Path, bytes: &[u8]) {
    let partial = path.with_extension("partial");
    let file = fs::File::create(&partial).expect("a writable build folder");
    let mut encoder = GzBuilder::new().write(file, Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish().map(drop)).expect("a writable build folder");
    fs::rename(&partial, path).expect("a writable build folder");
}

/// Names of the kernels `extern "C" __global__ void [__launch_bounds__(..)] name(` of a file.
fn kernels(source: &Path) -> Vec<String> {
    let name = |part: &str| {
        let part = part.trim_start();
        let part =
            part.strip_prefix("__launch_bounds__").map_or(part, |rest| rest.split_once(')').unwrap_or(("", "")).1);
        part.split('(').next().unwrap_or("").trim().to_string()
    };
    read(source).split(KERNEL).skip(1).map(name).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file name").to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of kernels.rs.
fn table(origin: &str, embedded: &[Embedded]) -> String {
    let entry = |file: &Embedded| {
        let cubins =
            file.cubins.iter().map(|(architecture, path)| format!("({architecture}, include_bytes!({path:?}))"));
        let cubins: Vec<String> = cubins.collect();
        let ptx = file.ptx.as_ref().map_or("None".into(), |path| format!("Some(include_bytes!({path:?}))"));
        format!(
            "    KernelFile {{ name: {:?}, kernels: &{:?}, ptx: {ptx}, cubins: &[{}] }},\n",
            file.stem,
            file.kernels,
            cubins.join(", ")
        )
    };
    let entries: String = embedded.iter().map(entry).collect();
    format!("pub const ORIGIN: &str = {origin:?};\npub static FILES: &[KernelFile] = &[\n{entries}];\n")
}
