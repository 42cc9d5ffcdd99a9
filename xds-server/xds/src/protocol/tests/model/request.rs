//! Requests of the simulated client, in both variants of the protocol.

use std::collections::HashMap;

use crate::protocol::{Delta, DeltaNames, Sotw, SotwNames, Variant};

/// A request of the client that the server has not received, with the fields of both variants.
#[derive(Debug, Default, Clone)]
pub(super) struct PendingRequest {
    pub(super) nonce: String,
    pub(super) error: bool,
    pub(super) all: Vec<String>,
    pub(super) subscribe: Vec<String>,
    pub(super) unsubscribe: Vec<String>,
    pub(super) held: HashMap<String, String>,
}

/// A variant, with the conversion of a request.
pub(super) trait ModelVariant: Variant {
    const DELTA: bool;
    fn names(request: PendingRequest) -> Self::Names;
}

impl ModelVariant for Sotw {
    const DELTA: bool = false;
    fn names(request: PendingRequest) -> SotwNames {
        SotwNames { names: request.all, has_version_info: !request.held.is_empty() }
    }
}

impl ModelVariant for Delta {
    const DELTA: bool = true;
    fn names(request: PendingRequest) -> DeltaNames {
        DeltaNames {
            subscribe: request.subscribe,
            unsubscribe: request.unsubscribe,
            initial_resource_versions: request.held,
        }
    }
}
