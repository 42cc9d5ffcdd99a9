//! `tidegate envoy bootstrap`: the bootstrap of a sidecar.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use tidegate::config;
use tidegate::xds::bootstrap::bootstrap;
use tidegate::xds::upstream_tls::UpstreamTls;
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::names::FleetName;
use tidegate_xds::kind::Mode;
use tidegate_xds::mesh::CONTROL_PLANE_CLUSTER;

use crate::cli::failure::Failure;
use crate::cli::output;

/// Print a bootstrap for a stock Envoy, which receives everything else from Tidegate.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node id, `node.id`; unique per sidecar
    #[arg(long, env = "TIDEGATE_NODE_ID")]
    id: String,
    #[command(flatten)]
    sidecar: Sidecar,
}

/// A sidecar, without its id.
#[derive(Debug, clap::Args)]
pub(super) struct Sidecar {
    /// The fleet: `node.cluster`
    #[arg(long, env = "TIDEGATE_FLEET")]
    fleet: FleetName,
    /// The xDS address of the control plane, HOST:PORT
    #[arg(long, env = "TIDEGATE_XDS", default_value = "127.0.0.1:18000")]
    xds: String,
    /// The name of the control plane's cluster; the fleet's `control_plane_cluster`
    #[arg(long, env = "TIDEGATE_CLUSTER", value_name = "NAME", default_value = CONTROL_PLANE_CLUSTER)]
    cluster: String,
    /// The address of Envoy's admin interface, IP:PORT
    #[arg(long, env = "TIDEGATE_ADMIN", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// The xDS variant
    #[arg(long, env = "TIDEGATE_XDS_MODE", value_enum, default_value = "delta")]
    mode: Variant,
    #[command(flatten)]
    tls: Option<Tls>,
}

/// Mutual TLS to the control plane. Paths are those of the Envoy host.
#[derive(Debug, clap::Args)]
#[group(requires_all = ["tls_cert", "tls_key", "tls_ca"])]
struct Tls {
    /// The client certificate; its only URI SAN is the SPIFFE id
    #[arg(long, env = "TIDEGATE_TLS_CERT", required = false)]
    tls_cert: PathBuf,
    /// The certificate's private key
    #[arg(long, env = "TIDEGATE_TLS_KEY", required = false)]
    tls_key: PathBuf,
    /// The CA of the control plane's certificate
    #[arg(long, env = "TIDEGATE_TLS_CA", required = false)]
    tls_ca: PathBuf,
    /// The expected SAN of that certificate: a DNS name, an IP address or a SPIFFE id. Default: the host of --xds
    #[arg(long, env = "TIDEGATE_TLS_SERVER_NAME")]
    tls_server_name: Option<String>,
    /// Write Envoy's secrets to this directory: Envoy then reloads renewed certificates
    #[arg(long, env = "TIDEGATE_TLS_SECRETS", value_name = "DIR")]
    tls_secrets: Option<PathBuf>,
}

impl Tls {
    fn upstream(&self, xds: &Endpoint) -> UpstreamTls {
        UpstreamTls {
            cert: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            ca: self.tls_ca.clone(),
            server_name: self.tls_server_name.clone().unwrap_or_else(|| xds.host.clone()),
            secrets: self.tls_secrets.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Variant {
    /// Responses contain changes only
    Delta,
    /// State of the world: responses contain all resources of a type
    Sotw,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    output::print(args.sidecar.bootstrap(&args.id)?.trim_end())
}

impl Sidecar {
    /// The bootstrap of the sidecar with this id. Writes the files of secrets that it names.
    pub(super) fn bootstrap(&self, id: &str) -> Result<String, Failure> {
        let Self { fleet, xds, cluster, admin, mode, tls } = self;
        if id.is_empty() {
            return Err(Failure::Input("--id is empty; pass a unique node id".to_owned()));
        }
        let xds =
            config::endpoint(xds).map_err(|fault| Failure::Input(format!("--xds: {fault}")))?;
        let mode = match mode {
            Variant::Delta => Mode::Delta,
            Variant::Sotw => Mode::Sotw,
        };
        let tls = tls.as_ref().map(|tls| tls.upstream(&xds));
        for (path, text) in tls.iter().flat_map(UpstreamTls::secret_files) {
            fs::write(&path, text).map_err(|error| {
                Failure::Input(format!("--tls-secrets: cannot write {}: {error}", path.display()))
            })?;
        }
        Ok(bootstrap(fleet, id, cluster, &xds, tls.as_ref(), *admin, mode))
    }
}
