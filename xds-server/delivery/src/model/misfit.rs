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
    /// It speaks of a service that there is not.
    #[error("there is no service `{0}`")]
    NoService(ServiceName),
    /// It speaks of a version that there is not.
    #[error("there is no version `{0}`")]
    NoVersion(VersionName),
    /// It speaks of a release that is not its service's newest.
    #[error("there is no release `{0}` that could still change")]
    NoRelease(ReleaseId),
    /// It needs the release to be elsewhere.
    #[error("release `{0}` is not in the phase for it")]
    Phase(ReleaseId),
    /// It needs that no release runs.
    #[error("release `{0}` is running")]
    Runs(ReleaseId),
    /// A release that cannot follow from the one before it.
    #[error("release `{0}` does not follow from the state of its service")]
    Start(ReleaseId),
    /// A plan that nobody could follow.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A hook that was not to be told.
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
    /// A version that cannot be where it is said to be.
    #[error(transparent)]
    Placement(#[from] Conflict),
    /// Flags that are no flags.
    #[error("{0}")]
    Flags(&'static str),
}

/// Why a version cannot be deployed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another version is in use there.
    #[error("{environment} holds `{occupant}`, which is in use: deploy to the other environment")]
    Occupied {
        /// Where it was to go.
        environment: Environment,
        /// Who is there.
        occupant: VersionName,
    },
    /// It is in use where it is.
    #[error("version `{version}` is in use in {environment} and cannot move: give it another name")]
    Moves {
        /// The version.
        version: VersionName,
        /// Where it is.
        environment: Environment,
    },
}
