//! Why a configuration was not taken.

use std::io;

use tokio::task::JoinError;

use crate::config::Problem;
use crate::controller::CommandError;
use tidegate_delivery::model::command::Refusal;

/// Why a configuration was not taken. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It cannot be: all that is wrong with it, in the order of the text.
    #[error("the configuration is wrong, and nothing of it is applied:\n{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// It can be, but not in a server that runs.
    #[error(
        "a change of {} needs a restart, and nothing of this configuration is applied; restart the server on it, or take that back", .0.join(", ")
    )]
    NeedsRestart(Vec<&'static str>),
    /// It was not decided, or not written down.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The first preview listener came, and the key that opens it could not be made.
    #[error("the key of the preview listeners: {0}")]
    PreviewKey(#[source] io::Error),
    /// The server is going down.
    #[error("the server is stopping")]
    Stopping(#[from] JoinError),
}

impl ReloadError {
    /// Whether the same configuration may be taken later, with nobody doing anything about it: when
    /// the release has ended, when the disk has room.
    #[must_use]
    pub const fn passes(&self) -> bool {
        match self {
            Self::Command(CommandError::Refused(refusal)) => {
                matches!(refusal, Refusal::MidRelease { .. })
            }
            Self::Command(_) | Self::PreviewKey(_) => true,
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
