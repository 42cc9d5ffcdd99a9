//! What operators and CI can ask for, and why it may be refused.

use serde::{Deserialize, Serialize};

use crate::model::catalogue::{ServiceSpec, VersionSpec};
use crate::model::commit::Commit;
use crate::model::configuration::Version;
use crate::model::dns::RecordSet;
use crate::model::freeze::FreezeWindow;
use crate::model::group::Member;
use crate::model::health::InstanceHealth;
use crate::model::plan::Plan;
use crate::model::signals::Signal;
use crate::names::{
    CheckName, GroupName, HookName, NameError, ReleaseId, RoleName, ServiceName, SignalName,
    VersionName,
};
use crate::units::Timestamp;

/// Who asks for something, and when. What a command means can depend on both: nobody approves
/// their own release, and no approval is good for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandContext<'a> {
    /// Who.
    pub actor: &'a str,
    /// Why, if they say.
    pub reason: Option<&'a str>,
    /// Journal time: never decreases; the basis of durations.
    pub at: Timestamp,
    /// Wall time: decides about freeze windows and the expiry of approvals. It may jump in both directions.
    pub wall: Timestamp,
}

/// Something that is asked of the controller.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Take this configuration: all of it, or nothing.
    ApplyConfiguration {
        /// Which.
        version: Version,
        /// Its services.
        services: Vec<ServiceSpec>,
        /// Its times in which nothing goes forward.
        freeze_windows: Vec<FreezeWindow>,
    },
    /// A version was deployed.
    RegisterVersion {
        /// Of which service.
        service: ServiceName,
        /// The version.
        version: VersionName,
        /// Where it runs.
        spec: VersionSpec,
    },
    /// Begin a release.
    StartRelease {
        /// Of which service.
        service: ServiceName,
        /// The candidate.
        version: VersionName,
        /// Instead of the service's own plan.
        plan: Option<Plan>,
        /// What it brings to production.
        commit: Option<Commit>,
    },
    /// Begin releases of several services, that go forward, and back, together.
    StartGroup {
        /// How they are called together.
        group: GroupName,
        /// What each service is released to.
        members: Vec<Member>,
        /// Instead of each service's own plan.
        plan: Option<Plan>,
    },
    /// Something about one release.
    Release(ReleaseId, ReleaseCommand),
    /// Something about all releases of a group.
    Group(GroupName, ReleaseCommand),
    /// CI checked a version.
    ReportCheck {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
        /// Which check.
        check: CheckName,
        /// Whether it passed.
        passed: bool,
        /// Where more can be read.
        url: Option<String>,
    },
    /// Somebody says something of a version that serves or is released.
    Signal {
        /// Of which service.
        service: ServiceName,
        /// What they say.
        signal: Signal,
    },
    /// Let a quarantined version be released again.
    Unquarantine {
        /// Of which service.
        service: ServiceName,
        /// Which version.
        version: VersionName,
    },
    /// Hold every release of a service, or of all, from going forward.
    FreezeDeployments(Option<ServiceName>),
    /// Let them go forward again.
    UnfreezeDeployments(Option<ServiceName>),
    /// The instances of a candidate being prepared were looked at. Said by the effects.
    HealthChecked {
        /// Which release.
        release: ReleaseId,
        /// What was found.
        health: InstanceHealth,
    },
    /// The smoke tests of a release being prepared are done. Said by the effects, not by operators.
    SmokeTested {
        /// Which release.
        release: ReleaseId,
        /// That all passed, or which did not and what came instead.
        result: Result<(), String>,
    },
    /// A hook of a release was told, or given up. Said by the effects, not by operators.
    HookEnded {
        /// Which release.
        release: ReleaseId,
        /// Which hook.
        hook: HookName,
        /// How often it was tried.
        attempts: u32,
        /// That it answered well, or what went wrong last.
        result: Result<(), String>,
    },
    /// A service's DNS server was asked. Said by the effects, not by operators.
    DnsChecked {
        /// Which service.
        service: ServiceName,
        /// What it answers with, as it should; or why it does not.
        result: Result<RecordSet, String>,
    },
    /// Replace all flags.
    ReplaceFlags(serde_json::Value),
    /// Define or change one flag.
    SetFlag {
        /// Its key.
        key: String,
        /// In flagd's format.
        definition: serde_json::Value,
    },
    /// Remove one flag.
    DeleteFlag {
        /// Its key.
        key: String,
    },
}

/// What can be asked of one release. Each is idempotent: asked twice, the second changes nothing and says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ReleaseCommand {
    /// Enter the next step now; while watched: complete now. What is paused stays paused there.
    /// The one verb that goes further each time, unless it is `all`.
    Promote {
        /// Go to 100 % at once, and be watched there; a release at 100 % is where it was asked to be.
        all: bool,
    },
    /// Hold it where it is. A guardrail still rolls it back.
    Pause,
    /// Let it go on.
    Resume,
    /// Let it enter its next step: one of those who must say so.
    Approve {
        /// As what.
        role: RoleName,
    },
    /// Give up a release before it is at 100 %: everything goes to stable.
    Abort,
    /// Everything goes to stable, at any time; after a complete release to the version before it.
    Rollback,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The release that it was about.
    pub release: Option<ReleaseId>,
    /// False if it was so already.
    pub changed: bool,
    /// What was done, or was so already, in plain words.
    pub message: String,
}

/// Why a command was refused. Each says the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such service.
    #[error("there is no service `{service}`; the services are {known}")]
    UnknownService {
        /// What was asked for.
        service: String,
        /// What there is.
        known: String,
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
        known: String,
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
        known: String,
    },
    /// A group of that name runs, with other members.
    #[error(
        "release group `{group}` is running, with {members}; complete it or roll it back first, or take another name"
    )]
    GroupRunning {
        /// The group.
        group: GroupName,
        /// Its releases.
        members: String,
    },
    /// No such flag.
    #[error("there is no flag `{0}`")]
    UnknownFlag(String),
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
        "version `{version}` of `{service}` is quarantined since {since} by the security signal `{signal}`{why}; once it is safe, lift it: tidegate version unquarantine {service} {version}"
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
        /// What the signal said.
        why: String,
    },
    /// The verb does not fit where the release is.
    #[error("cannot {verb} release `{release}`: {why}")]
    WrongPhase {
        /// The verb.
        verb: &'static str,
        /// The release.
        release: ReleaseId,
        /// Why not, and what to do instead.
        why: String,
    },
    /// The configuration changes what a running release is about.
    #[error(
        "service `{service}`: {what} cannot change while its release `{release}` runs; promote, abort or roll it back first. Nothing of this configuration is applied"
    )]
    MidRelease {
        /// The service.
        service: ServiceName,
        /// Its running release.
        release: ReleaseId,
        /// What was changed.
        what: String,
    },
    /// A value that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A name that cannot be made.
    #[error(transparent)]
    Name(#[from] NameError),
}
