//! Which configuration is the one that counts: the journal's word for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Timestamp;

/// One configuration: its text, and the way it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The SHA-256 of its text, in hexadecimal.
    pub hash: String,
    /// The way it came.
    pub source: Source,
}

/// The way a configuration comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It is what the server's own file says.
    File,
    /// Somebody sent it.
    Api,
}

/// The configuration that was applied last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Which.
    pub version: Version,
    /// When.
    pub at: Timestamp,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.get(..12).unwrap_or(&self.hash))
    }
}
