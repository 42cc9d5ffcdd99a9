//! Invalid values in commands. They are refused in every state.

use tidegate_core::flags::FlagError;

use super::Known;
use crate::model::catalogue::SpecError;
use crate::model::checks::{MAX_CHECKS, MAX_URL};
use crate::model::commit::NoCommit;
use crate::model::fold_error::{FlagDocumentError, PlacementError};
use crate::model::freeze::{MAX_FREEZE_WINDOWS, UnknownZone};
use crate::model::group::MAX_MEMBERS;
use crate::model::signals::{MAX_QUARANTINED, MAX_SIGNALS};
use crate::names::{FreezeName, GroupName, ServiceName, VersionName};

/// Longest key of a flag, in bytes.
pub const MAX_FLAG_KEY: usize = 256;

/// An invalid value in a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Two services of one name.
    #[error("service `{0}` is declared twice: names must differ")]
    DuplicateService(ServiceName),
    /// A service or a version of it.
    #[error("service `{service}`: {error}")]
    Service {
        /// The service.
        service: ServiceName,
        /// What is invalid.
        error: SpecError,
    },
    /// A deployment to an environment that is in use.
    #[error("service `{service}`: {error}")]
    Placement {
        /// The service.
        service: ServiceName,
        /// What is in use.
        error: PlacementError,
    },
    /// A candidate that is not deployed, of a service whose stable version is in no environment.
    #[error(
        "service `{service}`: its stable version `{stable}` is in neither environment; register it in one first"
    )]
    StableWithoutEnvironment {
        /// The service.
        service: ServiceName,
        /// Its stable version.
        stable: VersionName,
    },
    /// A commit id.
    #[error(transparent)]
    Commit(#[from] NoCommit),
    /// A flag document.
    #[error(transparent)]
    FlagDocument(#[from] FlagDocumentError),
    /// Evaluators in a document that is merged.
    #[error(
        "`$evaluators` are shared by all flags; replace all flags to set them: tidegate flag set --replace, or PUT /api/v1/flags"
    )]
    SharedEvaluators,
    /// A flag definition.
    #[error("the definition of flag `{0}` must be an object in flagd's format")]
    FlagDefinition(String),
    /// Flags that do not compile.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// A flag that routes an unknown service.
    #[error(
        "flag `{flag}` routes service `{service}`, which is not declared; the services are {known}"
    )]
    FlagService {
        /// The flag.
        flag: String,
        /// What its metadata names.
        service: String,
        /// The services.
        known: Known,
    },
    /// A flag with a variant that is not a version of the service that it routes.
    #[error(
        "flag `{flag}`: variant `{variant}` is {value}, which is not a version of `{service}`; write one of {known}, or \
         \"\" for no version, or register the version first: PUT /api/v1/services/{service}/versions/VERSION"
    )]
    FlagVariant {
        /// The flag.
        flag: String,
        /// The name of the variant.
        variant: String,
        /// Its value, as JSON.
        value: String,
        /// The routed service.
        service: ServiceName,
        /// Its versions.
        known: Known,
    },
    /// A flag key.
    #[error("a flag key has {0} bytes; it must have 1 to {MAX_FLAG_KEY}")]
    FlagKey(usize),
    /// Too many freeze windows.
    #[error("{0} freeze windows are declared; at most {MAX_FREEZE_WINDOWS} are possible")]
    TooManyFreezeWindows(usize),
    /// Two freeze windows of one name.
    #[error("freeze window `{0}` is declared twice")]
    DuplicateFreezeWindow(FreezeName),
    /// A weekly freeze window without days.
    #[error("freeze window `{0}` has no days")]
    FreezeWindowWithoutDays(FreezeName),
    /// A freeze window in an unknown time zone.
    #[error("freeze window `{name}`: {error}")]
    FreezeWindowZone {
        /// The freeze window.
        name: FreezeName,
        /// The time zone.
        error: UnknownZone,
    },
    /// A freeze window without length.
    #[error("freeze window `{0}` ends before it starts")]
    EmptyFreezeWindow(FreezeName),
    /// The number of members of a group.
    #[error("release group `{group}` has {count} members; it must have 2 to {MAX_MEMBERS}")]
    GroupSize {
        /// The group.
        group: GroupName,
        /// Its members.
        count: usize,
    },
    /// Two members of one service.
    #[error("release group `{group}`: service `{service}` is named twice")]
    DuplicateMember {
        /// The group.
        group: GroupName,
        /// The service.
        service: ServiceName,
    },
    /// Plans with different numbers of steps.
    #[error(
        "release group `{group}`: the plan of `{first}` has {first_steps} steps and that of `{service}` has {steps}; \
         give the group one plan, or its services plans with the same number of steps"
    )]
    GroupSteps {
        /// The group.
        group: GroupName,
        /// The first member.
        first: ServiceName,
        /// The steps of its plan.
        first_steps: usize,
        /// Another member.
        service: ServiceName,
        /// The steps of its plan.
        steps: usize,
    },
    /// The URL of a check's report.
    #[error(
        "the URL of a check's report may have at most {MAX_URL} bytes, and no control characters"
    )]
    CheckUrl,
    /// Too many checks of one version.
    #[error(
        "version `{0}` has {MAX_CHECKS} checks, which is the limit: report under one of their names"
    )]
    TooManyChecks(VersionName),
    /// Too many business signals against one version.
    #[error(
        "version `{0}` has {MAX_SIGNALS} active signals, which is the limit: clear one of them"
    )]
    TooManySignals(VersionName),
    /// A signal cannot lift a quarantine.
    #[error(
        "only an operator can lift a quarantine: tidegate version unquarantine {service} {version}"
    )]
    QuarantineBySignal {
        /// The service.
        service: ServiceName,
        /// The quarantined version.
        version: VersionName,
    },
    /// Too many quarantined versions.
    #[error(
        "service `{service}` has {MAX_QUARANTINED} quarantined versions, which is the limit, so `{version}` is not \
         quarantined: lift the quarantine of versions that no longer exist"
    )]
    TooManyQuarantined {
        /// The service.
        service: ServiceName,
        /// The version.
        version: VersionName,
    },
    /// The actor or the reason of a command.
    #[error("an actor has 1 to {max_actor} bytes, a reason at most {max_reason}")]
    Origin {
        /// Most bytes of an actor.
        max_actor: usize,
        /// Most bytes of a reason.
        max_reason: usize,
    },
}
