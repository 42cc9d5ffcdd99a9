//! Why an event does not fit the state that it is folded into.

use crate::model::catalogue::Environment;
use crate::model::plan::PlanError;
use crate::names::{HookName, ReleaseId, ServiceName, VersionName};
use crate::units::Ppm;

/// An event that does not fit the state before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event `{event}` does not fit what came before it: {misfit}")]
pub struct FoldError {
    /// Its [`Event::kind`].
    pub event: &'static str,
    /// What does not fit.
    pub misfit: Misfit,
}

/// What does not fit about an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The service does not exist.
    #[error("there is no service `{0}`")]
    NoService(ServiceName),
    /// The version does not exist.
    #[error("there is no version `{0}`")]
    NoVersion(VersionName),
    /// The release is not the newest of its service.
    #[error("there is no release `{0}` that could still change")]
    NoRelease(ReleaseId),
    /// The release is in another phase.
    #[error("release `{0}` is not in the phase for it")]
    Phase(ReleaseId),
    /// A release is running.
    #[error("release `{0}` is running")]
    Runs(ReleaseId),
    /// A release that cannot follow from the one before it.
    #[error("release `{0}` does not follow from the state of its service")]
    Start(ReleaseId),
    /// The plan is invalid.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No call of the hook is due.
    #[error("release `{release}` has no call of hook `{hook}` to make")]
    NoCall {
        /// The release.
        release: ReleaseId,
        /// The hook.
        hook: HookName,
    },
    /// A step that the plan does not have, or not after the one before.
    #[error("release `{release}` has no step {step} of {weight} to enter")]
    Step {
        /// The release.
        release: ReleaseId,
        /// The step's index.
        step: usize,
        /// The event's weight.
        weight: Ppm,
    },
    /// The version cannot be placed in the environment.
    #[error(transparent)]
    Placement(#[from] Conflict),
    /// The flag document has another shape.
    #[error("{0}")]
    Flags(&'static str),
}

/// Why a version cannot be deployed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
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
