//! What others say of a version while it serves: a scanner that found it unsafe, a team that sees
//! orders fail. Security takes it back and locks it away; business holds it for a person to decide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{SignalName, VersionName};
use crate::units::Timestamp;

/// Most signals that can stand against a version.
pub const MAX_SIGNALS: usize = 50;
/// Most versions of a service that can be quarantined.
pub const MAX_QUARANTINED: usize = 1000;

/// What a signal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// The version is unsafe: it goes back at once, and is quarantined.
    Security,
    /// The business suffers: somebody is told, and the release is held until it is well again.
    Business,
}

/// What a signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalStatus {
    /// Something is wrong.
    Bad,
    /// It is well again.
    Ok,
}

/// One thing that is said of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// What it is about.
    pub kind: SignalKind,
    /// Of which version.
    pub version: VersionName,
    /// Which signal.
    pub name: SignalName,
    /// What it says.
    pub status: SignalStatus,
}

/// Why something stands against a version, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSignal {
    /// The signal that said so.
    pub signal: SignalName,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The business signals that stand, by version and name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signals(BTreeMap<VersionName, BTreeMap<SignalName, ActiveSignal>>);

impl Signals {
    /// What stands against a version.
    pub fn against(&self, version: &VersionName) -> impl Iterator<Item = &ActiveSignal> {
        self.0.get(version).into_iter().flat_map(BTreeMap::values)
    }

    /// Whether that signal stands against a version.
    #[must_use]
    pub fn is_active(&self, version: &VersionName, signal: &SignalName) -> bool {
        self.0.get(version).is_some_and(|signals| signals.contains_key(signal))
    }

    pub(crate) fn raise(&mut self, version: &VersionName, objection: ActiveSignal) {
        let signals = self.0.entry(version.clone()).or_default();
        signals.insert(objection.signal.clone(), objection);
    }

    pub(crate) fn clear(&mut self, version: &VersionName, signal: &SignalName) {
        if let Some(signals) = self.0.get_mut(version) {
            signals.remove(signal);
        }
        self.0.retain(|_, signals| !signals.is_empty());
    }

    /// Of a version that does not run any more nothing is said.
    pub(crate) fn retain(&mut self, runs: impl Fn(&VersionName) -> bool) {
        self.0.retain(|version, _| runs(version));
    }
}

/// `: REASON`, or nothing.
pub(crate) fn reason_suffix(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}
