//! What a load tells its owner: counts at one moment, each failure, and the whole run as a table or as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tokio::time::Instant;

/// One failed request.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// When it was due, in seconds from the start of the load.
    pub due_s: f64,
    /// How long it took to fail.
    pub took_s: f64,
    /// Which target it went to, by its place in the list.
    pub target: usize,
    /// Its status, if it got an answer.
    pub status: Option<u16>,
    /// Who answered; `None`: no version did.
    pub version: Option<String>,
    /// Envoy's response flags, if `x-response-flags` carries them.
    pub flags: Option<String>,
    /// What the answer or the network said.
    pub detail: String,
}

/// Counts at one moment; take two to learn what happened between.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Requests that were due, whether or not they have been answered.
    pub sent: u64,
    /// Requests that are over.
    pub finished: u64,
    /// Those of them that failed, in whatever way.
    pub failed: u64,
    /// Per version that answered; `-` stands for requests that no version answered.
    pub versions: BTreeMap<String, VersionSnapshot>,
}

/// What one version did.
#[derive(Clone, Copy, Debug)]
pub struct VersionSnapshot {
    /// Requests it ended, well or badly.
    pub finished: u64,
    /// Those that failed.
    pub failed: u64,
    /// When its first answer arrived.
    pub first: Instant,
    /// When its last answer arrived, until now.
    pub last: Instant,
    /// When its first failure arrived.
    pub first_failed: Option<Instant>,
}

/// The whole run.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// How long it ran.
    pub duration_s: f64,
    /// Requests that were due.
    pub sent: u64,
    /// Requests that failed, in whatever way.
    pub failed: u64,
    /// Requests by status class: `2xx`, …, `timeout`, `broken`, `not sent`.
    pub outcomes: BTreeMap<String, u64>,
    /// Per version; `-` stands for requests that no version answered.
    pub versions: BTreeMap<String, VersionReport>,
    /// The first failures, each with its circumstances.
    pub failures: Vec<Failure>,
}

/// One version over the whole run. Latencies count from the moment a request was due.
#[derive(Clone, Debug, Serialize)]
pub struct VersionReport {
    /// Requests it ended.
    pub finished: u64,
    /// Those that failed.
    pub failed: u64,
    /// Its share of all requests that are over.
    pub share: f64,
    /// Median latency.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl VersionSnapshot {
    pub(super) fn new(now: Instant) -> Self {
        Self { finished: 0, failed: 0, first: now, last: now, first_failed: None }
    }
}

impl Snapshot {
    /// How many requests a version ended, well or badly.
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
            None => write!(f, "no answer")?,
        }
        if let Some(version) = &self.version {
            write!(f, " by {version}")?;
        }
        if let Some(flags) = &self.flags {
            write!(f, " flags {flags}")?;
        }
        // The answer's own words must not be able to redraw the terminal.
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
