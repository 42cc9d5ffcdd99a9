//! The judge: request counts and guardrails in, a [`Verdict`] out.
//!
//! [`guardrails`] are the limits, [`windows`] the counts of a step and of the last seconds, [`sequential_test`] the statistics,
//! and [`assess`] combines them.

pub mod assess;
mod evidence;
mod guardrail;
pub mod guardrails;
pub mod sequential_test;
pub mod windows;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::evidence::{Business, Evidence, ResourceSamples, ResourceUse, Share, SlowRequests};
pub use self::guardrail::{Guardrail, GuardrailError};
use crate::units::{Ppm, millis};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Blocks the next step.
    Warning,
    /// Blocks the next step, with a more urgent notification.
    Critical,
    /// Rolls the release back, or pauses it with `on_fail: pause`.
    Rollback,
}

/// A limit that was crossed, with the numbers that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which guardrail.
    pub guardrail: Guardrail,
    /// At which of its limits.
    pub level: Level,
    /// The limit, as configured.
    pub limit: Limit,
    /// Requests above the limit; of a resource, reported values above it.
    pub bad: u64,
    /// The sample: all requests, or all reported values.
    pub requests: u64,
    /// The length of the window in milliseconds; absent: since the step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
}

/// The configured limit of a [`Finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Limit {
    /// The greatest share of failed requests.
    Share {
        /// In parts per million.
        max_ppm: Ppm,
    },
    /// The greatest response time at a quantile.
    Latency {
        /// 990000 is the 99th percentile.
        quantile_ppm: Ppm,
        /// The response time.
        #[serde(with = "millis", rename = "max_ms")]
        max: Duration,
    },
    /// The greatest use of a resource at a quantile of the reported values.
    ResourceUse {
        /// 900000 is the 90th percentile.
        quantile_ppm: Ppm,
        /// The share in use.
        max_ppm: Ppm,
    },
}

/// The result of the judge for a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// No guardrail is exceeded, with at least the minimum sample size.
    Healthy,
    /// No guardrail is exceeded, with fewer requests than the minimum sample size.
    InsufficientData {
        /// The number of missing requests.
        missing: u64,
    },
    /// Warning or critical limits are exceeded.
    Alert {
        /// One per guardrail, with its worst level.
        findings: Vec<Finding>,
    },
    /// A rollback limit is exceeded.
    RollBack {
        /// The first such limit.
        finding: Finding,
    },
}
