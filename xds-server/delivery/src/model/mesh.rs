//! The declared fleets, what configures their sidecars, and their listeners.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::names::{FleetName, ServiceName, Services};

/// The default name of the control plane's cluster, in bootstraps and in the filter's configuration.
///
/// Envoy parses the target of a gRPC callout as a `GrpcService` message, and uses it as a cluster name only if that fails.
/// No message starts with `t` (wire type 4), so this name never parses.
pub const CONTROL_PLANE_CLUSTER: &str = "tidegate";

/// The sidecars that share one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// Matches Envoy's `node.cluster`; in an Istio mesh the `fleet` in the configuration of the filter.
    pub name: FleetName,
    /// Who sends their resources.
    pub control_plane: ControlPlane,
}

/// The xDS server of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlPlane {
    /// Tidegate.
    Tidegate {
        /// Empty if the bootstrap has listeners, and for gRPC clients.
        listeners: Vec<Listener>,
        /// The name of the cluster of Tidegate in their bootstraps, to which the filter sends reports.
        cluster: String,
    },
    /// Istio. Tidegate sends no resources: the filter receives its configuration in the responses to its reports.
    Istio(IstioMesh),
}

impl Fleet {
    /// A fleet whose resources Tidegate sends. Its bootstraps name the cluster [`CONTROL_PLANE_CLUSTER`].
    #[must_use]
    pub fn new(name: FleetName, listeners: Vec<Listener>) -> Self {
        let cluster = CONTROL_PLANE_CLUSTER.to_owned();
        Self { name, control_plane: ControlPlane::Tidegate { listeners, cluster } }
    }

    /// Its listeners that Tidegate sends.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        match &self.control_plane {
            ControlPlane::Tidegate { listeners, .. } => listeners,
            ControlPlane::Istio(_) => &[],
        }
    }

    /// The cluster to which the filter sends reports.
    #[must_use]
    pub fn report_cluster(&self) -> &str {
        match &self.control_plane {
            ControlPlane::Tidegate { cluster, .. } => cluster,
            ControlPlane::Istio(mesh) => &mesh.report_cluster,
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
            ControlPlane::Tidegate { listeners, .. } => {
                listeners.is_empty() || listeners.iter().any(|it| it.services.include(service))
            }
            ControlPlane::Istio(mesh) => mesh.services.include(service),
        }
    }
}

/// The sidecars of an Istio mesh that run the filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IstioMesh {
    /// The cluster to which the filter sends reports, as Istio names it: `outbound|PORT||HOST`.
    pub report_cluster: String,
    /// The `:authority` of reports. By default Envoy sends the name of the cluster, whose `|` HTTP/2 servers reject.
    pub authority: String,
    /// The services whose requests the filter routes and counts. Each has a host in Istio.
    pub services: Services,
}

/// One listener of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Requests of clients.
    Traffic,
    /// Requests of smoke tests. It routes to the version in a request header.
    Preview,
}

/// Selects a service in the listeners and Istio fleets that selected it `before`.
pub fn keep(fleets: &mut [Fleet], service: &ServiceName, before: &[Fleet]) {
    for fleet in fleets {
        let Some(known) = before.iter().find(|it| it.name == fleet.name) else {
            continue;
        };
        match &mut fleet.control_plane {
            ControlPlane::Tidegate { listeners, .. } => {
                for listener in listeners {
                    let mut known = known.listeners().iter();
                    let known = known.find(|it| it.name == listener.name);
                    keep_in(&mut listener.services, service, known.map(|it| &it.services));
                }
            }
            ControlPlane::Istio(mesh) => {
                keep_in(&mut mesh.services, service, known.istio().map(|it| &it.services));
            }
        }
    }
}

fn keep_in(selected: &mut Services, service: &ServiceName, before: Option<&Services>) {
    if let Services::Named(names) = selected
        && before.is_some_and(|before| before.include(service))
    {
        names.insert(service.clone());
    }
}
