//! Events: everything that was ever decided, in the words of the domain. The journal keeps them,
//! [`crate::model::state::State`] is their fold. Their JSON is a durable format: add, never change.

mod about;

use serde::{Deserialize, Serialize};

use crate::judge::{Evidence, Finding, Guardrail};
use crate::model::catalogue::{ServiceSpec, VersionSpec};
use crate::model::checks::CheckResult;
use crate::model::commit::Commit;
use crate::model::configuration::Version;
use crate::model::dns::RecordSet;
use crate::model::freeze::FreezeWindow;
use crate::model::health::InstanceHealth;
use crate::model::hook::Moment;
use crate::model::plan::Plan;
use crate::model::release::RollbackCause;
use crate::model::requirements::Approval;
use crate::names::{
    CheckName, GroupName, HookName, ReleaseId, ServiceName, SignalName, VersionName,
};
use crate::units::Ppm;

/// One thing that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The configuration's services, as they are from now on. What a release decided (the stable
    /// version, a registered version) outlives it.
    CatalogueApplied {
        /// Every service.
        services: Vec<ServiceSpec>,
    },
    /// A configuration counts from now on. What it changed of services and freezes stands in the
    /// records just before; the rest of it is in no record, and is known by its hash.
    ConfigurationApplied {
        /// Which.
        #[serde(flatten)]
        version: Version,
    },
    /// A version was deployed somewhere.
    VersionRegistered {
        /// Of which service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// Where it runs. In an environment it displaces the version that was there.
        spec: VersionSpec,
    },
    /// A release began, at 0 %.
    ReleaseStarted {
        /// Its id.
        id: ReleaseId,
        /// The service.
        service: ServiceName,
        /// The version to be released.
        candidate: VersionName,
        /// The version that it is to replace.
        stable: VersionName,
        /// The plan that it will follow to its end.
        plan: Plan,
        /// Who started it, and may therefore not approve it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// What it brings to production, if that was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<Commit>,
    },
    /// The candidate's instances were looked at, and are otherwise than at the last look.
    HealthChanged {
        /// Which release.
        id: ReleaseId,
        /// What was found.
        #[serde(flatten)]
        health: InstanceHealth,
    },
    /// Releases that began with it go forward, and back, together.
    GroupStarted {
        /// The group.
        id: GroupName,
        /// The release of each service, in the order in which they were named.
        members: Vec<ReleaseId>,
    },
    /// Every smoke test of the plan passed: the candidate may get traffic.
    SmokeTestsPassed {
        /// Which release.
        id: ReleaseId,
    },
    /// The candidate's share became that of a step.
    StepEntered {
        /// Which release.
        id: ReleaseId,
        /// Index into the plan's steps.
        step: usize,
        /// The step's weight.
        weight: Ppm,
        /// What the step before it showed; absent if an operator cut it short.
        evidence: Option<StepEvidence>,
    },
    /// The sidecars have the step that was entered last: its time and its evidence begin here.
    /// Journals of before this event have none; there a step begins when it is entered.
    StepConverged {
        /// Which release.
        id: ReleaseId,
        /// Index into the plan's steps.
        step: usize,
    },
    /// An operator holds the release where it is.
    Paused {
        /// Which release.
        id: ReleaseId,
    },
    /// It may go on. The time it was held does not count towards the step.
    Resumed {
        /// Which release.
        id: ReleaseId,
    },
    /// A guardrail's alert went up, or to another level.
    AlertRaised {
        /// Which release.
        id: ReleaseId,
        /// What the judge found.
        finding: Finding,
    },
    /// A guardrail is kept again.
    AlertCleared {
        /// Which release.
        id: ReleaseId,
        /// Which guardrail.
        guardrail: Guardrail,
    },
    /// A guardrail broke, and the plan says that the release is held for a person to decide.
    Held {
        /// Which release.
        id: ReleaseId,
        /// What the judge found.
        finding: Finding,
    },
    /// Somebody let it enter its next step.
    Approved {
        /// Which release.
        id: ReleaseId,
        /// Who, as what, and for how long.
        approval: Approval,
    },
    /// CI checked a version.
    CheckReported {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which check.
        check: CheckName,
        /// What it found.
        result: CheckResult,
    },
    /// A team says that its business suffers from a version.
    SignalRaised {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which signal.
        signal: SignalName,
        /// Why, if they say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is well again.
    SignalCleared {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which signal.
        signal: SignalName,
    },
    /// A version is unsafe, and must not be released.
    VersionQuarantined {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// The signal that said so.
        signal: SignalName,
        /// Why, if it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody says that it may be released again.
    QuarantineLifted {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
    },
    /// The times in which nothing goes forward, as they are from now on.
    FreezeWindowsApplied {
        /// Every one.
        freeze_windows: Vec<FreezeWindow>,
    },
    /// Nothing of a service, or of all, goes forward from now on.
    DeploymentsFrozen {
        /// Of which service; absent: of all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<ServiceName>,
        /// Who stopped it.
        by: String,
        /// Why, if they say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It goes forward again.
    DeploymentsUnfrozen {
        /// Of which service; absent: of all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<ServiceName>,
    },
    /// The version before the last release is no longer kept to go back to: its time is over.
    RollbackWindowClosed {
        /// Which service.
        service: ServiceName,
        /// The version that was kept.
        version: VersionName,
    },
    /// The release went back to stable, and ended.
    RolledBack {
        /// Which release.
        id: ReleaseId,
        /// Why.
        #[serde(flatten)]
        cause: RollbackCause,
    },
    /// The candidate is the stable version now.
    Completed {
        /// Which release.
        id: ReleaseId,
        /// What the watch showed; absent if an operator cut it short.
        evidence: Option<StepEvidence>,
    },
    /// After a complete release the version before it was put back, in one push.
    StableRestored {
        /// Which service.
        service: ServiceName,
        /// The version that serves again.
        version: VersionName,
        /// Why. Journals of before it was noted know of operators only.
        #[serde(default = "by_an_operator")]
        cause: RollbackCause,
    },
    /// A hook call was answered with success.
    HookSucceeded {
        /// The release.
        id: ReleaseId,
        /// The hook.
        hook: HookName,
        /// The transition that the call reported.
        on: Moment,
        /// How often it was tried, since the server started.
        attempts: u32,
    },
    /// A hook call failed for good. Traffic is unchanged.
    HookFailed {
        /// The release.
        id: ReleaseId,
        /// The hook.
        hook: HookName,
        /// The transition that the call reported.
        on: Moment,
        /// How often it was tried, since the server started.
        attempts: u32,
        /// What went wrong last.
        error: String,
    },
    /// A service's DNS server was seen to answer with the records of the active environment.
    DnsUpdated {
        /// Which service.
        service: ServiceName,
        /// The records.
        records: RecordSet,
    },
    /// A service's DNS records are not those of the active environment, and could not be made so.
    /// It is tried again; traffic stays where it is.
    DnsFailed {
        /// Which service.
        service: ServiceName,
        /// What went wrong.
        error: String,
    },
    /// The whole flag set, in flagd's format, as it is from now on.
    FlagsReplaced {
        /// `{"flags": …}`.
        flags: serde_json::Value,
    },
    /// One flag was defined or changed.
    FlagSet {
        /// Its key.
        key: String,
        /// Its definition, in flagd's format.
        definition: serde_json::Value,
    },
    /// One flag was removed.
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
                | Self::Held { .. }
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

const fn by_an_operator() -> RollbackCause {
    RollbackCause::Operator
}

/// The counts that let a release go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEvidence {
    /// What the candidate did.
    pub candidate: Evidence,
    /// What stable did in the same time.
    pub stable: Evidence,
    /// Sidecars that had the step.
    pub sidecars: u32,
}
