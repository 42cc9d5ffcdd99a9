//! The judge, pure: what the counts say of a release now.
//!
//! The words are here; [`assess`] turns counts into them, [`ceiling`] is the test behind it,
//! and [`trail`] keeps the recent past, so that a version that breaks late is found as fast.

pub mod assess;
pub mod ceiling;
pub mod trail;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one version did in the time that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Finished requests.
    pub requests: u64,
    /// Failed ones among them.
    pub errors: u64,
    /// Those certainly slower than the latency guardrail's three limits.
    pub slow: Slow,
}

impl Evidence {
    /// What came after `earlier`, of counts that only grow.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            slow: Slow {
                warning: self.slow.warning.saturating_sub(earlier.slow.warning),
                critical: self.slow.critical.saturating_sub(earlier.slow.critical),
                rollback: self.slow.rollback.saturating_sub(earlier.slow.rollback),
            },
        }
    }
}

/// Requests certainly slower than each limit of a latency guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Slow {
    /// Slower than the warning limit.
    pub warning: u64,
    /// Slower than the critical limit.
    pub critical: u64,
    /// Slower than the rollback limit.
    pub rollback: u64,
}

/// A promise that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guardrail {
    /// The share of failed requests.
    ErrorRate,
    /// One quantile of the response time.
    Latency,
}

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
    /// The limit, as configured: `5%`, `p99 10s`.
    pub limit: String,
    /// Requests that count against it.
    pub bad: u64,
    /// Out of how many.
    pub requests: u64,
    /// Counted over the last so many milliseconds; absent: since the step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
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

impl fmt::Display for Guardrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ErrorRate => "error rate",
            Self::Latency => "latency",
        })
    }
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
