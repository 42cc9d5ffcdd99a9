//! The guardrails of a service: limits on its error rate, latency, resource use and business metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_core::config::{RequestMatch, ResponseMatch};

use super::Guardrail;
use super::queries::QueryGuardrail;
use crate::names::MetricName;
use crate::units::{Ppm, millis};

/// The limits of a release. The defaults are those of ADR-005.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrails {
    /// Failed requests.
    pub error_rate: ErrorRate,
    /// Requests with HTTP 4xx.
    #[serde(default)]
    pub client_errors: ClientErrors,
    /// Response time.
    pub latency: Latency,
    /// Use of CPU, memory or disk, as reported by the version itself.
    pub resources: Resources,
    /// Shares of successful requests, by business metric.
    #[serde(default)]
    pub business: Vec<BusinessMetric>,
    /// Minimum sample size of an observed rate. With fewer requests an alert needs an e-value.
    pub min_requests: u64,
    /// The bound on the probability that a release that is no worse than stable and below its limits is rolled back: over
    /// all guardrails, steps and evaluations, and all releases of its group.
    pub false_rollback: Ppm,
    /// Values of other systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<QueryGuardrail>,
    /// Guardrails that are judged and shown, and decide nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dry_run: BTreeSet<Guardrail>,
    /// What happens when a limit of a rollback is exceeded and stable fails as well.
    pub common_mode: CommonMode,
    /// What happens at the end of a step whose counts do not show yet that the candidate is good enough.
    pub inconclusive: Inconclusive,
}

/// What a limit of a rollback does that stable exceeds as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommonMode {
    /// The release alerts and stays where it is.
    #[default]
    Hold,
    /// The release is rolled back; stable is not considered.
    Rollback,
}

/// What a step does whose evidence is inconclusive at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inconclusive {
    /// It lasts until the evidence suffices, or an operator promotes the release.
    Hold,
    /// It lasts longer by at most so many times its minimum time.
    Extend(u32),
    /// It ends.
    Proceed,
}

/// What a candidate does that is worse than stable, below the limit of a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorseThanStable {
    /// It is rolled back, if that is shown within the bound `false_rollback`.
    #[default]
    Rollback,
    /// It alerts and stays where it is.
    Hold,
}

/// Limits on the share of failed requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRate {
    /// Above this: an alert.
    pub alert: Ppm,
    /// Above this: a rollback.
    pub rollback: Ppm,
    /// The result of the comparison with stable.
    #[serde(default)]
    pub worse_than_stable: WorseThanStable,
}

/// Limits on the share of requests with HTTP 4xx. They are first of all compared with stable: what is usual differs between
/// services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClientErrors {
    /// Above this: an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Ppm>,
    /// Above this: a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Ppm>,
    /// The result of the comparison with stable.
    #[serde(default)]
    pub worse_than_stable: WorseThanStable,
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
    /// Above this: a rollback.
    #[serde(with = "millis")]
    pub rollback: Duration,
    /// The result of the comparison with stable.
    #[serde(default)]
    pub worse_than_stable: WorseThanStable,
}

/// Limits on the use of each resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// The quantile of the reported values: at 900000, more than one response in ten must be above a limit.
    #[serde(default = "p90")]
    pub quantile: Ppm,
    /// Above this: a warning.
    pub warning: Ppm,
    /// Above this: a critical alert.
    pub critical: Ppm,
}

/// The built-in bound: 0.1 %.
pub const FALSE_ROLLBACK: Ppm = match Ppm::new(1_000) {
    Ok(bound) => bound,
    Err(_) => Ppm::ZERO,
};

const fn p90() -> Ppm {
    Ppm::percent(90)
}

/// A business metric: the least share of selected requests that must succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusinessMetric {
    /// Its name.
    pub name: MetricName,
    /// Selects the requests.
    pub of: RequestMatch,
    /// The responses that count as success.
    pub good: ResponseMatch,
    /// The least share of successes. Below it: a critical alert, which blocks the release.
    pub at_least: Ppm,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            error_rate: ErrorRate {
                alert: Ppm::percent(1),
                rollback: Ppm::percent(5),
                worse_than_stable: WorseThanStable::Rollback,
            },
            latency: Latency {
                quantile: Ppm::percent(99),
                warning: Duration::from_secs(2),
                critical: Duration::from_secs(5),
                rollback: Duration::from_secs(10),
                // Pauses of a single version, as of a garbage collector, can look like a regression.
                worse_than_stable: WorseThanStable::Hold,
            },
            client_errors: ClientErrors::default(),
            resources: Resources {
                quantile: p90(),
                warning: Ppm::percent(80),
                critical: Ppm::percent(95),
            },
            business: Vec::new(),
            queries: Vec::new(),
            dry_run: BTreeSet::new(),
            min_requests: 100,
            false_rollback: FALSE_ROLLBACK,
            common_mode: CommonMode::Hold,
            inconclusive: Inconclusive::Extend(1),
        }
    }
}
