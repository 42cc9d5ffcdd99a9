//! The guardrails of a service: limits on its error rate, latency, resource use and business metrics.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_core::config::{RequestMatch, ResponseMatch};

use crate::names::MetricName;
use crate::units::{Ppm, millis};

/// The promises that a release must keep. Defaults are ADR-005's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrails {
    /// Failed requests.
    pub error_rate: ErrorRate,
    /// Response time.
    pub latency: Latency,
    /// Use of CPU, memory or disk, as reported by the version itself.
    pub resources: Resources,
    /// Whether requests end well as the business sees it.
    #[serde(default)]
    pub business: Vec<BusinessMetric>,
    /// Requests after which an observed rate is taken at its word. With fewer, only what chance
    /// cannot explain counts, see [`crate::judge`].
    pub min_requests: u64,
}

/// Limits on the share of failed requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRate {
    /// ResourceSamples this somebody is told.
    pub alert: Ppm,
    /// ResourceSamples this the release goes back.
    pub rollback: Ppm,
}

/// Limits on one quantile of the response time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Which quantile: 990000 is the 99th percentile.
    pub quantile: Ppm,
    /// ResourceSamples this: a warning.
    #[serde(with = "millis")]
    pub warning: Duration,
    /// ResourceSamples this: a critical alert.
    #[serde(with = "millis")]
    pub critical: Duration,
    /// ResourceSamples this the release goes back.
    #[serde(with = "millis")]
    pub rollback: Duration,
}

/// Limits on the use of each resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Which quantile of what answers say: at 900000, more than one in ten must be above a limit.
    #[serde(default = "p90")]
    pub quantile: Ppm,
    /// ResourceSamples this: a warning.
    pub warning: Ppm,
    /// ResourceSamples this: a critical alert.
    pub critical: Ppm,
}

const fn p90() -> Ppm {
    Ppm::percent(90)
}

/// A business metric: the share of certain requests that must end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusinessMetric {
    /// Its name.
    pub name: MetricName,
    /// The requests that it is about.
    pub of: RequestMatch,
    /// How those end well.
    pub good: ResponseMatch,
    /// The least share that does. Below it somebody is told, and the release is held.
    pub at_least: Ppm,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            error_rate: ErrorRate { alert: Ppm::percent(1), rollback: Ppm::percent(5) },
            latency: Latency {
                quantile: Ppm::percent(99),
                warning: Duration::from_secs(2),
                critical: Duration::from_secs(5),
                rollback: Duration::from_secs(10),
            },
            resources: Resources {
                quantile: p90(),
                warning: Ppm::percent(80),
                critical: Ppm::percent(95),
            },
            business: Vec::new(),
            min_requests: 100,
        }
    }
}
