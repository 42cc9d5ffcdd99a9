//! `tidegate validate`.

use std::path::PathBuf;

use tidegate::config;

use super::failure::Failure;
use super::output;

/// Check a configuration file and print every error with file, line, column and a suggested fix.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration
    #[arg(env = "TIDEGATE_CONFIG")]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.file)?;
    let listeners: usize = config.mesh.fleets.iter().map(|fleet| fleet.listeners.len()).sum();
    output::print(&format!(
        "{} is good: {}, {}, {}",
        args.file.display(),
        counted(config.services.len(), "service"),
        counted(config.mesh.fleets.len(), "fleet"),
        counted(listeners, "listener"),
    ))
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}
