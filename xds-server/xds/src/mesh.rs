//! The declared mesh: fleets, what configures their sidecars, and the filter module.

use std::fmt;

use crate::tokens::TokenKey;
pub use tidegate_delivery::model::mesh::{
    CONTROL_PLANE_CLUSTER, ControlPlane, Fleet, IstioMesh, Listener, Purpose,
};

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

    /// The fleet with this name.
    #[must_use]
    pub fn fleet(&self, name: &str) -> Option<&Fleet> {
        self.fleets.iter().find(|fleet| fleet.name.as_str() == name)
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
