//! The shape of the source tree: sizes, where `unsafe` is, imports in one direction, every op in every room.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, lines.
const MAX_LINES: usize = 400;

/// The only files with `unsafe`.
const UNSAFE: [&str; 6] = [
    "src/backend/cpu/matmul.rs",
    "src/backend/cpu/memory.rs",
    "src/backend/cuda/sim.rs",
    "src/backend/cuda/driver/library.rs",
    "src/backend/cuda/driver/mod.rs",
    "src/backend/cuda/driver/ranges.rs",
];

/// Modules of the library from the bottom up: each may import those of the same row or of rows before it.
const ROWS: [&[&str]; 15] = [
    &["error", "machine", "svg"],
    &["vectors"],
    &["call"],
    &["random"],
    &["graph"],
    &["ops"],
    &["plan"],
    &["backend", "data", "hmc"],
    &["model"],
    &["method"],
    &["eval"],
    &["train"],
    &["toy"],
    &["check"],
    &["profile", "cli"],
];

/// Rooms in which each op family is found by one name.
const FAMILIES: [&str; 22] = [
    "augment",
    "batch",
    "bias",
    "capped_variances",
    "conv2d",
    "conv2d_pool",
    "coupling",
    "dropout",
    "elementwise",
    "gaussian",
    "linear",
    "local_reparameterization",
    "log_density",
    "noise",
    "norm",
    "pairwise",
    "per_weight_kl",
    "pool2d",
    "scaled",
    "shortcut",
    "softmax",
    "subset",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files below a folder of the crate, as (path relative to the crate, text).
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    let relative =
        |path: &Path| path.strip_prefix(root()).expect("inside the crate").to_string_lossy().replace('\\', "/");
    paths.iter().map(|path| (relative(path), fs::read_to_string(path).expect("UTF-8"))).collect()
}

#[test]
fn no_file_is_too_long() {
    let all = ["src", "tests", "benches"].iter().flat_map(|folder| sources(folder));
    let long: Vec<_> =
        all.map(|(path, text)| (text.lines().count(), path)).filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "longer than {MAX_LINES} lines: {long:?}");
}

#[test]
fn unsafe_stands_in_named_files_and_gives_its_reason() {
    let mut found = BTreeSet::new();
    for (path, text) in sources("src") {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if !code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
                continue;
            }
            found.insert(path.clone());
            let before = &lines[index.saturating_sub(4)..index];
            let reasoned = before.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            assert!(reasoned, "{path}:{} gives no SAFETY reason", index + 1);
        }
    }
    assert_eq!(found, UNSAFE.map(String::from).into(), "files that use unsafe, and those named");
}

#[test]
fn imports_run_one_way() {
    let row = |module: &str| ROWS.iter().position(|row| row.contains(&module));
    for (path, text) in sources("src") {
        let own = path.trim_start_matches("src/").trim_end_matches(".rs").split('/').next().unwrap_or("").to_string();
        if own == "lib" || own == "main" {
            continue;
        }
        let own_row = row(&own).unwrap_or_else(|| panic!("{path}: module {own} stands in no row of this test"));
        for imported in text.split("crate::").skip(1) {
            let module: String = imported.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(imported_row) = row(&module) {
                assert!(imported_row <= own_row, "{path} imports {module}, which stands above it");
            }
        }
    }
}

#[test]
fn every_op_family_is_found_by_its_name() {
    for family in FAMILIES {
        for room in ["src/ops", "src/backend/cpu", "src/backend/cuda"] {
            let path = root().join(room).join(format!("{family}.rs"));
            assert!(path.is_file(), "{} is missing", path.display());
        }
    }
}

#[test]
fn no_notes_to_self() {
    // Spelled in halves, so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    for (path, text) in ["src", "tests", "benches"].iter().flat_map(|folder| sources(folder)) {
        for word in words {
            assert!(!text.contains(word), "{path} contains {word}");
        }
    }
}
