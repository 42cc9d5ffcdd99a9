//! Errors of configuration changes.

use std::io;

use tokio::task::JoinError;

use crate::config::Problem;
use crate::controller::CommandError;
use crate::istio::tokens::KeyError;
use tidegate_delivery::model::command::Refusal;

/// Why a configuration was not applied. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The text is invalid: all errors, in its order.
    #[error("the configuration is invalid and was not applied:\n{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// It changes keys that a running server cannot change.
    #[error(
        "a change of {} needs a restart, so the configuration was not applied; restart the server, or \
         revert the change", .0.join(", ")
    )]
    NeedsRestart(Vec<&'static str>),
    /// The controller rejected it, or could not journal it.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The key of its first preview listener cannot be created.
    #[error("cannot create the key of the preview listeners: {0}")]
    PreviewKey(#[source] io::Error),
    /// The keys of route tokens cannot be read, or created for its first Istio fleet.
    #[error(transparent)]
    TokenKeys(#[from] KeyError),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping(#[from] JoinError),
}

impl ReloadError {
    /// Whether the same configuration may be accepted later without a change to it, for example
    /// after the end of a rollback window.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Command(CommandError::Refused(refusal)) => {
                matches!(refusal, Refusal::TakesAway { .. })
            }
            Self::Command(CommandError::Unpublishable(_)) => false,
            Self::Command(_) | Self::PreviewKey(_) | Self::TokenKeys(_) => true,
            Self::Invalid(_) | Self::NeedsRestart(_) | Self::Stopping(_) => false,
        }
    }
}

impl From<Refusal> for ReloadError {
    fn from(refusal: Refusal) -> Self {
        Self::Command(refusal.into())
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
