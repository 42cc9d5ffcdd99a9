//! Changes of the flags, and why a flag does not select a version.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::command::Command;
use crate::names::{ReleaseId, SignalName};

/// Key of a flag's metadata whose value is the service that the flag routes.
pub const ROUTED_SERVICE: &str = "service";

/// A change of the flags. The reducer applies it to the current flags and checks the result.
#[derive(Debug, Clone, PartialEq)]
pub enum FlagChange {
    /// Replace all flags by a document in flagd's format.
    Replace(Value),
    /// Define or change the flags of a document in flagd's format, all or none; other flags stay.
    Merge(Value),
    /// Define or change one flag.
    Set {
        /// Its key.
        key: String,
        /// In flagd's format.
        definition: Value,
    },
    /// Enable or disable one flag.
    Switch {
        /// Its key.
        key: String,
        /// True to enable it.
        enabled: bool,
    },
    /// Remove one flag.
    Delete {
        /// Its key.
        key: String,
    },
}

/// Without a condition on the revision.
impl From<FlagChange> for Command {
    fn from(change: FlagChange) -> Self {
        Self::ChangeFlags { change, if_revision: None }
    }
}

/// Why no flag selects a deployed version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum FlagBlock {
    /// The version is quarantined.
    Quarantined {
        /// By this signal.
        signal: SignalName,
    },
    /// The version was rolled back.
    RolledBack {
        /// With this release.
        release: ReleaseId,
    },
}

/// Flags and shared evaluators as one document in flagd's format.
#[must_use]
pub fn document(flags: &BTreeMap<String, Value>, evaluators: &Map<String, Value>) -> Value {
    let flags: Map<_, _> = flags.iter().map(|(key, flag)| (key.clone(), flag.clone())).collect();
    let mut document = Map::from_iter([("flags".to_owned(), Value::Object(flags))]);
    if !evaluators.is_empty() {
        document.insert("$evaluators".to_owned(), Value::Object(evaluators.clone()));
    }
    Value::Object(document)
}

/// The name of the service that a flag routes.
#[must_use]
pub fn routed_service(definition: &Value) -> Option<&str> {
    definition.get("metadata")?.get(ROUTED_SERVICE)?.as_str()
}

/// Whether a flag is enabled: the default of flagd.
#[must_use]
pub fn is_enabled(definition: &Value) -> bool {
    definition.get("state").and_then(Value::as_str) != Some("DISABLED")
}

/// The variants of a flag, by name.
pub fn variants(definition: &Value) -> impl Iterator<Item = (&String, &Value)> {
    definition.get("variants").and_then(Value::as_object).into_iter().flatten()
}
