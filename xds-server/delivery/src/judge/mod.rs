//! The judge, pure: what the counts say of a release now.
//!
//! The words are here; [`assess`] turns counts into them, [`ceiling`] is the test behind it,
//! and [`trail`] keeps the recent past, so that a version that breaks late is found as fast.

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

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Somebody should know.
    Warning,
    /// Somebody should look now.
    Critical,
    /// The release goes back.
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

/// What the judge says of a release now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Every promise is kept, on enough evidence.
    Healthy,
    /// Nothing is wrong so far, but too little was seen to say so.
    InsufficientData {
        /// How many more requests are needed.
        missing: u64,
    },
    /// Limits are crossed that somebody should know of.
    Alert {
        /// One a guardrail, the worst of each.
        findings: Vec<Finding>,
    },
    /// The release must go back.
    RollBack {
        /// Why.
        finding: Finding,
    },
}
