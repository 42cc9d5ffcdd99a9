//! `tidegate envoy`.

use std::net::SocketAddr;

use clap::{Subcommand, ValueEnum};
use tidegate::config;
use tidegate::delivery::names::FleetName;
use tidegate::xds::bootstrap::bootstrap;
use tidegate::xds::kind::Mode;

use super::failure::Failure;
use super::output;

/// Help with the Envoy side.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print a bootstrap for a stock Envoy, which takes all else from Tidegate
    Bootstrap {
        /// The fleet that it belongs to: its `node.cluster`
        #[arg(long, env = "TIDEGATE_FLEET")]
        fleet: FleetName,
        /// Its own name, `node.id`: no two sidecars may share one
        #[arg(long, env = "TIDEGATE_NODE_ID")]
        id: String,
        /// Where the control plane serves xDS, HOST:PORT
        #[arg(long, env = "TIDEGATE_XDS", default_value = "127.0.0.1:18000")]
        xds: String,
        /// Where Envoy's own admin interface listens, IP:PORT
        #[arg(long, env = "TIDEGATE_ADMIN", default_value = "127.0.0.1:9901")]
        admin: SocketAddr,
        /// The variant of xDS
        #[arg(long, env = "TIDEGATE_XDS_MODE", value_enum, default_value = "delta")]
        mode: Variant,
    },
}

/// The variants of xDS.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Variant {
    /// Only changes are sent
    Delta,
    /// State of the world: every answer is everything of a type
    Sotw,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Verb::Bootstrap { fleet, id, xds, admin, mode } = &args.verb;
    if id.is_empty() {
        return Err(Failure::Input("--id is empty; give each sidecar a name".to_owned()));
    }
    let xds = config::endpoint(xds).map_err(|fault| Failure::Input(format!("--xds: {fault}")))?;
    let mode = match mode {
        Variant::Delta => Mode::Delta,
        Variant::Sotw => Mode::Sotw,
    };
    output::print(bootstrap(fleet, id, &xds, *admin, mode).trim_end())
}
