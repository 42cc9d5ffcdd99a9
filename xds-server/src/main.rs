//! The `tidegate` binary: parses the command line and runs one command.
#![forbid(unsafe_code)]

mod cli;
mod wiring;

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
