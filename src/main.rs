//! The command line: see `bbh --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bbh::cli::main()
}
