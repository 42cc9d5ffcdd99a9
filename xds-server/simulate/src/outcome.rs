//! The outcome of one simulated release, and what it looked like on the way.

use std::time::Duration;

use serde::Serialize;
use tidegate_delivery::judge::{Guardrail, Verdict};
use tidegate_delivery::units::Ppm;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// The candidate is stable.
    Completed,
    /// A guardrail rolled it back, or paused it with `on_fail: pause`.
    RolledBack {
        /// Which.
        guardrail: Guardrail,
    },
    /// It waits for something at the end of the simulated time.
    Held {
        /// The first blocker, by its kind.
        blocker: &'static str,
    },
}

/// The outcome of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// How it ended.
    #[serde(flatten)]
    pub end: End,
    /// When, after the candidate's first request.
    #[serde(rename = "after_ms", with = "tidegate_delivery::units::millis")]
    pub after: Duration,
    /// The candidate's last weight.
    #[serde(rename = "weight_percent", with = "tidegate_delivery::units::percent")]
    pub weight: Ppm,
    /// It had an alert.
    pub alerted: bool,
    /// Requests that the candidate failed.
    pub failures: u64,
    /// Distinct clients that it failed.
    pub harmed: u64,
}

/// What one run looked like at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Seconds after the candidate's first request.
    pub second: f64,
    /// The candidate's weight, 0 to 1.
    pub weight: f64,
    /// Error rates in the last ten seconds, 0 to 1.
    pub candidate: f64,
    /// The same of stable.
    pub stable: f64,
    /// The evidence for a rollback: its logarithm as a part of what is needed; 1 rolls back.
    pub evidence: f64,
    /// The verdict.
    pub verdict: VerdictKind,
}

/// The kind of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// It passes.
    Healthy,
    /// Not shown yet.
    Inconclusive,
    /// It is held.
    Alert,
    /// It is rolled back.
    RollBack,
}

impl From<&Verdict> for VerdictKind {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Healthy => Self::Healthy,
            Verdict::Inconclusive { .. } => Self::Inconclusive,
            Verdict::Alert { .. } => Self::Alert,
            Verdict::RollBack { .. } => Self::RollBack,
        }
    }
}
