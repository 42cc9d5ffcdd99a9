//! What the operator declared: services, where their versions run, and what is promised of them.
//!
//! This is the resolved form, with every default filled in; `config` makes it from the YAML.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_core::config::IdentitySource;

use super::names::{ServiceName, VersionName};
use super::plan::Plan;
use super::units::{Ppm, millis};

/// One service as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// The `Host` values that lead to it: lower case, no port.
    pub hosts: Vec<String>,
    /// Where a user's identity is found; the first that is present counts.
    pub identity: Vec<IdentitySource>,
    /// The versions that are deployed now. For blue/green: at most one in each environment.
    pub versions: BTreeMap<VersionName, VersionSpec>,
    /// The version that serves before any release was made.
    pub stable: VersionName,
    /// Blue/green services: the two places where a version can be deployed.
    pub environments: Option<Environments>,
    /// How a release of it goes, unless the release brings its own plan.
    pub plan: Plan,
    /// What a release must keep.
    pub guardrails: Guardrails,
}

/// Where one version runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSpec {
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// The environment that holds it, for blue/green services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// `host:port`. An IP address is served by EDS; a DNS name is resolved by Envoy itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// IP address or DNS name.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// One of the two places of a blue/green service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// The one that blue/green services usually start on.
    Blue,
    /// The other.
    Green,
}

impl Environment {
    /// The opposite environment.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blue => "blue",
            Self::Green => "green",
        })
    }
}

/// The endpoints of both environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environments {
    /// Blue's.
    pub blue: Vec<Endpoint>,
    /// Green's.
    pub green: Vec<Endpoint>,
}

impl Environments {
    /// The endpoints of one environment.
    #[must_use]
    pub fn endpoints(&self, environment: Environment) -> &[Endpoint] {
        match environment {
            Environment::Blue => &self.blue,
            Environment::Green => &self.green,
        }
    }
}

/// The promises that a release must keep. Defaults are ADR-005's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrails {
    /// Failed requests.
    pub error_rate: ErrorRate,
    /// Response time.
    pub latency: Latency,
    /// Use of CPU, memory or disk, as reported by the version itself.
    pub resources: Resources,
    /// Requests after which an observed rate is taken at its word. With fewer, only what chance
    /// cannot explain counts, see [`crate::judge`].
    pub min_requests: u64,
}

/// Limits on the share of failed requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRate {
    /// Above this somebody is told.
    pub alert: Ppm,
    /// Above this the release goes back.
    pub rollback: Ppm,
}

/// Limits on one quantile of the response time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Which quantile: 990000 is the 99th percentile.
    pub quantile: Ppm,
    /// Above this: a warning.
    #[serde(with = "millis")]
    pub warning: Duration,
    /// Above this: a critical alert.
    #[serde(with = "millis")]
    pub critical: Duration,
    /// Above this the release goes back.
    #[serde(with = "millis")]
    pub rollback: Duration,
}

/// Limits on the use of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Above this: a warning.
    pub warning: Ppm,
    /// Above this: a critical alert.
    pub critical: Ppm,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            error_rate: ErrorRate {
                alert: Ppm::percent(1),
                rollback: Ppm::percent(5),
            },
            latency: Latency {
                quantile: Ppm::percent(99),
                warning: Duration::from_secs(2),
                critical: Duration::from_secs(5),
                rollback: Duration::from_secs(10),
            },
            resources: Resources {
                warning: Ppm::percent(80),
                critical: Ppm::percent(95),
            },
            min_requests: 100,
        }
    }
}
