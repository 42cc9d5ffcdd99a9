//! Signals about versions from outside. A security signal rolls back and quarantines the version; a business signal blocks
//! its release until it clears.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{SignalName, VersionName};
use crate::units::Timestamp;

/// Most active signals of a version.
pub const MAX_SIGNALS: usize = 50;
/// Most quarantined versions of a service.
pub const MAX_QUARANTINED: usize = 1000;

/// The kind of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// The version is unsafe: it is rolled back and quarantined.
    Security,
    /// A business outcome is bad: the release is blocked until the signal clears.
    Business,
}

/// The status of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalStatus {
    /// Raised.
    Bad,
    /// Cleared.
    Ok,
}

/// A signal about a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Its kind.
    pub kind: SignalKind,
    /// The version.
    pub version: VersionName,
    /// Its name.
    pub name: SignalName,
    /// Its status.
    pub status: SignalStatus,
}

/// An active signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSignal {
    /// Its name.
    pub signal: SignalName,
    /// Since when.
    pub since: Timestamp,
    /// The reason, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The active business signals, by version and name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signals(BTreeMap<VersionName, BTreeMap<SignalName, ActiveSignal>>);

impl Signals {
    /// The active signals of a version.
    pub fn against(&self, version: &VersionName) -> impl Iterator<Item = &ActiveSignal> {
        self.0.get(version).into_iter().flat_map(BTreeMap::values)
    }

    /// True if the signal of a version is active.
    #[must_use]
    pub fn is_active(&self, version: &VersionName, signal: &SignalName) -> bool {
        self.0.get(version).is_some_and(|signals| signals.contains_key(signal))
    }

    pub(crate) fn raise(&mut self, version: &VersionName, active: ActiveSignal) {
        let signals = self.0.entry(version.clone()).or_default();
        signals.insert(active.signal.clone(), active);
    }

    pub(crate) fn clear(&mut self, version: &VersionName, signal: &SignalName) {
        if let Some(signals) = self.0.get_mut(version) {
            signals.remove(signal);
        }
        self.0.retain(|_, signals| !signals.is_empty());
    }

    /// Drops the signals of versions that are no longer deployed.
    pub(crate) fn retain(&mut self, runs: impl Fn(&VersionName) -> bool) {
        self.0.retain(|version, _| runs(version));
    }
}

/// `: REASON`, or nothing.
pub(crate) fn reason_suffix(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}
