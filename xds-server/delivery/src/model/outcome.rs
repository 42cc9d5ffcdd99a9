//! What a command did, as data. [`crate::text`] puts outcomes into words, for the edge of the server.
//!
//! An effect describes what holds after the command. If it held before, the outcome is unchanged: pausing a paused release
//! has the effect `paused`, like the first time.

use serde::Serialize;

use super::blocker::Blocker;
use super::change::Loss;
use super::configuration::{Version, Withheld};
use super::dns::RecordSet;
use super::failure::SmokeTestFailure;
use super::flag::FlagBlock;
use super::health::InstanceHealth;
use super::refusal::Conflict;
use crate::judge::Guardrail;
use crate::names::{
    CheckName, GroupName, HookName, ReleaseId, RoleName, ServiceName, SignalName, VersionName,
};
use crate::units::{Ppm, Timestamp, percent, rfc3339};

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The release that the effect is about.
    pub release: Option<ReleaseId>,
    /// False if the command had no effect, because the state was as requested.
    pub changed: bool,
    /// What holds now, or for an unchanged outcome of a result that came late: what it is about.
    #[serde(flatten)]
    pub effect: Effect,
}

/// What holds after a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// The release starts.
    Started {
        /// Its service.
        service: ServiceName,
        /// Its stable version.
        stable: VersionName,
        /// Its candidate.
        candidate: VersionName,
        /// The freezes that keep it at 0 %.
        freezes: Vec<Blocker>,
    },
    /// The release to the requested candidate runs. Always unchanged.
    Running {
        /// Its candidate.
        candidate: VersionName,
        /// Its weight.
        #[serde(rename = "weight_percent", with = "percent")]
        weight: Ppm,
    },
    /// The release is on this step.
    Promoted {
        /// From 1.
        step: usize,
        /// The weight of the step.
        #[serde(rename = "weight_percent", with = "percent")]
        weight: Ppm,
        /// Whether the release is paused.
        paused: bool,
    },
    /// The release has left the step from which it was to be promoted. Always unchanged.
    LeftStep {
        /// That step, from 1; 0 is before the first.
        from: usize,
        /// The step of the release, from 1.
        step: usize,
    },
    /// The release is at 100 % and watched. Always unchanged.
    Watching,
    /// The release is complete.
    Completed {
        /// Its candidate, which is stable now.
        stable: VersionName,
    },
    /// The release is paused.
    Paused {
        /// Its weight.
        #[serde(rename = "weight_percent", with = "percent")]
        weight: Ppm,
    },
    /// The release is not paused.
    Resumed {
        /// The broken guardrail that had paused it, which is overridden until its next step.
        overridden: Option<Guardrail>,
    },
    /// The release has the approval of the actor.
    Approved {
        /// The role.
        role: RoleName,
        /// The actor.
        by: String,
        /// When the approval expires.
        #[serde(with = "rfc3339")]
        until: Timestamp,
        /// The approvals as this role that the next step still requires.
        missing: u32,
    },
    /// The release has all approvals as this role without the actor. Always unchanged.
    ApprovalsComplete {
        /// The role.
        role: RoleName,
    },
    /// The running release is rolled back.
    RolledBack {
        /// The version that receives all traffic.
        stable: VersionName,
        /// The completed release before it, if that can be rolled back as well.
        earlier: Option<EarlierRelease>,
    },
    /// The completed release is rolled back: the version before it is stable again.
    StableRestored {
        /// That version.
        stable: VersionName,
        /// The security signal that quarantined that version.
        quarantined_by: Option<SignalName>,
    },
    /// The member of a group refused the command, which applies to the others. Always unchanged.
    Refused {
        /// The command.
        verb: &'static str,
        /// Why.
        conflict: Conflict,
    },
    /// A group with these members runs. Always unchanged.
    GroupRunning {
        /// The group.
        group: GroupName,
        /// Its releases.
        members: Vec<ReleaseId>,
    },
    /// A group: its releases are each as in `members`.
    Group {
        /// The group.
        group: GroupName,
        /// The outcome for each member.
        members: Vec<Outcome>,
    },
    /// The smoke tests of the release have ended. Unchanged if it waits for none.
    SmokeTested {
        /// The first failure.
        failure: Option<SmokeTestFailure>,
    },
    /// The health of the candidate's instances.
    HealthChecked {
        /// The unhealthy instances.
        health: InstanceHealth,
    },
    /// A hook call has ended. Unchanged if no such call is due.
    HookEnded {
        /// The hook.
        hook: HookName,
        /// The error, if the call failed.
        error: Option<String>,
    },
    /// The DNS server has these records of a service. Unchanged if they are not the desired ones.
    DnsUpdated {
        /// The service.
        service: ServiceName,
        /// The records.
        records: RecordSet,
    },
    /// The DNS records of a service could not be updated.
    DnsFailed {
        /// The service.
        service: ServiceName,
        /// The error.
        error: String,
    },
    /// A version is registered.
    VersionRegistered {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
    /// A service has no such version.
    VersionRemoved {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
    /// A check of a version has this result.
    CheckReported {
        /// The version.
        version: VersionName,
        /// The check.
        check: CheckName,
        /// The result.
        passed: bool,
    },
    /// A version is unsafe.
    Quarantined {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// False if the service has too many quarantined versions: the version is rolled back, and can be released again.
        listed: bool,
        /// What of its traffic was moved.
        rollback: SecurityRollback,
    },
    /// A version is not quarantined.
    Unquarantined {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
    /// A business signal about a version is active.
    SignalRaised {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// The signal.
        signal: SignalName,
        /// The weight at which it blocks the release of the version, if one runs.
        #[serde(rename = "blocked_at_percent", with = "percent::option")]
        blocked_at: Option<Ppm>,
    },
    /// A business signal about a version is not active.
    SignalCleared {
        /// The version.
        version: VersionName,
        /// The signal.
        signal: SignalName,
    },
    /// That a version was rolled back does not keep flags from selecting it.
    FlagsAllowed {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// The security signal for which still no flag selects it.
        quarantined_by: Option<SignalName>,
    },
    /// Deployments are frozen by hand.
    Frozen {
        /// Of this service; absent: of all.
        service: Option<ServiceName>,
        /// The actor of the freeze.
        by: String,
    },
    /// Deployments are not frozen by hand.
    Unfrozen {
        /// Of this service; absent: of all.
        service: Option<ServiceName>,
    },
    /// A configuration is applied.
    ConfigurationApplied {
        /// Its identity.
        version: Version,
        /// The number of services that are in force.
        services: usize,
        /// The services that are not in force while a release runs.
        withheld: Vec<Withheld>,
        /// Allowed losses that nothing loses.
        unused: Vec<Loss>,
    },
    /// A document is all flags.
    FlagsReplaced {
        /// The number of flags.
        flags: usize,
        /// The number of flags before.
        before: usize,
        /// What they do not do now.
        warnings: Vec<FlagWarning>,
    },
    /// The flags of a document are set.
    FlagsMerged {
        /// All keys of the document.
        keys: Vec<String>,
        /// The number of flags that differed.
        different: usize,
        /// What they do not do now.
        warnings: Vec<FlagWarning>,
    },
    /// A flag is set.
    FlagSet {
        /// Its key.
        key: String,
        /// What it does not do now.
        warnings: Vec<FlagWarning>,
    },
    /// A flag is enabled or disabled.
    FlagSwitched {
        /// Its key.
        key: String,
        /// True if it is enabled.
        enabled: bool,
    },
    /// A flag is deleted.
    FlagDeleted {
        /// Its key.
        key: String,
    },
}

/// A completed release that can be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EarlierRelease {
    /// Its service.
    pub service: ServiceName,
    /// The release.
    pub release: ReleaseId,
    /// The version that its rollback restores.
    pub restores: VersionName,
}

/// What a security signal about a version moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SecurityRollback {
    /// The running release of the version is rolled back.
    RolledBack {
        /// The version that receives all traffic.
        stable: VersionName,
    },
    /// The version was stable: the one before it is stable again.
    StableRestored {
        /// That version.
        stable: VersionName,
        /// Whether the running release is rolled back as well.
        with_release: bool,
    },
    /// Nothing: the version receives no traffic.
    NoTraffic,
    /// Nothing: the version is stable, no safe version precedes it, and a release away from it runs.
    ReleaseRunning {
        /// The candidate of that release.
        candidate: VersionName,
    },
    /// Nothing: the version is stable, and no safe version precedes it.
    NoSafeVersion,
}

/// What a changed flag does not do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FlagWarning {
    /// No flag selects the version of a variant.
    NotSelected {
        /// The service that the flag routes.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// Why.
        #[serde(flatten)]
        block: FlagBlock,
    },
    /// The rules of a routing flag read attributes that requests do not have.
    AbsentAttributes {
        /// The flag.
        flag: String,
        /// The attributes.
        attributes: Vec<String>,
    },
}
