//! Hooks: whom a service tells when a release of it starts, switches, completes or goes back, so
//! that caches, indexes, queues and templates follow the version that serves.
//!
//! That a call is due is state: the fold makes it so with the event that it is about, and only
//! the event of its end takes it away. So none is lost, whatever crashes in between.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::blocker::Blocker;
use crate::model::release::Release;
use crate::model::state::ServiceState;
use crate::names::{HookName, ReleaseId, VersionName};
use crate::units::{Timestamp, millis};

/// Most hooks that a service may have.
pub const MAX_HOOKS: usize = 20;
/// Most times that a hook may be tried again.
pub const MAX_RETRIES: u32 = 20;
/// Longest wait for one answer.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(300);
/// Most of a failure's words that the journal keeps, in characters.
pub const MAX_FAILURE: usize = 300;

/// Somebody to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name, unique in its service.
    pub name: HookName,
    /// When it is told.
    pub on: Moment,
    /// Where: `http://` or `https://`, without credentials.
    pub url: String,
    /// How long one answer may take.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// How often it is tried again.
    pub retries: u32,
    /// What the calls are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// Whether the release waits for it.
    #[serde(default)]
    pub blocking: bool,
}

/// What a hook is told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// A release began, at 0 %.
    Started,
    /// The candidate has all of the traffic.
    Switched,
    /// The candidate is the stable version.
    Completed,
    /// Everything is back on the version before.
    RolledBack,
}

/// Where a secret is found when it is needed. The secret itself is in no journal, log or answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// The environment variable of this name.
    Env(String),
    /// The first line of this file.
    File(PathBuf),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// One call of a hook, due or over. Its hook is that of the moment: what is declared later is for
/// later calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The release that it is about.
    pub release: ReleaseId,
    /// Whom to tell.
    pub hook: Hook,
    /// The version that served before the moment.
    pub from: VersionName,
    /// The version that serves after it. When a release starts: the candidate.
    pub to: VersionName,
    /// When the moment was.
    pub at: Timestamp,
    /// What became of it.
    pub end: CallState,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CallState {
    /// It is to be made.
    Due,
    /// It was answered well.
    Succeeded {
        /// When.
        at: Timestamp,
        /// How often it was tried, since the server started.
        attempts: u32,
    },
    /// It was given up.
    Failed {
        /// When.
        at: Timestamp,
        /// How often it was tried, since the server started.
        attempts: u32,
        /// What went wrong last.
        error: String,
    },
}

impl Call {
    /// The same for every attempt, also after a restart: a receiver that has seen it does nothing.
    /// In one release each moment is only once.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.release, self.hook.name)
    }

    /// Whether it is still to be made.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.end == CallState::Due
    }

    /// A blocking call that has not succeeded.
    fn blocker(&self) -> Option<Blocker> {
        let hook = self.hook.name.clone();
        match &self.end {
            _ if !self.hook.blocking => None,
            CallState::Due => Some(Blocker::Hook { hook }),
            CallState::Succeeded { .. } => None,
            CallState::Failed { error, .. } => {
                Some(Blocker::HookFailed { hook, error: error.clone() })
            }
        }
    }
}

impl Release {
    /// The blocking calls that have not succeeded.
    pub(crate) fn hook_blockers(&self) -> impl Iterator<Item = Blocker> {
        self.calls.iter().filter_map(Call::blocker)
    }
}

impl ServiceState {
    /// Every call that is due, the oldest first.
    pub fn due_calls(&self) -> impl Iterator<Item = &Call> {
        let newest = self.release.iter().flat_map(|release| &release.calls);
        self.earlier_calls.iter().chain(newest).filter(|call| call.is_due())
    }

    /// A call, if it is due.
    pub(crate) fn due_call(&self, release: &ReleaseId, hook: &HookName) -> Option<&Call> {
        self.due_calls().find(|call| call.release == *release && call.hook.name == *hook)
    }
}
