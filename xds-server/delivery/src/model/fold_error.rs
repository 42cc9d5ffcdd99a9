//! Why an event does not fit the state to which it is applied.

use crate::model::catalogue::Environment;
use crate::model::plan::PlanError;
use crate::names::{HookName, ReleaseId, ServiceName, VersionName};
use crate::units::Ppm;

/// An event that does not fit the state before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event `{event}` does not fit the state before it: {kind}")]
pub struct FoldError {
    /// The [`crate::model::event::Event::kind`].
    pub event: &'static str,
    /// What does not fit.
    pub kind: FoldErrorKind,
}

/// What does not fit about an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldErrorKind {
    /// The service does not exist.
    #[error("there is no service `{0}`")]
    UnknownService(ServiceName),
    /// The version does not exist.
    #[error("there is no version `{0}`")]
    UnknownVersion(VersionName),
    /// The release is not the newest of its service.
    #[error("`{0}` is not the newest release of a service")]
    UnknownRelease(ReleaseId),
    /// The release is in another phase.
    #[error("release `{0}` is in another phase")]
    Phase(ReleaseId),
    /// A release is running.
    #[error("release `{0}` is running")]
    ReleaseRunning(ReleaseId),
    /// The id, the candidate or the stable version does not follow from the state of the service.
    #[error("release `{0}` does not follow from the state of its service")]
    Start(ReleaseId),
    /// The plan is invalid.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No call of the hook is due.
    #[error("release `{release}` has no due call of hook `{hook}`")]
    NoDueCall {
        /// The release.
        release: ReleaseId,
        /// The hook.
        hook: HookName,
    },
    /// The plan has no such step, or the release has passed it.
    #[error("release `{release}` has no step {step} of {weight} to enter")]
    Step {
        /// The release.
        release: ReleaseId,
        /// The index of the step.
        step: usize,
        /// The weight in the event.
        weight: Ppm,
    },
    /// The version cannot be deployed to the environment.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The flag document has another shape.
    #[error(transparent)]
    Flags(#[from] FlagDocumentError),
}

/// The shape of a flag document is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagDocumentError {
    /// No object `flags`.
    #[error("a flag document needs an object `flags`")]
    NoFlags,
    /// Another type of `$evaluators`.
    #[error("`$evaluators` must be an object")]
    Evaluators,
}

/// Why a version cannot be deployed to an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Another version is in use there.
    #[error("{environment} holds `{occupant}`, which is in use: deploy to the other environment")]
    Occupied {
        /// The environment of the deployment.
        environment: Environment,
        /// The version that is in use there.
        occupant: VersionName,
    },
    /// The version is in use in another environment.
    #[error("version `{version}` is in use in {environment} and cannot move: give it another name")]
    Moves {
        /// The version.
        version: VersionName,
        /// The environment in which it is in use.
        environment: Environment,
    },
}
