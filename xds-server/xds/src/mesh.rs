//! The declared mesh: fleets, what configures their sidecars, and the filter module.

use std::fmt;
use std::net::SocketAddr;

use crate::tokens::TokenKey;
use tidegate_delivery::names::{FleetName, ServiceName, Services};

/// The fleets and their common settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// Path of the filter's WASM module in the file system of the sidecars.
    pub wasm: String,
    /// At least one.
    pub fleets: Vec<Fleet>,
    /// The secret in requests to preview listeners.
    pub preview_key: PreviewKey,
    /// The key of the route tokens that filters in an Istio mesh send.
    pub token_key: Option<TokenKey>,
}

impl Mesh {
    /// A mesh with the empty preview key, so preview listeners reject every request, and without token key.
    #[must_use]
    pub fn new(wasm: String, fleets: Vec<Fleet>) -> Self {
        Self { wasm, fleets, preview_key: PreviewKey::default(), token_key: None }
    }

    /// Selects a service in the listeners and Istio fleets that selected it `before`.
    pub fn keep(&mut self, service: &ServiceName, before: &Self) {
        for fleet in &mut self.fleets {
            let Some(known) = before.fleets.iter().find(|it| it.name == fleet.name) else {
                continue;
            };
            match &mut fleet.control_plane {
                ControlPlane::Tidegate { listeners } => {
                    for listener in listeners {
                        let mut known = known.listeners().iter();
                        let known = known.find(|it| it.name == listener.name);
                        keep(&mut listener.services, service, known.map(|it| &it.services));
                    }
                }
                ControlPlane::Istio(mesh) => {
                    keep(&mut mesh.services, service, known.istio().map(|it| &it.services));
                }
            }
        }
    }

    /// Whether any fleet is one of an Istio mesh.
    #[must_use]
    pub fn has_istio(&self) -> bool {
        self.fleets.iter().any(|fleet| fleet.istio().is_some())
    }

    /// Whether any fleet has a preview listener.
    #[must_use]
    pub fn has_previews(&self) -> bool {
        let mut listeners = self.fleets.iter().flat_map(Fleet::listeners);
        listeners.any(|listener| listener.purpose == Purpose::Preview)
    }
}

fn keep(selected: &mut Services, service: &ServiceName, before: Option<&Services>) {
    if let Services::Named(names) = selected
        && before.is_some_and(|before| before.include(service))
    {
        names.insert(service.clone());
    }
}

/// The sidecars that share one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Matches Envoy's `node.cluster`; in an Istio mesh the `fleet` in the configuration of the filter.
    pub name: FleetName,
    /// Who sends their resources.
    pub control_plane: ControlPlane,
}

/// The xDS server of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlPlane {
    /// Tidegate.
    Tidegate {
        /// Empty if the bootstrap has listeners, and for gRPC clients.
        listeners: Vec<Listener>,
    },
    /// Istio. Tidegate sends no resources: the filter receives its configuration in the responses to its reports.
    Istio(IstioMesh),
}

impl Fleet {
    /// A fleet whose resources Tidegate sends.
    #[must_use]
    pub const fn new(name: FleetName, listeners: Vec<Listener>) -> Self {
        Self { name, control_plane: ControlPlane::Tidegate { listeners } }
    }

    /// Its listeners that Tidegate sends.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        match &self.control_plane {
            ControlPlane::Tidegate { listeners } => listeners,
            ControlPlane::Istio(_) => &[],
        }
    }

    /// Its part of an Istio mesh.
    #[must_use]
    pub const fn istio(&self) -> Option<&IstioMesh> {
        match &self.control_plane {
            ControlPlane::Tidegate { .. } => None,
            ControlPlane::Istio(mesh) => Some(mesh),
        }
    }

    /// Whether its sidecars route and count requests of a service.
    #[must_use]
    pub fn serves(&self, service: &ServiceName) -> bool {
        match &self.control_plane {
            ControlPlane::Tidegate { listeners } => {
                let mut listeners = listeners.iter();
                listeners.len() == 0 || listeners.any(|it| it.services.include(service))
            }
            ControlPlane::Istio(mesh) => mesh.services.include(service),
        }
    }
}

/// The sidecars of an Istio mesh that run the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IstioMesh {
    /// The cluster to which the filter sends reports, as Istio names it: `outbound|PORT||HOST`.
    pub report_cluster: String,
    /// The `:authority` of reports. By default Envoy sends the name of the cluster, whose `|` HTTP/2 servers reject.
    pub authority: String,
    /// The services whose requests the filter routes and counts. Each has a host in Istio.
    pub services: Services,
}

/// One listener of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name of its route configuration is `FLEET/LISTENER`.
    pub name: String,
    /// The address on which Envoy listens.
    pub address: SocketAddr,
    /// The services to which it routes.
    pub services: Services,
    /// Which requests it receives.
    pub purpose: Purpose,
}

/// Which requests a listener receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Requests of clients.
    Traffic,
    /// Requests of smoke tests. It routes to the version in a request header.
    Preview,
}

/// The secret header value that the routes of preview listeners require. The empty key, the default, matches no request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PreviewKey(String);

impl PreviewKey {
    /// A key with this secret; empty: no request matches.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

/// Omits the secret.
impl fmt::Debug for PreviewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreviewKey(…)")
    }
}
