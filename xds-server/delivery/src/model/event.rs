//! Events: the decisions. The journal stores them as JSON, and [`crate::model::state::State`] is the fold over them. They
//! carry values, never text for people; [`crate::text`] renders it.

mod about;

use serde::{Deserialize, Serialize};

use crate::judge::{Evidence, Finding, Guardrail};
use crate::model::catalogue::{ServiceSpec, VersionSpec};
use crate::model::change::Loss;
use crate::model::checks::CheckResult;
use crate::model::commit::Commit;
use crate::model::configuration::{Version, Withheld};
use crate::model::dns::RecordSet;
use crate::model::freeze::FreezeWindow;
use crate::model::health::InstanceHealth;
use crate::model::hook::Moment;
use crate::model::mesh::Fleet;
use crate::model::plan::Plan;
use crate::model::release::RollbackCause;
use crate::model::requirements::Approval;
use crate::names::{
    CheckName, GroupName, HookName, ReleaseId, ServiceName, SignalName, VersionName,
};
use crate::units::Ppm;

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The services were declared. Decisions of releases (the stable version, registered versions) have precedence over
    /// parts that did not change since the last declaration.
    CatalogueApplied {
        /// Every service.
        services: Vec<ServiceSpec>,
    },
    /// The fleets and their listeners were declared.
    FleetsApplied {
        /// Every fleet.
        fleets: Vec<Fleet>,
    },
    /// A configuration was applied. Its changes of services, fleets and freeze windows are in the records before; the rest
    /// of it is not in the journal, and is identified by its hash.
    ConfigurationApplied {
        /// Its hash and source.
        #[serde(flatten)]
        version: Version,
        /// What it takes away, as the command allowed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        losses: Vec<Loss>,
        /// Its services that were not applied.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        withheld: Vec<Withheld>,
    },
    /// A version was deployed.
    VersionRegistered {
        /// Of which service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// Its endpoints. In an environment it replaces the version that was deployed there.
        spec: VersionSpec,
    },
    /// A version was removed.
    VersionRemoved {
        /// Of which service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
    /// A release started, at 0 %.
    ReleaseStarted {
        /// Its id.
        id: ReleaseId,
        /// The service.
        service: ServiceName,
        /// The version that it introduces.
        candidate: VersionName,
        /// The version that it replaces.
        stable: VersionName,
        /// Its plan, which does not change afterwards.
        plan: Plan,
        /// The actor that started it, who cannot approve it.
        by: String,
        /// The commit that it deploys, if given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<Commit>,
    },
    /// The health of the candidate's instances changed.
    HealthChanged {
        /// Which release.
        id: ReleaseId,
        /// The result of the health check.
        #[serde(flatten)]
        health: InstanceHealth,
    },
    /// Releases were started as a group: they advance and are rolled back together.
    GroupStarted {
        /// The group.
        id: GroupName,
        /// The release of each service, in the order in which they were named.
        members: Vec<ReleaseId>,
    },
    /// Every smoke test of the plan passed.
    SmokeTestsPassed {
        /// Which release.
        id: ReleaseId,
    },
    /// The release entered a step: the candidate has the weight of the step.
    StepEntered {
        /// Which release.
        id: ReleaseId,
        /// Index into the plan's steps.
        step: usize,
        /// The weight of the candidate: that of the step without the holdback.
        weight: Ppm,
        /// What stays on stable in the last step, while it is watched.
        #[serde(default, skip_serializing_if = "Ppm::is_zero")]
        holdback: Ppm,
        /// The evidence of the step before; absent if an operator promoted the release.
        evidence: Option<StepEvidence>,
    },
    /// The sidecars acknowledged the current step: its time and its evidence begin here.
    StepConverged {
        /// Which release.
        id: ReleaseId,
        /// Index into the plan's steps.
        step: usize,
    },
    /// An operator paused the release.
    Paused {
        /// Which release.
        id: ReleaseId,
    },
    /// An operator resumed the release. The paused time does not count towards the step.
    Resumed {
        /// Which release.
        id: ReleaseId,
    },
    /// The alert of a guardrail was raised, or changed its level.
    AlertRaised {
        /// Which release.
        id: ReleaseId,
        /// The limit and the measured values.
        finding: Finding,
    },
    /// The alert of a guardrail was cleared.
    AlertCleared {
        /// Which release.
        id: ReleaseId,
        /// Which guardrail.
        guardrail: Guardrail,
    },
    /// A guardrail broke, and paused the release by `on_fail: pause`.
    PausedByGuardrail {
        /// Which release.
        id: ReleaseId,
        /// The limit and the measured values.
        finding: Finding,
    },
    /// An approval of the next step.
    Approved {
        /// Which release.
        id: ReleaseId,
        /// The person, the role and the expiry.
        approval: Approval,
    },
    /// CI reported a check of a version.
    CheckReported {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which check.
        check: CheckName,
        /// The result.
        result: CheckResult,
    },
    /// A business signal against a version was raised.
    SignalRaised {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which signal.
        signal: SignalName,
        /// The reason, if given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A business signal was cleared.
    SignalCleared {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which signal.
        signal: SignalName,
    },
    /// A security signal quarantined a version: it cannot be released.
    VersionQuarantined {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// The signal.
        signal: SignalName,
        /// The reason, if given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An operator lifted a quarantine.
    QuarantineLifted {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
    },
    /// An operator allowed flags to select a version that was rolled back.
    FlagsAllowed {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
    },
    /// The freeze windows were declared.
    FreezeWindowsApplied {
        /// Every one.
        freeze_windows: Vec<FreezeWindow>,
    },
    /// Deployments of one or all services were frozen by hand.
    DeploymentsFrozen {
        /// Of which service; absent: of all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<ServiceName>,
        /// The actor.
        by: String,
        /// The reason, if given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A freeze by hand ended.
    DeploymentsUnfrozen {
        /// Of which service; absent: of all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<ServiceName>,
    },
    /// The rollback window of the last release expired: its stable version is no longer kept.
    RollbackWindowClosed {
        /// Which service.
        service: ServiceName,
        /// The version that was kept.
        version: VersionName,
    },
    /// The alert of a guardrail about a version that no release judges was raised, or changed its level.
    VersionAlertRaised {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// The limit and the measured values.
        finding: Finding,
    },
    /// Such an alert was cleared.
    VersionAlertCleared {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which guardrail.
        guardrail: Guardrail,
    },
    /// The release was rolled back to stable, and ended.
    RolledBack {
        /// Which release.
        id: ReleaseId,
        /// The stable version, which serves all requests again.
        version: VersionName,
        /// Why.
        cause: RollbackCause,
    },
    /// The release completed: the candidate is the stable version.
    Completed {
        /// Which release.
        id: ReleaseId,
        /// The candidate.
        version: VersionName,
        /// The evidence of the watch period; absent if an operator promoted the release.
        evidence: Option<StepEvidence>,
    },
    /// A complete release was rolled back: the previous version is stable again.
    StableRestored {
        /// Which service.
        service: ServiceName,
        /// The previous version.
        version: VersionName,
        /// Why.
        cause: RollbackCause,
    },
    /// A hook call succeeded.
    HookSucceeded {
        /// The release.
        id: ReleaseId,
        /// The hook.
        hook: HookName,
        /// The transition that the call reported.
        on: Moment,
        /// Attempts since the start of the server.
        attempts: u32,
    },
    /// A hook call failed after its last attempt. The weight does not change.
    HookFailed {
        /// The release.
        id: ReleaseId,
        /// The hook.
        hook: HookName,
        /// The transition that the call reported.
        on: Moment,
        /// Attempts since the start of the server.
        attempts: u32,
        /// The error of the last attempt, clipped.
        error: String,
    },
    /// The DNS server answers with the records of the active environment.
    DnsUpdated {
        /// Which service.
        service: ServiceName,
        /// The records.
        records: RecordSet,
    },
    /// The update of the DNS records failed. The DNS updater tries again; the weight does not change.
    DnsFailed {
        /// Which service.
        service: ServiceName,
        /// The error, clipped.
        error: String,
    },
    /// All flags were replaced.
    FlagsReplaced {
        /// The document in flagd's format: `{"flags": …}`.
        flags: serde_json::Value,
    },
    /// One flag was added or changed.
    FlagSet {
        /// Its key.
        key: String,
        /// Its definition, in flagd's format.
        definition: serde_json::Value,
    },
    /// One flag was deleted.
    FlagDeleted {
        /// Its key.
        key: String,
    },
}

impl Event {
    /// Whether the event can change an xDS resource. The state after any other event has the same resources as before.
    #[must_use]
    pub const fn changes_resources(&self) -> bool {
        !matches!(
            self,
            Self::ConfigurationApplied { .. }
                | Self::HealthChanged { .. }
                | Self::GroupStarted { .. }
                | Self::SmokeTestsPassed { .. }
                | Self::StepConverged { .. }
                | Self::Paused { .. }
                | Self::Resumed { .. }
                | Self::AlertRaised { .. }
                | Self::AlertCleared { .. }
                | Self::PausedByGuardrail { .. }
                | Self::VersionAlertRaised { .. }
                | Self::VersionAlertCleared { .. }
                | Self::Approved { .. }
                | Self::CheckReported { .. }
                | Self::SignalRaised { .. }
                | Self::SignalCleared { .. }
                | Self::FreezeWindowsApplied { .. }
                | Self::DeploymentsFrozen { .. }
                | Self::DeploymentsUnfrozen { .. }
                | Self::HookSucceeded { .. }
                | Self::HookFailed { .. }
                | Self::DnsUpdated { .. }
                | Self::DnsFailed { .. }
        )
    }
}

/// The counts on which a release advanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEvidence {
    /// Counts of the candidate.
    pub candidate: Evidence,
    /// Counts of stable in the same time.
    pub stable: Evidence,
    /// Sidecars that had acknowledged the step.
    pub sidecars: u32,
    /// The requests that were missing for a conclusion, if the release advanced without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<u64>,
}
