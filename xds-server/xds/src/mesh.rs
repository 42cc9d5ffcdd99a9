//! The mesh as the configuration declares it: what goes into the sidecars' resources beside the services.

use std::fmt;
use std::net::SocketAddr;

use tidegate_delivery::names::{FleetName, Services};

/// The fleets and what all of them share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// Path of the filter's module on the sidecars' disks.
    pub wasm: String,
    /// At least one.
    pub fleets: Vec<Fleet>,
    /// The secret that requests to preview listeners must carry.
    pub preview_key: PreviewKey,
}

impl Mesh {
    /// A mesh whose preview listeners, if it has any, reject every request.
    #[must_use]
    pub fn new(wasm: String, fleets: Vec<Fleet>) -> Self {
        Self { wasm, fleets, preview_key: PreviewKey::default() }
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
    /// Matched on Envoy's `node.cluster`.
    pub name: FleetName,
    /// Empty where the mesh brings its own listeners.
    pub listeners: Vec<Listener>,
}

/// One listener of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its route configuration is named `FLEET/LISTENER`.
    pub name: String,
    /// Where Envoy listens.
    pub address: SocketAddr,
    /// The services that it routes to.
    pub services: Services,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Clients' requests.
    Traffic,
    /// Smoke tests: it routes to the version that the request names.
    Preview,
}

/// The secret that the control plane sends to preview listeners and that their routes match. The empty key, which is the
/// default, matches no request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PreviewKey(String);

impl PreviewKey {
    /// A key with this secret.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

/// Keeps the secret out of logs.
impl fmt::Debug for PreviewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreviewKey(…)")
    }
}
