//! Failed requests to the candidate, as smoke tests and health checks report them.

use serde::{Deserialize, Serialize};

/// Most characters of an error message that the journal keeps.
pub const MAX_ERROR: usize = 300;

/// How a request or a connection failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum RequestFailure {
    /// The response had another status than the expected one.
    UnexpectedStatus {
        /// The HTTP status of the response.
        status: u16,
        /// The HTTP status that was expected.
        expected: u16,
    },
    /// No response arrived within the timeout.
    Timeout,
    /// No connection could be made, or it ended before the response.
    Transport {
        /// The error of the operating system or the HTTP client, at most [`MAX_ERROR`] characters.
        error: String,
    },
}

/// A smoke test that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeTestFailure {
    /// The URL of the request.
    pub url: String,
    /// How it failed.
    #[serde(flatten)]
    pub failure: RequestFailure,
}

impl RequestFailure {
    /// A [`RequestFailure::Transport`] with a clipped message.
    #[must_use]
    pub fn transport(error: &str) -> Self {
        Self::Transport { error: error.chars().take(MAX_ERROR).collect() }
    }
}
