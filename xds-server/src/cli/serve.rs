//! `tidegate serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate::config;
use tokio::net::TcpListener;

use super::failure::Failure;
use super::logs;

/// Run the control plane: xDS and reports on one port, REST and metrics on another.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration
    #[arg(short, long, env = "TIDEGATE_CONFIG", default_value = "tidegate.yaml")]
    config: PathBuf,
    #[command(flatten)]
    logs: logs::Args,
}
