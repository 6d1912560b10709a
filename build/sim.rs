//! Compiles every kernels/*.cu for the host, twice (plain, and instrumented for the race checks), together with the simulated
//! device.

use crate::{KERNEL, files, write};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A kernel file: its stem and the kernels in it.
struct Source {
    stem: String,
    path: PathBuf,
    text: String,
    kernels: Vec<String>,
}

/// Leaves the library in `out`, and its path in the variable BBH_SIM_LIBRARY of the crate's compilation.
pub fn build(folder: &Path, out: &Path) {
    let mut sources = sources(folder, "");
    sources.extend(sources_of_tests(folder));
    let mut objects = Vec::new();
    for build in ["plain", "race"] {
        let mut compiler = compiler(folder);
        if build == "race" {
            compiler.flag("-fsanitize=thread,alignment,bounds,shift,integer-divide-by-zero");
        }
        for source in &sources {
            compiler.file(wrapper(out, source, build));
        }
        objects.extend(compiler.compile_intermediates());
    }
    let mut runtime = compiler(folder);
    runtime.files(files(&folder.join("sim"), "cpp")).file(tables(out, &sources)).objects(&objects);
    runtime.compile("bbh_sim");
    println!("cargo:rustc-env=BBH_SIM_LIBRARY={}", out.join("libbbh_sim.a").display());
}

fn sources_of_tests(folder: &Path) -> Vec<Source> {
    sources(&folder.join("sim/tests"), "tests_")
}

fn sources(folder: &Path, prefix: &str) -> Vec<Source> {
    let source = |path: PathBuf| {
        let stem = path.file_stem().expect("a file name").to_string_lossy();
        let text = fs::read_to_string(&path).expect("a readable kernel file");
        Source { stem: format!("{prefix}{stem}"), kernels: kernels(&text), text, path }
    };
    files(folder, "cu").into_iter().map(source).collect()
}

fn compiler(folder: &Path) -> cc::Build {
    let mut compiler = cc::Build::new();
    compiler.cpp(true).std("c++17").opt_level(2).debug(false).warnings(false).include(folder);
    compiler.flag("-g1").flag("-ffp-contract=off").flag("-fno-strict-aliasing").flag("-Wno-unknown-pragmas");
    #[cfg(target_arch = "x86_64")]
    if env::var("HOST") == env::var("TARGET")
        && std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
    {
        compiler.flag("-march=x86-64-v3");
    }
    compiler
}

/// The kernels `extern "C" __global__ void [__launch_bounds__(..)] name(` of a file: a name, and bounds after a comma.
fn kernels(text: &str) -> Vec<String> {
    let name = |part: &str| {
        let (mut rest, mut bounds) = (part.trim_start(), String::new());
        if let Some(after) = rest.strip_prefix("__launch_bounds__(") {
            let (inside, behind) = after.split_once(')').expect("closed launch bounds");
            (rest, bounds) = (behind, format!(", {inside}"));
        }
        rest.split('(').next().expect("a kernel's name").trim().to_string() + &bounds
    };
    text.split(KERNEL).skip(1).map(name).collect()
}

/// A file with the text of one source and a table of its kernels. They become static there: both builds are linked into one
/// program.
fn wrapper(out: &Path, source: &Source, build: &str) -> PathBuf {
    let entries: String = source.kernels.iter().map(|kernel| format!("    SIM_KERNEL({kernel}),\n")).collect();
    let text = format!(
        "#include \"sim/device.h\"\n#include \"sim/table.h\"\nnamespace {{\n#line 1 {:?}\n{}\n}}\nextern \"C\" const SimKernel sim_{build}_{}[] = {{\n{entries}    {{}}\n}};\n",
        source.path,
        source.text.replace(KERNEL, "static void"),
        source.stem
    );
    write(out.join(format!("{}_{build}.cpp", source.stem)), &text)
}

/// A file with the tables of both builds, in the same order.
fn tables(out: &Path, sources: &[Source]) -> PathBuf {
    let mut text = String::from("#include \"sim/table.h\"\n");
    for build in ["plain", "race"] {
        for source in sources {
            text += &format!("extern \"C\" const SimKernel sim_{build}_{}[];\n", source.stem);
        }
        let names: Vec<String> = sources.iter().map(|source| format!("sim_{build}_{}", source.stem)).collect();
        text +=
            &format!("extern \"C\" const SimKernel* const sim_{build}_tables[] = {{{}, nullptr}};\n", names.join(", "));
    }
    write(out.join("sim_tables.cpp"), &text)
}
