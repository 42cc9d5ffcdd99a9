//! The state of everything, as the fold over the journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::catalogue::ServiceSpec;
use super::names::{ServiceName, VersionName};
use super::release::Release;
use super::units::Ppm;

/// All that was decided, up to one record of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// By name.
    pub services: BTreeMap<ServiceName, ServiceState>,
    /// The flags, in flagd's format, by key.
    pub flags: BTreeMap<String, serde_json::Value>,
    /// flagd's `$evaluators`: rules that flags share.
    pub evaluators: serde_json::Map<String, serde_json::Value>,
}

/// One service as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    /// As declared, with the versions that were registered since.
    pub spec: ServiceSpec,
    /// The version that serves.
    pub stable: VersionName,
    /// The version that served before the last complete release, if it still runs.
    pub previous: Option<VersionName>,
    /// The newest release, running or ended.
    pub release: Option<Release>,
    /// How many releases there were.
    pub releases: u64,
}

impl ServiceState {
    /// The release that runs now.
    #[must_use]
    pub fn running(&self) -> Option<&Release> {
        self.release.as_ref().filter(|release| release.is_running())
    }

    /// The split that is wanted now.
    #[must_use]
    pub fn split(&self) -> Split<'_> {
        Split {
            stable: &self.stable,
            candidate: self
                .running()
                .map(|release| (&release.candidate, release.weight())),
        }
    }
}

/// How a service's traffic is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<'a> {
    /// Gets what the candidate does not.
    pub stable: &'a VersionName,
    /// Gets its weight.
    pub candidate: Option<(&'a VersionName, Ppm)>,
}
