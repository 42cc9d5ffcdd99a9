//! Events: everything that was ever decided, in the words of the domain. The journal keeps them,
//! [`super::state::State`] is their fold. Their JSON is a durable format: add, never change.

use serde::{Deserialize, Serialize};

use super::catalogue::{ServiceSpec, VersionSpec};
use super::dns::RecordSet;
use super::names::{HookName, ReleaseId, ServiceName, VersionName};
use super::plan::Plan;
use super::release::RollbackCause;
use super::units::Ppm;
use crate::judge::{Evidence, Finding, Guardrail};

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
    /// After a complete release an operator put the version before it back, in one push.
    StableRestored {
        /// Which service.
        service: ServiceName,
        /// The version that serves again.
        version: VersionName,
    },
    /// A hook was told, and answered well.
    HookSucceeded {
        /// Which release.
        id: ReleaseId,
        /// Which hook.
        hook: HookName,
        /// How often it was tried, since the server started.
        attempts: u32,
    },
    /// A hook could not be told, and was given up. Traffic stays where it is.
    HookFailed {
        /// Which release.
        id: ReleaseId,
        /// Which hook.
        hook: HookName,
        /// How often it was tried, since the server started.
        attempts: u32,
        /// What went wrong last.
        error: String,
    },
    /// A service's DNS server was seen to answer with the records of the active environment.
    DnsFollowed {
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
    /// What happened, in one word: the tag of its JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CatalogueApplied { .. } => "catalogue_applied",
            Self::VersionRegistered { .. } => "version_registered",
            Self::ReleaseStarted { .. } => "release_started",
            Self::SmokeTestsPassed { .. } => "smoke_tests_passed",
            Self::StepEntered { .. } => "step_entered",
            Self::StepConverged { .. } => "step_converged",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::AlertRaised { .. } => "alert_raised",
            Self::AlertCleared { .. } => "alert_cleared",
            Self::RolledBack { .. } => "rolled_back",
            Self::Completed { .. } => "completed",
            Self::StableRestored { .. } => "stable_restored",
            Self::HookSucceeded { .. } => "hook_succeeded",
            Self::HookFailed { .. } => "hook_failed",
            Self::DnsFollowed { .. } => "dns_followed",
            Self::DnsFailed { .. } => "dns_failed",
            Self::FlagsReplaced { .. } => "flags_replaced",
            Self::FlagSet { .. } => "flag_set",
            Self::FlagDeleted { .. } => "flag_deleted",
        }
    }

    /// The release that it is about.
    #[must_use]
    pub const fn release(&self) -> Option<&ReleaseId> {
        match self {
            Self::ReleaseStarted { id, .. }
            | Self::SmokeTestsPassed { id }
            | Self::StepEntered { id, .. }
            | Self::StepConverged { id, .. }
            | Self::Paused { id }
            | Self::Resumed { id }
            | Self::AlertRaised { id, .. }
            | Self::AlertCleared { id, .. }
            | Self::RolledBack { id, .. }
            | Self::HookSucceeded { id, .. }
            | Self::HookFailed { id, .. }
            | Self::Completed { id, .. } => Some(id),
            Self::CatalogueApplied { .. }
            | Self::VersionRegistered { .. }
            | Self::StableRestored { .. }
            | Self::DnsFollowed { .. }
            | Self::DnsFailed { .. }
            | Self::FlagsReplaced { .. }
            | Self::FlagSet { .. }
            | Self::FlagDeleted { .. } => None,
        }
    }
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
