//! Hooks: HTTP calls when a release starts, reaches 100 %, completes or is rolled back.
//!
//! A due call is part of the state: the fold adds it with the event that triggers it, and removes it with the event of its
//! end. No call is lost by a crash.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::blocker::Blocker;
use crate::model::release::Release;
use crate::model::state::ServiceState;
use crate::names::{HookName, ReleaseId, VersionName};
use crate::units::{Timestamp, millis};

/// Most hooks of a service.
pub const MAX_HOOKS: usize = 20;
/// Most retries of a call.
pub const MAX_RETRIES: u32 = 20;
/// Longest timeout of one attempt.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(300);
/// Most characters of an error that the journal keeps.
pub const MAX_FAILURE: usize = 300;

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name, unique in its service.
    pub name: HookName,
    /// Its trigger.
    pub on: Moment,
    /// Its URL: `http://` or `https://`, without credentials.
    pub url: String,
    /// The timeout of one attempt.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// The number of retries.
    pub retries: u32,
    /// The secret that signs the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// True if the release waits for its success.
    pub blocking: bool,
}

/// The trigger of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// A release started, at 0 %.
    Started,
    /// The candidate entered the last step: it is at 100 % without the holdback.
    Switched,
    /// The release completed.
    Completed,
    /// The release was rolled back.
    RolledBack,
}

/// The source of a secret. The secret itself is never journaled, logged or shown.
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

/// One call of a hook, due or ended. It keeps the hook as declared when it was triggered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The release.
    pub release: ReleaseId,
    /// The hook.
    pub hook: Hook,
    /// The version that received the traffic before.
    pub from: VersionName,
    /// The version that receives it afterwards; at the start of a release, the candidate.
    pub to: VersionName,
    /// The time of the trigger.
    pub at: Timestamp,
    /// Its state.
    pub end: CallState,
}

/// The state of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CallState {
    /// It has not ended.
    Due,
    /// An attempt succeeded.
    Succeeded {
        /// The time.
        at: Timestamp,
        /// Attempts since the start of the server.
        attempts: u32,
    },
    /// The last attempt failed.
    Failed {
        /// The time.
        at: Timestamp,
        /// Attempts since the start of the server.
        attempts: u32,
        /// The error of the last attempt.
        error: String,
    },
}

impl Hook {
    /// The first 64 bits of a SHA-256 over name, transition and URL.
    fn digest(&self) -> u64 {
        let mut sha = Sha256::new();
        for part in [self.name.as_str(), self.on.as_str(), &self.url] {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
        sha.finalize().iter().take(8).fold(0, |digest, byte| (digest << 8) | u64::from(*byte))
    }
}

impl Moment {
    /// The name in configuration and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Switched => "switched",
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl Call {
    /// The idempotency key: `RELEASE/HOOK/DIGEST`. It is the same for every attempt, also after a restart. The digest
    /// covers the hook's name, transition and URL, so a hook that is redefined during a release does not reuse the key
    /// of its earlier call. Each transition occurs once in a release.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}/{:016x}", self.release, self.hook.name, self.hook.digest())
    }

    /// Release, hook name and transition identify a call.
    pub(crate) fn is(&self, release: &ReleaseId, hook: &HookName, on: Moment) -> bool {
        self.release == *release && self.hook.name == *hook && self.hook.on == on
    }

    /// True until it ends.
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
    /// The due calls, oldest first.
    pub fn due_calls(&self) -> impl Iterator<Item = &Call> {
        let newest = self.release.iter().flat_map(|release| &release.calls);
        self.earlier_calls.iter().chain(newest).filter(|call| call.is_due())
    }

    /// A call, if it is due.
    pub(crate) fn due_call(
        &self,
        release: &ReleaseId,
        hook: &HookName,
        on: Moment,
    ) -> Option<&Call> {
        self.due_calls().find(|call| call.is(release, hook, on))
    }
}
