//! Why a command is refused, and the suggested fix.

mod invalid;

use std::fmt;

use serde::Serialize;

pub use self::invalid::{Invalid, MAX_FLAG_KEY};
use crate::model::blocker::Blocker;
use crate::model::change::Change;
use crate::model::fold_error::FoldError;
use crate::model::signals::reason_suffix;
use crate::model::weakness::Weakness;
use crate::names::{
    CheckName, GroupName, NameError, ReleaseId, RoleName, ServiceName, SignalName, VersionName,
};
use crate::units::Timestamp;

/// Most names that [`Known`] lists.
const MAX_LISTED: usize = 20;

/// Why a command was refused. Each message suggests a fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such service.
    #[error("there is no service `{service}`; the services are {known}")]
    UnknownService {
        /// What was asked for.
        service: String,
        /// What there is.
        known: Known,
    },
    /// No such version.
    #[error(
        "service `{service}` has no version `{version}`; it has {known}. Register it first: PUT /api/v1/services/{service}/versions/{version}"
    )]
    UnknownVersion {
        /// Of which service.
        service: ServiceName,
        /// What was asked for.
        version: VersionName,
        /// What there is.
        known: Known,
    },
    /// No plan requires such a check.
    #[error(
        "no release of `{service}` requires the check `{check}`; it requires {known}. Add it under `requirements: {{checks: […]}}` of the service, or report a required one"
    )]
    UnknownCheck {
        /// Of which service.
        service: ServiceName,
        /// The check that was reported.
        check: CheckName,
        /// The required checks.
        known: Known,
    },
    /// No such release, or one so old that it can no longer change.
    #[error("there is no release `{0}` that could still change")]
    UnknownRelease(String),
    /// No such group, or one of which a service has had another release since.
    #[error("there is no release group `{group}` that could still change; there is {known}")]
    UnknownGroup {
        /// What was asked for.
        group: GroupName,
        /// What there is.
        known: Known,
    },
    /// A group of that name runs, with other members.
    #[error(
        "release group `{group}` is running, with {members}; complete it or roll it back first, or take another name"
    )]
    GroupRunning {
        /// The group.
        group: GroupName,
        /// Its releases.
        members: Known,
    },
    /// No such flag.
    #[error("there is no flag `{0}`")]
    UnknownFlag(String),
    /// The flags changed since they were read.
    #[error(
        "the flags are at revision {current}, not at {expected}: they changed in the meantime; read them again, and repeat the change on them"
    )]
    FlagsChanged {
        /// The revision that the change requires.
        expected: u64,
        /// The current revision.
        current: u64,
    },
    /// One release of a service at a time.
    #[error(
        "release `{running}` of `{service}` to `{candidate}` is running; promote, abort or roll it back first"
    )]
    AlreadyRunning {
        /// The service.
        service: ServiceName,
        /// Its running release.
        running: ReleaseId,
        /// That release's candidate.
        candidate: VersionName,
    },
    /// A version that serves, or that a rollback needs, is not removed.
    #[error("version `{version}` of `{service}` cannot be removed: {usage}")]
    VersionInUse {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// What it is in use for.
        usage: VersionUsage,
    },
    /// The candidate serves already.
    #[error("version `{version}` of `{service}` is the stable one already")]
    AlreadyStable {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
    /// The candidate is unsafe.
    #[error(
        "version `{version}` of `{service}` is quarantined since {since} by the security signal `{signal}`{}; once it is safe, lift it: tidegate version unquarantine {service} {version}",
        reason_suffix(reason.as_deref())
    )]
    Quarantined {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// The signal that said so.
        signal: SignalName,
        /// Since when.
        since: Timestamp,
        /// The reason that came with the signal.
        reason: Option<String>,
    },
    /// The verb does not fit where the release is.
    #[error("cannot {verb} release `{release}`: {conflict}")]
    WrongPhase {
        /// The verb.
        verb: &'static str,
        /// The release.
        release: ReleaseId,
        /// Why not.
        conflict: Conflict,
    },
    /// The configuration takes away something that serves traffic, and the command does not allow it.
    #[error(
        "the configuration takes away something that serves traffic, so nothing of it is applied: {losses}; keep it, or \
         allow each by name: tidegate apply -f FILE{losses:#}"
    )]
    TakesAway {
        /// Each change that is not allowed.
        losses: Losses,
    },
    /// The plan of the command is less strict than that of the service.
    #[error(
        "the plan is weaker than that of service `{service}`, which requires {weaker}; a release may add to the plan of its service, not take from it"
    )]
    WeakerPlan {
        /// The service.
        service: ServiceName,
        /// Everything that is weaker.
        weaker: Weaknesses,
    },
    /// An invalid value.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A name that cannot be made.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The decision contradicts the state, which is a bug.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

/// What a command conflicts with in the current state of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Conflict {
    /// The release has ended.
    Ended,
    /// It was rolled back.
    RolledBack,
    /// It is complete, so it cannot be aborted.
    Complete,
    /// It is in its last step, so it cannot be aborted.
    LastStep,
    /// Its smoke tests have not passed.
    SmokeTests,
    /// Its plan has no further step.
    NoFurtherStep,
    /// Requirements of the step are missing.
    Blocked {
        /// Each of them.
        blockers: Vec<Blocker>,
    },
    /// The next step requires no approval.
    NoApproval,
    /// The next step requires approvals of another role.
    OtherRole {
        /// That role.
        role: RoleName,
    },
    /// The actor started the release.
    OwnRelease {
        /// The actor.
        actor: String,
    },
    /// It is a member of a group, and the command applies to the whole group only.
    GroupMember {
        /// The group.
        group: GroupName,
        /// The command.
        verb: &'static str,
    },
    /// The previous stable version is no longer kept.
    PreviousVersionGone {
        /// That version, if it is known.
        version: Option<VersionName>,
    },
    /// A later release is running.
    SuccessorRunning {
        /// That release.
        release: ReleaseId,
    },
    /// The release is on an earlier step than the one to leave. Steps count from 1; 0 is before the first.
    OtherStep {
        /// The step of the release.
        current: usize,
        /// The step to leave.
        from: usize,
    },
}

/// What a version is in use for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionUsage {
    /// It is the stable version.
    Stable,
    /// It is the candidate of a running release.
    Candidate {
        /// That release.
        release: ReleaseId,
    },
    /// The rollback window keeps it.
    Previous {
        /// The end of the window.
        until: Option<Timestamp>,
    },
    /// A flag that is enabled can select it.
    Flag {
        /// The key of the flag.
        key: String,
    },
}

/// Changes that take away something that serves traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Losses(pub Vec<Change>);

/// Everything in which a plan is weaker than that of its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weaknesses(pub Vec<Weakness>);

/// Names that exist: the first few, and the number of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// At most 20 names, in order.
    pub names: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl Known {
    /// The first of `names`.
    #[must_use]
    pub fn of<T: ToString>(names: impl ExactSizeIterator<Item = T>) -> Self {
        let more = names.len().saturating_sub(MAX_LISTED);
        Self { names: names.take(MAX_LISTED).map(|it| it.to_string()).collect(), more }
    }
}

/// Names separated by commas, or `none`.
impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.names.as_slice(), self.more) {
            ([], _) => f.write_str("none"),
            (names, 0) => f.write_str(&names.join(", ")),
            (names, more) => write!(f, "{} and {more} more", names.join(", ")),
        }
    }
}
