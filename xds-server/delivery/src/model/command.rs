//! Commands of operators, CI and the effects.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::catalogue::{ServiceSpec, VersionSpec};
use crate::model::change::Loss;
use crate::model::commit::Commit;
use crate::model::configuration::Version;
use crate::model::dns::RecordSet;
use crate::model::failure::SmokeTestFailure;
use crate::model::flag::FlagChange;
use crate::model::freeze::FreezeWindow;
use crate::model::group::Member;
use crate::model::health::InstanceHealth;
use crate::model::hook::Moment;
use crate::model::mesh::Fleet;
pub use crate::model::outcome::Outcome;
use crate::model::plan::Plan;
pub use crate::model::refusal::Refusal;
use crate::model::signals::Signal;
use crate::names::{CheckName, GroupName, HookName, ReleaseId, RoleName, ServiceName, VersionName};
use crate::units::Timestamp;

/// The actor and the time of a command. Approvals depend on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandContext<'a> {
    /// The actor.
    pub actor: &'a str,
    /// The reason, if given.
    pub reason: Option<&'a str>,
    /// Journal time. It never decreases, and is the basis of durations.
    pub at: Timestamp,
    /// Wall time: decides about freeze windows and the expiry of approvals. It may jump in both directions.
    pub wall: Timestamp,
}

/// A command to the controller.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Apply a configuration: all of it, except the services that a running release withholds.
    ApplyConfiguration {
        /// Its hash and source.
        version: Version,
        /// Its fleets.
        fleets: Vec<Fleet>,
        /// Its services.
        services: Vec<ServiceSpec>,
        /// Its freeze windows.
        freeze_windows: Vec<FreezeWindow>,
        /// What it may take away.
        allow: BTreeSet<Loss>,
    },
    /// Register a deployed version.
    RegisterVersion {
        /// Of which service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// Its endpoints.
        spec: VersionSpec,
    },
    /// Remove a version that no longer serves.
    RemoveVersion {
        /// Of which service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
    /// Start a release.
    StartRelease {
        /// Of which service.
        service: ServiceName,
        /// The candidate.
        version: VersionName,
        /// Replaces the plan of the service, as far as it is at least as strict.
        plan: Option<Plan>,
        /// The commit that it deploys.
        commit: Option<Commit>,
    },
    /// Start releases of several services as a group.
    StartGroup {
        /// The name of the group.
        group: GroupName,
        /// The service and candidate of each release.
        members: Vec<Member>,
        /// Replaces the plans of the services, as far as it is at least as strict.
        plan: Option<Plan>,
    },
    /// A command on one release.
    Release(ReleaseId, ReleaseCommand),
    /// A command on all releases of a group.
    Group(GroupName, ReleaseCommand),
    /// Report a check of a version.
    ReportCheck {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which check.
        check: CheckName,
        /// True if it passed.
        passed: bool,
        /// The URL of the report.
        url: Option<String>,
    },
    /// Raise or clear a signal about a version.
    Signal {
        /// Of which service.
        service: ServiceName,
        /// The signal.
        signal: Signal,
    },
    /// Lift a quarantine.
    Unquarantine {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
    },
    /// Allow flags to select a version that was rolled back.
    AllowFlags {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
    },
    /// Freeze the deployments of one or all services.
    FreezeDeployments(Option<ServiceName>),
    /// End that freeze.
    UnfreezeDeployments(Option<ServiceName>),
    /// The result of a health check of a candidate. Sent by the effects.
    HealthChecked {
        /// Which release.
        release: ReleaseId,
        /// The result.
        health: InstanceHealth,
    },
    /// The result of the smoke tests. Sent by the effects.
    SmokeTested {
        /// Which release.
        release: ReleaseId,
        /// The first failure, if any test failed.
        result: Result<(), SmokeTestFailure>,
    },
    /// The end of a hook call. Sent by the effects.
    HookEnded {
        /// The release.
        release: ReleaseId,
        /// The hook.
        hook: HookName,
        /// The transition that the call reports. It tells two calls apart if the hook was redefined between them.
        on: Moment,
        /// Attempts since the start of the server.
        attempts: u32,
        /// The error of the last attempt, if the call failed.
        result: Result<(), String>,
    },
    /// The result of a DNS query or update. Sent by the effects.
    DnsChecked {
        /// Which service.
        service: ServiceName,
        /// The records of the server, or the error.
        result: Result<RecordSet, String>,
    },
    /// Change flags.
    ChangeFlags {
        /// The change.
        change: FlagChange,
        /// Refuses the change if the flags have another revision.
        if_revision: Option<u64>,
    },
}

/// Commands on one release. Each is idempotent, except `Promote` without `all`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ReleaseCommand {
    /// Enters the next step now; at 100 %, completes the release. A paused release stays paused.
    Promote {
        /// Enters the last step, at 100 %. Without effect on a release at 100 %.
        all: bool,
    },
    /// Promotes it if the release is still on this step: 0 while preparing, then counted from 1. A release that has
    /// left the step is not changed, so a repeated call does not advance it twice.
    PromoteFrom {
        /// The step to leave.
        step: usize,
    },
    /// Pauses it. Guardrails stay active.
    Pause,
    /// Resumes it.
    Resume,
    /// Approves the next step.
    Approve {
        /// The role of the actor.
        role: RoleName,
    },
    /// Rolls back a release below 100 %.
    Abort,
    /// Rolls back to stable; after completion, to the previous version.
    Rollback,
}
