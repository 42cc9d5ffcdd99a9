//! Results of a load generator: counts at one moment, single failures, and the report of the whole run.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tokio::time::Instant;

/// One failed request.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// When it was due, in seconds from the start of the load.
    pub due_s: f64,
    /// Seconds from due to failure.
    pub took_s: f64,
    /// Index into [`LoadConfig::targets`](super::LoadConfig::targets).
    pub target: usize,
    /// HTTP status; `None` without a response.
    pub status: Option<u16>,
    /// The version that responded; `None` for Envoy's local replies and without a response.
    pub version: Option<String>,
    /// Envoy's response flags, if the response has `x-response-flags`.
    pub flags: Option<String>,
    /// Beginning of the response body, or the error of the connection.
    pub detail: String,
}

/// Counts since the start, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Requests that were due, finished or not.
    pub sent: u64,
    pub finished: u64,
    /// Finished requests without a 1xx, 2xx or 3xx response.
    pub failed: u64,
    /// By the version that responded; `-` for requests without a response of a version.
    pub versions: BTreeMap<String, VersionSnapshot>,
}
#[derive(Clone, Copy, Debug)]
pub struct VersionSnapshot {
    /// Requests finished, failed ones included.
    pub finished: u64,
    pub failed: u64,
    /// Time of the first response.
    pub first: Instant,
    /// Time of the latest response.
    pub last: Instant,
    /// Time of the first failure.
    pub first_failed: Option<Instant>,
}

/// Report of the whole run.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    pub duration_s: f64,
    /// Requests that were due.
    pub sent: u64,
    pub failed: u64,
    /// Requests by status class: `2xx`, …, `timeout`, `connection error`, `not sent`.
    pub outcomes: BTreeMap<String, u64>,
    /// By the version that responded; `-` for requests without a response of a version.
    pub versions: BTreeMap<String, VersionReport>,
    /// The first 10 000 failures.
    pub failures: Vec<Failure>,
}

/// One version over the whole run. Latencies are measured from the moment a request was due.
#[derive(Clone, Debug, Serialize)]
pub struct VersionReport {
    pub finished: u64,
    pub failed: u64,
    /// Fraction, 0 to 1, of all finished requests.
    pub share: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl VersionSnapshot {
    pub(super) fn new(now: Instant) -> Self {
        Self { finished: 0, failed: 0, first: now, last: now, first_failed: None }
    }
}

impl Snapshot {
    /// Requests that a version finished, failed ones included.
    #[must_use]
    pub fn finished_by(&self, version: &str) -> u64 {
        self.versions.get(version).map_or(0, |counts| counts.finished)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FAILED +{:.3}s after {:.3}s, target {}: ",
            self.due_s, self.took_s, self.target
        )?;
        match self.status {
            Some(status) => write!(f, "status {status}")?,
            None => write!(f, "no response")?,
        }
        if let Some(version) = &self.version {
            write!(f, " by {version}")?;
        }
        if let Some(flags) = &self.flags {
            write!(f, " flags {flags}")?;
        }
        // Control characters of the response body must not reach the terminal.
        write!(f, ": {}", self.detail.replace(char::is_control, " "))
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.versions.keys().map(String::len).fold("VERSION".len(), usize::max);
        writeln!(
            f,
            "{:width$} {:>10} {:>8} {:>8} {:>10} {:>10} {:>10} {:>10}",
            "VERSION", "REQUESTS", "FAILED", "SHARE", "p50 ms", "p90 ms", "p99 ms", "max ms"
        )?;
        for (name, v) in &self.versions {
            writeln!(
                f,
                "{name:width$} {:>10} {:>8} {:>7.2}% {:>10.2} {:>10.2} {:>10.2} {:>10.2}",
                v.finished,
                v.failed,
                v.share * 100.0,
                v.p50_ms,
                v.p90_ms,
                v.p99_ms,
                v.max_ms
            )?;
        }
        let outcomes: Vec<_> =
            self.outcomes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(
            f,
            "{} requests in {:.1} s, {} failed ({})",
            self.sent,
            self.duration_s,
            self.failed,
            outcomes.join(", ")
        )
    }
}
