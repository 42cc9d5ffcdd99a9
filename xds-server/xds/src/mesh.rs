//! The declared mesh: fleets, and their common settings.

use std::fmt;

pub use tidegate_delivery::model::mesh::{Fleet, Listener, Purpose};

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

    /// Whether any fleet has a preview listener.
    #[must_use]
    pub fn has_previews(&self) -> bool {
        let mut listeners = self.fleets.iter().flat_map(|fleet| &fleet.listeners);
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
