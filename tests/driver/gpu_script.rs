//! tests/gpu/run.sh, the proof for machines with a GPU, here with the driver of fake.cpp and tiny runs.

use std::path::Path;
use std::process::Command;

fn scripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gpu")
}

#[test]
fn the_scripts_parse() {
    for script in ["run.sh", "pack.sh"] {
        let output = Command::new("bash").arg("-n").arg(scripts().join(script)).output().expect("bash is installed");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[cfg(feature = "sim")]
mod runs {
    use super::scripts;
    use crate::common::write_set;
    use crate::fake::driver;
    use serde_json::Value;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::process::Command;

    /// Writes a program of the shell.
    fn write_program(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A folder as pack.sh makes it, and a data set for quick runs.
    fn pack() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_bbh"), dir.path().join("bbh")).unwrap();
        fs::copy(scripts().join("run.sh"), dir.path().join("run.sh")).unwrap();
        write_set(&dir.path().join("set"), 60, 20);
        dir
    }

    /// Runs steps of the script; returns its exit code and OUT/results.json.
    fn run(folder: &Path, steps: &str, settings: &[(&str, &str)]) -> (i32, Value) {
        let out = folder.join("out");
        let mut command = Command::new("bash");
        command.arg(folder.join("run.sh")).arg(folder).arg(&out);
        command.env("LD_LIBRARY_PATH", driver()).env("BBH_GPU_QUICK", "1").env("BBH_GPU_STEPS", steps);
        command.env("BBH_GPU_SET", folder.join("set")).env("BBH_GPU_PYTHON", "no-such-python");
        let output = command.envs(settings.iter().copied()).output().expect("bash is installed");
        let results = fs::read_to_string(out.join("results.json")).unwrap_or_else(|error| {
            panic!("{error}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        });
        let summary = fs::read_to_string(out.join("summary.json")).unwrap();
        let (results, summary): (Value, Value) =
            (serde_json::from_str(&results).expect(&results), serde_json::from_str(&summary).expect(&summary));
        assert_eq!(results["steps"], summary);
        (output.status.code().expect("an exit code"), results)
    }

    /// Status and reason of a step.
    fn outcome<'a>(results: &'a Value, step: &str) -> (&'a str, &'a str) {
        let all = results["steps"].as_array().unwrap();
        let found = all.iter().find(|entry| entry["step"] == step).unwrap_or_else(|| panic!("no {step} in {all:?}"));
        (found["status"].as_str().unwrap(), found["reason"].as_str().unwrap())
    }

    #[test]
    fn every_step_passes_or_says_what_is_not_installed() {
        let folder = pack();
        let (code, results) = run(folder.path(), "info parity graph-* torch memcheck racecheck initcheck", &[]);
        assert_eq!(code, 0, "{results:#}");
        for step in ["info", "parity", "graph-shared"] {
            assert_eq!(outcome(&results, step).0, "passed", "{results:#}");
        }
        assert_eq!(outcome(&results, "torch"), ("skipped", "no-such-python is not installed"));
        assert_eq!(results["card"], "Fake GPU 0");
        assert!(results["parity"].as_array().unwrap().iter().any(|row| row["kernel"] == "softmax"), "{results:#}");
        assert_eq!(results["info"]["cuda"]["driver"]["cuda_version"], serde_json::json!([12, 4]));
    }

    #[test]
    fn a_machine_without_a_gpu_fails_every_step_that_needs_one() {
        let folder = pack();
        let (code, results) = run(folder.path(), "info parity graph-*", &[("FAKE_DEVICES", "0")]);
        assert_eq!(code, 1);
        for step in ["info", "parity", "graph-shared"] {
            let (status, reason) = outcome(&results, step);
            assert_eq!(status, "failed", "{step}");
            assert!(reason.contains("finds no GPU"), "{step}: {reason}");
        }
        assert!(results["parity"].is_null());
    }

    /// A pack whose program is a shell script; `$BBH` in it is the program proper.
    fn pack_of_script(text: &str) -> tempfile::TempDir {
        let folder = pack();
        let bbh = folder.path().join("bbh");
        fs::remove_file(&bbh).unwrap();
        write_program(&bbh, &format!("#!/bin/bash\nBBH={}\n{text}\n", env!("CARGO_BIN_EXE_bbh")));
        folder
    }

    #[test]
    fn graphs_that_compute_something_else_are_noticed() {
        let other_seed = "[[ $BBH_CUDA_EAGER != 1 ]] || set -- \"$@\" --seed 1\nexec $BBH \"$@\"";
        // The last argument is the run's folder.
        let other_tensors = "$BBH \"$@\" || exit\n[[ $BBH_CUDA_EAGER != 1 ]] || printf x | dd of=${@: -1}/checkpoint.safetensors bs=1 seek=4000 conv=notrunc";
        for (script, reason) in [(other_seed, "metrics differ"), (other_tensors, "tensors of the checkpoints differ")] {
            let folder = pack_of_script(script);
            let (code, results) = run(folder.path(), "graph-*", &[]);
            assert_eq!((code, outcome(&results, "graph-shared")), (1, ("failed", reason)));
        }
    }

    #[test]
    fn what_a_program_says_is_quoted() {
        let said = r#"bbh: "C:\new" is no	folder"#;
        let folder = pack_of_script(&format!("echo '{said}' >&2; echo hint >&2; exit 3"));
        let (code, results) = run(folder.path(), "parity", &[]);
        assert_eq!((code, outcome(&results, "parity")), (1, ("failed", said.replace('\t', " ").as_str())));
    }

    #[test]
    fn a_step_that_hangs_ends_at_its_limit() {
        let folder = pack_of_script("exec sleep 60");
        let (code, results) = run(folder.path(), "info parity", &[("BBH_GPU_SECONDS", "4")]);
        assert_eq!(code, 1);
        assert_eq!(outcome(&results, "info"), ("failed", "ran past its 4 s"));
        assert_eq!(outcome(&results, "parity").0, "skipped");
    }

    #[test]
    fn findings_of_the_sanitizer_fail_its_step() {
        let folder = pack();
        let tools = folder.path().join("tools");
        fs::create_dir(&tools).unwrap();
        // A finding of initcheck, none of racecheck, an end without a summary of memcheck.
        let sanitizer = "#!/bin/bash\nwhile [[ $1 == --* ]]; do declare \"option_${1//-/}=$2\"; shift 2; done\ncase $option_tool in\n\
            initcheck) echo '========= ERROR SUMMARY: 1 error' ;;\nracecheck) echo '========= RACECHECK SUMMARY: 0 hazards displayed' ;;\n\
            esac >\"$option_logfile\"\n\"$@\"\n";
        write_program(&tools.join("compute-sanitizer"), sanitizer);
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        let (code, results) = run(folder.path(), "*check", &[("PATH", &path)]);
        assert_eq!(code, 1);
        assert_eq!(outcome(&results, "racecheck"), ("passed", "no finding in: softmax"));
        for tool in ["memcheck", "initcheck"] {
            let (status, reason) = outcome(&results, tool);
            assert_eq!(status, "failed", "{tool}");
            assert!(reason.contains("no summary without findings"), "{tool}: {reason}");
        }
    }

    #[test]
    fn a_step_without_time_is_skipped() {
        let folder = pack();
        let (code, results) = run(folder.path(), "info", &[("BBH_GPU_SECONDS", "0")]);
        assert_eq!((code, outcome(&results, "info")), (0, ("skipped", "no time left (BBH_GPU_SECONDS)")));
    }
}
