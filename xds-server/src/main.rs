//! The `tidegate` binary: parses the command line and runs one command.
#![forbid(unsafe_code)]

mod cli;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
