//! The configuration: one typed tree, in its resolved form.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::delivery::catalogue::ServiceSpec;
use crate::delivery::names::{FleetName, ServiceName};

/// Everything that `tidegate serve` was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where the journal lives.
    pub data_dir: PathBuf,
    /// What the sidecars are told.
    pub mesh: Mesh,
    /// The services, defaults filled in.
    pub services: Vec<ServiceSpec>,
    /// Flags to start with, in flagd's format, already checked.
    pub flags: Option<serde_json::Value>,
}

/// Where the control plane listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// xDS and reports.
    pub xds: SocketAddr,
    /// REST and metrics.
    pub api: SocketAddr,
}

/// What of the configuration goes into the sidecars' resources, beside the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// Path of the filter's module on the sidecars' disks.
    pub wasm: String,
    /// The fleets, at least one.
    pub fleets: Vec<Fleet>,
}

/// The sidecars that share one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Matched on Envoy's `node.cluster`.
    pub name: FleetName,
    /// The listeners that Tidegate gives them; none where the mesh brings its own.
    pub listeners: Vec<Listener>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name; its route config is `FLEET/LISTENER`.
    pub name: String,
    /// Where Envoy listens.
    pub address: SocketAddr,
    /// The services that it leads to.
    pub services: Services,
}

/// A choice of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Services {
    /// `"*"`: every one, also those added later.
    All,
    /// These.
    Named(Vec<ServiceName>),
}

impl Services {
    /// Whether a service is among them.
    #[must_use]
    pub fn include(&self, service: &ServiceName) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(service),
        }
    }
}
