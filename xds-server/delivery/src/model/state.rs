//! The state of everything, as the fold over the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::catalogue::{Environment, ServiceSpec};
use crate::model::checks::Checks;
use crate::model::configuration::Applied;
use crate::model::dns::DnsState;
use crate::model::freeze::{FreezeWindow, ManualFreeze};
use crate::model::group::Group;
use crate::model::hook::Call;
use crate::model::release::Release;
use crate::model::signals::{ActiveSignal, Signals};
use crate::names::{GroupName, ReleaseId, ServiceName, VersionName};
use crate::units::{Ppm, Timestamp};

/// All that was decided, up to one record of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// By name. Shared with earlier states: a service that an event does not touch is not copied.
    pub services: BTreeMap<ServiceName, Arc<ServiceState>>,
    /// The flags, in flagd's format, by key. Shared with earlier states until a flag changes.
    pub flags: Arc<BTreeMap<String, serde_json::Value>>,
    /// flagd's `$evaluators`: rules that flags share. Shared with earlier states.
    pub evaluators: Arc<serde_json::Map<String, serde_json::Value>>,
    /// The catalogue as it was last declared. What changed in it since is what an operator means;
    /// the rest must not undo what was deployed or released in between.
    #[serde(default)]
    pub declared: Arc<BTreeMap<ServiceName, ServiceSpec>>,
    /// How many releases there were of services that are no longer declared, so that no release's
    /// id is ever used twice.
    #[serde(default)]
    pub retired: BTreeMap<ServiceName, u64>,
    /// The configuration that was applied last. Journals of before it was noted have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Applied>,
    /// The times in which nothing goes forward, as they were last declared.
    #[serde(default)]
    pub freeze_windows: Vec<FreezeWindow>,
    /// That the line of all services is stopped.
    #[serde(default)]
    pub frozen: Option<ManualFreeze>,
    /// The releases that go together, by their group's name.
    #[serde(default)]
    pub groups: BTreeMap<GroupName, Group>,
}

impl State {
    /// The service whose newest release this is.
    #[must_use]
    pub fn service_of(&self, id: &ReleaseId) -> Option<&ServiceState> {
        let service = self.services.get(id.service())?;
        service.release.as_ref().is_some_and(|it| it.id == *id).then_some(service)
    }

    /// A release, if it is the newest of its service.
    #[must_use]
    pub fn release(&self, id: &ReleaseId) -> Option<&Release> {
        self.service_of(id)?.release.as_ref()
    }

    /// The releases that run now.
    pub fn running(&self) -> impl Iterator<Item = &Release> {
        self.services.values().filter_map(|service| service.running())
    }
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
    /// Until when that version is kept to go back to.
    #[serde(default)]
    pub previous_until: Option<Timestamp>,
    /// The newest release, running or ended.
    pub release: Option<Release>,
    /// How many releases there were.
    pub releases: u64,
    /// What CI reported of its versions.
    #[serde(default)]
    pub checks: Checks,
    /// The business signals that stand against its versions.
    #[serde(default)]
    pub signals: Signals,
    /// The versions that must not be released, and why.
    #[serde(default)]
    pub quarantined: BTreeMap<VersionName, ActiveSignal>,
    /// That its line is stopped.
    #[serde(default)]
    pub frozen: Option<ManualFreeze>,
    /// What earlier releases still have to tell.
    #[serde(default)]
    pub left_calls: Vec<Call>,
    /// What is known of its DNS records.
    #[serde(default)]
    pub dns: DnsState,
}

impl ServiceState {
    /// A service as declared, of which nothing happened yet.
    #[must_use]
    pub fn new(spec: ServiceSpec) -> Self {
        Self {
            stable: spec.stable.clone(),
            spec,
            previous: None,
            previous_until: None,
            release: None,
            releases: 0,
            checks: Checks::default(),
            signals: Signals::default(),
            quarantined: BTreeMap::new(),
            frozen: None,
            left_calls: Vec::new(),
            dns: DnsState::default(),
        }
    }

    /// The release that runs now.
    #[must_use]
    pub fn running(&self) -> Option<&Release> {
        self.release.as_ref().filter(|release| release.is_running())
    }

    /// Whether a version serves now, or is being released.
    #[must_use]
    pub fn in_use(&self, version: &VersionName) -> bool {
        self.stable == *version || self.running().is_some_and(|it| it.candidate == *version)
    }

    /// The versions that a flag may lead to: none that is quarantined.
    pub fn pinnable(&self) -> impl Iterator<Item = &VersionName> {
        self.spec.versions.keys().filter(|version| !self.quarantined.contains_key(*version))
    }

    /// The version that an environment holds.
    #[must_use]
    pub fn occupant(&self, environment: Environment) -> Option<&VersionName> {
        self.spec
            .versions
            .iter()
            .find_map(|(name, spec)| (spec.environment == Some(environment)).then_some(name))
    }

    /// The split that is wanted now.
    #[must_use]
    pub fn split(&self) -> Split<'_> {
        Split {
            stable: &self.stable,
            candidate: self.running().map(|release| (&release.candidate, release.weight())),
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
