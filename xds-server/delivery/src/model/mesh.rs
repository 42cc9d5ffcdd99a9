//! The declared fleets and their listeners.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::names::{FleetName, ServiceName, Services};

/// The sidecars that share one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// Matches Envoy's `node.cluster`.
    pub name: FleetName,
    /// Empty if another control plane provides the listeners.
    pub listeners: Vec<Listener>,
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

/// Selects a service in the listeners that selected it `before`.
pub fn keep(fleets: &mut [Fleet], service: &ServiceName, before: &[Fleet]) {
    for fleet in fleets {
        let known = before.iter().find(|it| it.name == fleet.name);
        for listener in &mut fleet.listeners {
            let mut known = known.into_iter().flat_map(|it| &it.listeners);
            let known = known.find(|it| it.name == listener.name);
            if let Services::Named(names) = &mut listener.services
                && known.is_some_and(|it| it.services.include(service))
            {
                names.insert(service.clone());
            }
        }
    }
}
