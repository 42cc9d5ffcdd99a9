//! The identity of the applied configuration, and what of it was not applied.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{NameError, ReleaseId, ServiceName, VersionName};
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
    /// Its services that are not in force: each keeps its declaration from before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
}

/// A service whose declaration was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// The service.
    pub service: ServiceName,
    /// Why.
    #[serde(flatten)]
    pub cause: WithheldCause,
}

/// Why a declaration was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum WithheldCause {
    /// It changes what the evidence of a running release depends on.
    MidRelease {
        /// The release.
        release: ReleaseId,
        /// What was changed.
        input: ReleaseInput,
    },
    /// It takes over a host or a DNS name of a service that is withheld.
    Claimed {
        /// The host or DNS name.
        name: String,
        /// The service that keeps it.
        by: ServiceName,
    },
}

/// The part of a service that a running release depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseInput {
    /// The service itself: it was removed.
    Service,
    /// Whether it has environments.
    Environments,
    /// Its `identity`.
    Identity,
    /// Its `dns`.
    Dns,
    /// Its host in Istio, or the target of a compared version there.
    Istio,
    /// Its business metrics.
    BusinessMetrics,
    /// The stable version or the candidate: it was removed, or its environment changed.
    Version(VersionName),
    /// The environment of a version in use, to which this version was declared.
    EnvironmentOf(VersionName),
}

/// A version of a service, as in `order/v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceVersion {
    /// The service.
    pub service: ServiceName,
    /// The version.
    pub version: VersionName,
}

/// Text that is not `SERVICE/VERSION`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceVersionError {
    /// Without `/`.
    #[error("`{0}` is not a version of a service: write SERVICE/VERSION, such as order/v1")]
    Format(String),
    /// With an invalid name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for ServiceVersion {
    type Err = ServiceVersionError;

    fn from_str(text: &str) -> Result<Self, ServiceVersionError> {
        let format = || ServiceVersionError::Format(text.chars().take(100).collect());
        let (service, version) = text.split_once('/').ok_or_else(format)?;
        Ok(Self { service: service.parse()?, version: version.parse()? })
    }
}

impl fmt::Display for ServiceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.get(..12).unwrap_or(&self.hash))
    }
}
