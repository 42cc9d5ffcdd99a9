//! The result of the judge, as data. [`crate::text`] puts it into words.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::queries::{Beyond, Micros};
use super::statistics::likelihood::Ratio;
use super::{Guardrail, Share};
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
    /// The same counts of stable, if it served requests in that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Share>,
    /// What was judged of these requests; absent if each of them was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failures: Option<FirstFailures>,
    /// The evidence that the limit is exceeded; absent: only the observed rate is above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_value: Option<EValue>,
    /// The ratio of the rates of candidate and stable; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<RatioInterval>,
    /// True if stable is above the limit as well: the cause is common to both versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub common_mode: bool,
}

/// Clients that failed for the first time in five minutes, among the requests of clients that had not. Failures of one client
/// are no independent evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstFailures {
    /// Of the candidate.
    pub candidate: Share,
    /// Of stable, if it served requests in that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Share>,
}

/// An e-value, rounded down; at most a billion. The probability of reaching it without cause is at most its inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EValue(pub u32);

impl EValue {
    const MOST: f64 = 1e9;

    /// Of a number that is not negative.
    #[must_use]
    pub fn of(value: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded down, between 0 and a billion"
        )]
        Self(value.clamp(0.0, Self::MOST) as u32)
    }
}

/// The possible ratios of the rates of candidate and stable, valid at any time with 95 %, in percent: 200 is twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatioInterval {
    /// The least.
    pub low_percent: u32,
    /// The greatest.
    pub high_percent: u32,
}

impl RatioInterval {
    /// Between two ratios.
    #[must_use]
    pub fn between(low: Ratio, high: Ratio) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "ratios of the grid are positive and small"
        )]
        let percent = |ratio: Ratio| (ratio.factor() * 100.0).round() as u32;
        Self { low_percent: percent(low), high_percent: percent(high) }
    }
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
    /// A limit of a query. `bad` of the finding are the samples in a row beyond it.
    Query {
        /// The limit.
        limit: Beyond,
        /// The last value of the candidate, in millionths.
        value: Micros,
        /// That of stable, in millionths.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of_stable: Option<Micros>,
    },
    /// The rate of stable at the same time.
    Stable,
    /// The rate of stable in the 30 minutes before 100 %, times a factor.
    Before {
        /// In percent: 150 is 1.5 times.
        max_percent: u32,
    },
}

/// The result of the judge for a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate is shown to be below the alert limit of the error rate, or to fail less than twice as often as stable;
    /// and nothing was found.
    Healthy,
    /// Nothing was found, and neither is shown yet.
    Inconclusive {
        /// About so many requests of the candidate are missing, at today's rates.
        missing: u64,
        /// The guardrail whose observed rate is above its alert limit, though not beyond chance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_limit: Option<Guardrail>,
    },
    /// Warning or critical limits are exceeded.
    Alert {
        /// One per guardrail, with its worst level.
        findings: Vec<Finding>,
    },
    /// A rollback limit is exceeded.
    RollBack {
        /// One per guardrail, those that roll back first.
        findings: Vec<Finding>,
    },
}

impl Verdict {
    /// With further findings, which are those of other guardrails.
    #[must_use]
    pub fn with(self, more: Vec<Finding>) -> Self {
        if more.is_empty() {
            return self;
        }
        let mut findings = match self {
            Self::Healthy | Self::Inconclusive { .. } => Vec::new(),
            Self::Alert { findings } | Self::RollBack { findings } => findings,
        };
        findings.extend(more);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        match findings.first() {
            Some(worst) if worst.level == Level::Rollback => Self::RollBack { findings },
            _ => Self::Alert { findings },
        }
    }

    /// Everything that was found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Healthy | Self::Inconclusive { .. } => &[],
            Self::Alert { findings } | Self::RollBack { findings } => findings,
        }
    }
}
