//! The declared mesh: fleets, their listeners, and the filter module.

use std::fmt;
use std::net::SocketAddr;

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
}

impl Mesh {
    /// A mesh with the empty preview key: preview listeners reject every request.
    #[must_use]
    pub fn new(wasm: String, fleets: Vec<Fleet>) -> Self {
        Self { wasm, fleets, preview_key: PreviewKey::default() }
    }

    /// The fleet with this name.
    #[must_use]
    pub fn fleet(&self, name: &str) -> Option<&Fleet> {
        self.fleets.iter().find(|fleet| fleet.name.as_str() == name)
    }

    /// Selects a service in the listeners that selected it `before`.
    pub fn keep(&mut self, service: &ServiceName, before: &Self) {
        for fleet in &mut self.fleets {
            let known = before.fleets.iter().find(|it| it.name == fleet.name);
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

    /// Whether any fleet has a preview listener.
    #[must_use]
    pub fn has_previews(&self) -> bool {
        let mut listeners = self.fleets.iter().flat_map(|fleet| &fleet.listeners);
        listeners.any(|listener| listener.purpose == Purpose::Preview)
    }
}

/// The sidecars that share one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Matches Envoy's `node.cluster`.
    pub name: FleetName,
    /// Empty if another control plane provides the listeners.
    pub listeners: Vec<Listener>,
}

impl Fleet {
    /// Whether its sidecars route to a service. Without listeners of its own it has the routes of every service.
    #[must_use]
    pub fn serves(&self, service: &ServiceName) -> bool {
        let mut listeners = self.listeners.iter();
        self.listeners.is_empty() || listeners.any(|listener| listener.services.include(service))
    }
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
