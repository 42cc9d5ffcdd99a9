//! Commands of operators, CI and the effects, and their outcome.

use serde::{Deserialize, Serialize};

use crate::model::catalogue::{ServiceSpec, VersionSpec};
use crate::model::commit::Commit;
use crate::model::configuration::Version;
use crate::model::dns::RecordSet;
use crate::model::failure::SmokeTestFailure;
use crate::model::freeze::FreezeWindow;
use crate::model::group::Member;
use crate::model::health::InstanceHealth;
use crate::model::plan::Plan;
pub use crate::model::refusal::Refusal;
use crate::model::signals::Signal;
use crate::names::{CheckName, GroupName, HookName, ReleaseId, RoleName, ServiceName, VersionName};
use crate::units::Timestamp;

/// Who asks for something, and when. What a command means can depend on both: nobody approves
/// their own release, and no approval is good for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandContext<'a> {
    /// Who.
    pub actor: &'a str,
    /// Why, if they say.
    pub reason: Option<&'a str>,
    /// When.
    pub at: Timestamp,
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
        /// The first failure, if any test failed.
        result: Result<(), SmokeTestFailure>,
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
