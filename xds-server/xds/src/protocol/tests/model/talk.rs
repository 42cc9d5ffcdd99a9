//! Requests that are on their way, in each dialect.

use std::collections::HashMap;

use crate::protocol::{Delta, DeltaNames, Dialect, Sotw, SotwNames};

/// One request on its way.
#[derive(Debug, Default, Clone)]
pub(super) struct Say {
    pub(super) nonce: String,
    pub(super) error: bool,
    pub(super) all: Vec<String>,
    pub(super) subscribe: Vec<String>,
    pub(super) unsubscribe: Vec<String>,
    pub(super) held: HashMap<String, String>,
}

/// The names of a request in each dialect.
pub(super) trait Talk: Dialect {
    const DELTA: bool;
    fn names(say: Say) -> Self::Names;
}

impl Talk for Sotw {
    const DELTA: bool = false;
    fn names(say: Say) -> SotwNames {
        SotwNames { names: say.all, accepted: !say.held.is_empty() }
    }
}

impl Talk for Delta {
    const DELTA: bool = true;
    fn names(say: Say) -> DeltaNames {
        DeltaNames { subscribe: say.subscribe, unsubscribe: say.unsubscribe, held: say.held }
    }
}
