//! The identity of the applied configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Timestamp;

/// The identity of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The SHA-256 of its text, in hexadecimal.
    pub hash: String,
    /// Its source.
    pub source: Source,
}

/// The source of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The file of the server.
    File,
    /// The REST API.
    Api,
}

/// The configuration that was applied last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Its identity.
    pub version: Version,
    /// The time.
    pub at: Timestamp,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.get(..12).unwrap_or(&self.hash))
    }
}
