//! Structured logs, on standard error.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::failure::Failure;

/// How logs are written.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LogArgs {
    /// What to log, by module: info, tidegate=debug,info
    #[arg(long, env = "TIDEGATE_LOG")]
    log: Option<String>,
    /// For people or for programs
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One line an event
    Text,
    /// One JSON object an event
    Json,
}

/// Logs go to standard error from now on.
pub(super) fn start(args: &LogArgs) -> Result<(), Failure> {
    let filter = args.log.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let filter = filter.unwrap_or_else(|| "info".to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|source| Failure::Log { filter, source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match args.log_format {
        Format::Text => builder.init(),
        Format::Json => builder.json().init(),
    }
    Ok(())
}
