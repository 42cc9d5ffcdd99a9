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

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::evidence::{Business, Evidence, ResourceSamples, ResourceUse, Share, SlowRequests};
pub use self::guardrail::{Guardrail, GuardrailError};

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
    /// The limit, as configured: `5%`, `p99 10s`.
    pub limit: String,
    /// Requests that count against it; for a resource, answers that said how busy it was.
    pub bad: u64,
    /// Out of how many.
    pub requests: u64,
    /// Counted over the last so many milliseconds; absent: since the step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
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

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Rollback => "rollback",
        })
    }
}

/// With the numbers: `latency above p99 2s: 8 of 90 requests in 5s`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guardrail, level: _, limit, bad, requests, window_ms } = self;
        write!(f, "{guardrail} above {limit}: {bad} of {requests} requests")?;
        match window_ms.map(Duration::from_millis) {
            Some(window) => write!(f, " in {}", humantime::format_duration(window)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::InsufficientData { missing } => write!(f, "needs {missing} more requests"),
            Self::Alert { findings } => {
                let alerts: Vec<String> =
                    findings.iter().map(|it| format!("{}: {it}", it.level)).collect();
                f.write_str(&alerts.join("; "))
            }
            Self::RollBack { finding } => write!(f, "rolls back: {finding}"),
        }
    }
}
