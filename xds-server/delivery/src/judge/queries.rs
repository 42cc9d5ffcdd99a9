//! Guardrails on the value of a query: a Prometheus expression, or an HTTP endpoint that answers with a number.
//!
//! A limit is exceeded if a number of samples in a row is beyond it. A query that fails, or has no number, is never evidence:
//! it interrupts a row that is not complete, and ends no alert. The caller keeps a [`QuerySeries`] for each running release,
//! and begins a new one with each step.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::guardrails::Guardrails;
use super::{Finding, Guardrail, Level, Limit};
use crate::names::MetricName;
use crate::units::{Timestamp, millis};

/// Most query guardrails of a service.
pub const MAX_QUERIES: usize = 8;
/// A required query blocks a release if its last value is older than so many intervals.
const MISSING_AFTER: u32 = 3;
/// Longest error of a query that is kept, in characters.
const MAX_ERROR: usize = 200;

/// A guardrail on a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryGuardrail {
    /// Its name.
    pub name: MetricName,
    /// What is asked.
    pub source: QuerySource,
    /// The time between two samples.
    #[serde(with = "millis", rename = "interval_ms")]
    pub interval: Duration,
    /// The longest time of a query.
    #[serde(with = "millis", rename = "timeout_ms")]
    pub timeout: Duration,
    /// Beyond this: an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Beyond>,
    /// Beyond this: a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Beyond>,
    /// So many samples in a row must be beyond a limit.
    pub consecutive: u32,
    /// A release waits while the query has no value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// A file with the bearer token, read for each query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuerySource {
    /// Expressions of a Prometheus server.
    Prometheus {
        /// The server, without `/api/v1/query`.
        url: String,
        /// The expression of the candidate.
        query: String,
        /// The expression of stable.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stable: Option<String>,
    },
    /// URLs that answer `GET` with a number, or `{"value": NUMBER}`.
    Http {
        /// Of the candidate.
        url: String,
        /// Of stable.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stable: Option<String>,
    },
}

impl QuerySource {
    /// Whether stable is asked as well.
    #[must_use]
    pub const fn has_stable(&self) -> bool {
        match self {
            Self::Prometheus { stable, .. } | Self::Http { stable, .. } => stable.is_some(),
        }
    }
}

/// A value in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Micros(pub i64);

impl Micros {
    /// The greatest absolute value.
    const MOST: f64 = 1e12;

    /// None if it is no number, or above 10^12.
    #[must_use]
    pub fn of(value: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "at most 10^18")]
        (value.abs() <= Self::MOST).then(|| Self((value * 1e6).round() as i64))
    }
}

/// Without trailing zeros: `0.25`.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "shown to people")]
        let value = self.0 as f64 / 1e6;
        write!(f, "{value}")
    }
}

/// A limit: `> 5`, `< 0.9`, `> 120% of stable`, `< 80% of stable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Beyond {
    /// Whether greater values are worse.
    pub is_above: bool,
    /// The limit.
    pub threshold: Threshold,
}

/// The value of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// A number.
    Fixed(Micros),
    /// Percent of the value of stable at the same time.
    OfStable(u32),
}

/// Why a text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a limit; write `> 5`, `< 0.9`, `> 120% of stable` or `< 80% of stable`")]
pub struct BadLimit(String);

impl FromStr for Beyond {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<Self, BadLimit> {
        let bad = || BadLimit(text.chars().take(40).collect());
        let (is_above, rest) = match (text.trim().strip_prefix('>'), text.trim().strip_prefix('<'))
        {
            (Some(rest), _) => (true, rest.trim()),
            (_, Some(rest)) => (false, rest.trim()),
            _ => return Err(bad()),
        };
        let threshold = match rest.strip_suffix("of stable") {
            Some(percent) => {
                let percent = percent.trim().strip_suffix('%').ok_or_else(bad)?;
                let percent = percent.trim().parse().map_err(|_| bad())?;
                Threshold::OfStable(
                    Some(percent).filter(|it| (1..=100_000).contains(it)).ok_or_else(bad)?,
                )
            }
            None => {
                let value = rest.parse::<f64>().map_err(|_| bad())?;
                Threshold::Fixed(Micros::of(value).ok_or_else(bad)?)
            }
        };
        Ok(Self { is_above, threshold })
    }
}

impl TryFrom<String> for Beyond {
    type Error = BadLimit;

    fn try_from(text: String) -> Result<Self, BadLimit> {
        text.parse()
    }
}

impl From<Beyond> for String {
    fn from(limit: Beyond) -> Self {
        limit.to_string()
    }
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_above { '>' } else { '<' };
        match self.threshold {
            Threshold::Fixed(value) => write!(f, "{sign} {value}"),
            Threshold::OfStable(percent) => write!(f, "{sign} {percent}% of stable"),
        }
    }
}

