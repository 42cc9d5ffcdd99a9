//! `tidegate completions` and `tidegate man`: what a package contains besides the binary.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::failure::Failure;
use super::{Cli, output};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the man pages
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// An existing directory
    directory: PathBuf,
}

pub(super) fn print(args: &CompletionsArgs) -> Result<(), Failure> {
    // Into memory: the generator panics if it cannot write, and the reader of the output may close it.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end())
}

pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let directory = &args.directory;
    clap_mangen::generate_to(Cli::command(), directory)
        .map_err(|source| Failure::ManPages { path: directory.clone(), source })
}
