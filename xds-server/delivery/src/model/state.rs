//! The state: the fold over the events of the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::{Guardrail, Level};
use crate::model::catalogue::{Environment, ServiceSpec};
use crate::model::checks::Checks;
use crate::model::configuration::Applied;
use crate::model::dns::DnsState;
use crate::model::flag::FlagBlock;
use crate::model::freeze::{FreezeWindow, ManualFreeze};
use crate::model::group::Group;
use crate::model::hook::Call;
use crate::model::mesh::Fleet;
use crate::model::release::{Phase, Release};
use crate::model::signals::{ActiveSignal, Signals};
use crate::names::{GroupName, ReleaseId, ServiceName, VersionName};
use crate::units::{Ppm, Timestamp};

/// The state after one record of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// By name. Shared with earlier states: a service that an event does not touch is not copied.
    pub services: BTreeMap<ServiceName, Arc<ServiceState>>,
    /// The flags, in flagd's format, by key. Shared with earlier states until a flag changes.
    pub flags: Arc<BTreeMap<String, serde_json::Value>>,
    /// The number of changes of the flags so far; 0 if they never changed.
    pub flag_revision: u64,
    /// flagd's `$evaluators`: rules that flags share. Shared with earlier states.
    pub evaluators: Arc<serde_json::Map<String, serde_json::Value>>,
    /// The services as last declared. Only differences between this and the next declaration are applied, so that an
    /// unchanged part does not undo deployments and releases in between.
    pub declared: Arc<BTreeMap<ServiceName, ServiceSpec>>,
    /// The fleets as last declared. Shared with earlier states.
    pub fleets: Arc<Vec<Fleet>>,
    /// The number of releases of services that are no longer declared: a release id is never used twice.
    pub retired: BTreeMap<ServiceName, u64>,
    /// What outlives the removal of a service, until a service of that name is declared again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<ServiceName, RemovedService>,
    /// The configuration that was applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Applied>,
    /// The declared freeze windows.
    pub freeze_windows: Vec<FreezeWindow>,
    /// The freeze of all services by hand.
    pub frozen: Option<ManualFreeze>,
    /// The release groups, by name.
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

    /// The running releases.
    pub fn running(&self) -> impl Iterator<Item = &Release> {
        self.services.values().filter_map(|service| service.running())
    }
}

/// Most [`State::removed`]. Beyond it the oldest are dropped, first those without quarantine and freeze.
pub const MAX_REMOVED: usize = 1000;

/// What outlives the removal of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedService {
    /// The time of the removal.
    pub at: Timestamp,
    /// The checks of its versions.
    pub checks: Checks,
    /// The business signals against its versions.
    pub signals: Signals,
    /// The quarantined versions.
    pub quarantined: BTreeMap<VersionName, ActiveSignal>,
    /// The versions that flags may not select since a rollback, with the release that was rolled back.
    pub rolled_back: BTreeMap<VersionName, ReleaseId>,
    /// Its freeze by hand.
    pub frozen: Option<ManualFreeze>,
    /// Its due hook calls.
    pub calls: Vec<Call>,
}

/// One service as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    /// As declared, with the versions that were registered since.
    pub spec: ServiceSpec,
    /// The stable version.
    pub stable: VersionName,
    /// The version that was stable before the last complete release, while it is deployed.
    pub previous: Option<VersionName>,
    /// The newest release that completed, and whether it was rolled back since.
    pub last_completed: Option<CompletedRelease>,
    /// The end of the rollback window, until which the previous version is kept.
    pub previous_until: Option<Timestamp>,
    /// The alerts about versions that no release judges.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alerts: BTreeMap<VersionName, BTreeMap<Guardrail, Level>>,
    /// The newest release, running or ended.
    pub release: Option<Release>,
    /// The number of releases so far.
    pub releases: u64,
    /// The checks of its versions.
    pub checks: Checks,
    /// The active business signals against its versions.
    pub signals: Signals,
    /// The quarantined versions.
    pub quarantined: BTreeMap<VersionName, ActiveSignal>,
    /// The versions that were rolled back, each with its newest such release. No flag selects them until a release of the
    /// version completes, or an operator allows it.
    pub rolled_back: BTreeMap<VersionName, ReleaseId>,
    /// The freeze of this service by hand.
    pub frozen: Option<ManualFreeze>,
    /// Due hook calls of earlier releases.
    pub earlier_calls: Vec<Call>,
    /// The state of its DNS records.
    pub dns: DnsState,
}

impl ServiceState {
    /// A newly declared service.
    #[must_use]
    pub fn new(spec: ServiceSpec) -> Self {
        Self {
            stable: spec.stable.clone(),
            spec,
            previous: None,
            previous_until: None,
            last_completed: None,
            alerts: BTreeMap::new(),
            release: None,
            releases: 0,
            checks: Checks::default(),
            signals: Signals::default(),
            quarantined: BTreeMap::new(),
            rolled_back: BTreeMap::new(),
            frozen: None,
            earlier_calls: Vec::new(),
            dns: DnsState::default(),
        }
    }

    /// The running release.
    #[must_use]
    pub fn running(&self) -> Option<&Release> {
        self.release.as_ref().filter(|release| release.is_running())
    }

    /// Until when a broken limit of the stable version restores the previous one, and the whole time for which its plan asks
    /// for that. None if it only alerts.
    #[must_use]
    pub fn automatic_rollback(&self) -> Option<(Timestamp, Duration)> {
        let release = self.release.as_ref()?;
        let Phase::Completed { at } = release.phase else { return None };
        let window = release.plan.rollback_after_completion;
        let is_safe = |previous: &VersionName| !self.quarantined.contains_key(previous);
        let is_possible =
            release.candidate == self.stable && self.previous.as_ref().is_some_and(is_safe);
        (is_possible && !window.is_zero()).then(|| (at.after(window), window))
    }

    /// True for the stable version and the candidate of a running release.
    #[must_use]
    pub fn in_use(&self, version: &VersionName) -> bool {
        self.stable == *version || self.running().is_some_and(|it| it.candidate == *version)
    }

    /// The versions that a flag can select.
    pub fn pinnable(&self) -> impl Iterator<Item = &VersionName> {
        self.spec.versions.keys().filter(|version| {
            !self.quarantined.contains_key(*version) && !self.rolled_back.contains_key(*version)
        })
    }

    /// Why no flag selects a version.
    #[must_use]
    pub fn flag_block(&self, version: &VersionName) -> Option<FlagBlock> {
        if let Some(signal) = self.quarantined.get(version) {
            return Some(FlagBlock::Quarantined { signal: signal.signal.clone() });
        }
        let release = self.rolled_back.get(version)?.clone();
        Some(FlagBlock::RolledBack { release })
    }

    /// The version that is deployed to an environment.
    #[must_use]
    pub fn occupant(&self, environment: Environment) -> Option<&VersionName> {
        self.spec
            .versions
            .iter()
            .find_map(|(name, spec)| (spec.environment == Some(environment)).then_some(name))
    }

    /// The intended split of the traffic.
    #[must_use]
    pub fn split(&self) -> Split<'_> {
        Split {
            stable: &self.stable,
            candidate: self.running().map(|release| (&release.candidate, release.weight())),
        }
    }
}

/// A release that completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedRelease {
    /// Its id.
    pub id: ReleaseId,
    /// Whether the version before it was restored.
    pub rolled_back: bool,
}

/// The split of the traffic of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<'a> {
    /// Receives the rest.
    pub stable: &'a VersionName,
    /// Receives its weight.
    pub candidate: Option<(&'a VersionName, Ppm)>,
}