impl Beyond {
    /// Whether a sample is beyond the limit. Without a value of stable, nothing is beyond a limit that needs one.
    #[must_use]
    pub fn is_exceeded(&self, sample: &Sample) -> bool {
        let value = i128::from(sample.candidate.0);
        let (value, limit) = match (self.threshold, sample.stable) {
            (Threshold::Fixed(limit), _) => (value, i128::from(limit.0)),
            (Threshold::OfStable(percent), Some(stable)) => {
                (value * 100, i128::from(stable.0) * i128::from(percent))
            }
            (Threshold::OfStable(_), None) => return false,
        };
        if self.is_above { value > limit } else { value < limit }
    }

    /// Whether the limit needs a value of stable.
    #[must_use]
    pub const fn needs_stable(&self) -> bool {
        matches!(self.threshold, Threshold::OfStable(_))
    }
}

/// The values of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Of the candidate.
    pub candidate: Micros,
    /// Of stable, if it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Micros>,
}

/// The samples of one query since a step began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySeries {
    began: Timestamp,
    latest: Option<(Timestamp, Sample)>,
    error: Option<String>,
    /// Samples in a row beyond each limit.
    beyond_alert: u32,
    beyond_rollback: u32,
}

/// What is known of a query, for people and for blockers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryStatus {
    /// Its name.
    pub name: MetricName,
    /// Its last values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Sample>,
    /// The error of the last query; absent if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A release waits, because the query is required and has no current value.
    pub missing: bool,
}

impl QuerySeries {
    /// Begins with a step.
    #[must_use]
    pub const fn begin(now: Timestamp) -> Self {
        Self { began: now, latest: None, error: None, beyond_alert: 0, beyond_rollback: 0 }
    }

    /// Adds the result of a query.
    pub fn observe(
        &mut self,
        now: Timestamp,
        result: Result<Sample, &str>,
        guardrail: &QueryGuardrail,
    ) {
        let needed = guardrail.consecutive.max(1);
        match result {
            Ok(sample) => {
                let next = |limit: Option<Beyond>, row: u32| match limit {
                    Some(limit) if limit.is_exceeded(&sample) => row.saturating_add(1),
                    _ => 0,
                };
                self.beyond_alert = next(guardrail.alert, self.beyond_alert);
                self.beyond_rollback = next(guardrail.rollback, self.beyond_rollback);
                self.latest = Some((now, sample));
                self.error = None;
            }
            Err(error) => {
                for row in [&mut self.beyond_alert, &mut self.beyond_rollback] {
                    if *row < needed {
                        *row = 0;
                    }
                }
                self.error = Some(error.chars().take(MAX_ERROR).collect());
            }
        }
    }

    /// The worst limit that is exceeded.
    #[must_use]
    pub fn finding(&self, guardrail: &QueryGuardrail) -> Option<Finding> {
        let (_, sample) = self.latest?;
        let needed = guardrail.consecutive.max(1);
        let reached = |level, limit: Option<Beyond>, row: u32| {
            limit.filter(|_| row >= needed).map(|limit| (level, limit, row))
        };
        let (level, limit, row) =
            reached(Level::Rollback, guardrail.rollback, self.beyond_rollback)
                .or_else(|| reached(Level::Critical, guardrail.alert, self.beyond_alert))?;
        Some(Finding {
            guardrail: Guardrail::Query(guardrail.name.clone()),
            level,
            limit: Limit::Query { limit, value: sample.candidate, of_stable: sample.stable },
            bad: u64::from(row),
            requests: u64::from(row),
            window_ms: None,
            stable: None,
            first_failures: None,
            e_value: None,
            ratio: None,
            common_mode: false,
        })
    }

    /// What is known now.
    #[must_use]
    pub fn status(&self, now: Timestamp, guardrail: &QueryGuardrail) -> QueryStatus {
        let since = self.latest.map_or(self.began, |(at, _)| at);
        let is_old = now.since(since) > guardrail.interval.saturating_mul(MISSING_AFTER);
        QueryStatus {
            name: guardrail.name.clone(),
            latest: self.latest.map(|(_, sample)| sample),
            error: self.error.clone(),
            missing: guardrail.required && (self.latest.is_none() || is_old),
        }
    }
}

/// The findings of queries, without those in a dry run, and those in a dry run.
#[must_use]
pub fn findings<'a>(
    guardrails: &Guardrails,
    series: impl Iterator<Item = (&'a QuerySeries, &'a QueryGuardrail)>,
) -> (Vec<Finding>, Vec<Finding>) {
    let findings = series.filter_map(|(series, guardrail)| series.finding(guardrail));
    findings.partition(|it| !guardrails.dry_run.contains(&it.guardrail))
}

#[cfg(test)]
mod tests;
