//! Counts of responses by version. Totals are exact; lists and tables are bounded against arbitrary responses.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::report::{Failure, LoadReport, Snapshot, VersionReport, VersionSnapshot};
use super::schedule::ScheduledRequest;

/// Failures stored with details. The total has no limit.
const MAX_FAILURES: usize = 10_000;
/// Versions counted separately. `x-version` may have any value.
const MAX_VERSIONS: usize = 32;
/// Key for the versions beyond [`MAX_VERSIONS`].
const OTHER: &str = "other";
/// Key for responses without `x-version` (Envoy's local replies) and for requests without a response.
const NO_VERSION: &str = "-";

/// A complete response.
#[derive(Debug)]
pub(super) struct ResponseInfo {
    pub(super) status: u16,
    pub(super) version: Option<String>,
    pub(super) flags: Option<String>,
    /// Beginning of the body of a 4xx or 5xx response; `None` for other statuses.
    pub(super) detail: Option<String>,
}

/// A request without a complete response.
#[derive(Debug)]
pub(super) enum RequestError {
    TimedOut,
    Connection(String),
    NotSent,
}

#[derive(Debug)]
pub(super) struct Stats {
    finished: u64,
    failed: u64,
    outcomes: BTreeMap<&'static str, u64>,
    versions: BTreeMap<String, (VersionSnapshot, Histogram<u64>)>,
    failures: Vec<Failure>,
    users: Option<UserCounts>,
}

/// Responses by user and version, for requests due at or after `since`.
#[derive(Debug)]
struct UserCounts {
    since: Instant,
    counts: HashMap<u64, HashMap<String, u64>>,
}

impl Stats {
    pub(super) fn new(track_users: bool) -> Self {
        Self {
            finished: 0,
            failed: 0,
            outcomes: BTreeMap::new(),
            versions: BTreeMap::new(),
            failures: Vec::new(),
            users: track_users
                .then(|| UserCounts { since: Instant::now(), counts: HashMap::new() }),
        }
    }

    pub(super) fn record(
        &mut self,
        scheduled: &ScheduledRequest,
        due: Instant,
        now: Instant,
        result: Result<ResponseInfo, RequestError>,
    ) {
        let elapsed = now.saturating_duration_since(due);
        let version = result.as_ref().ok().and_then(|response| response.version.clone());
        let outcome = outcome(&result);
        let failure = failure(result).map(|(status, flags, detail)| Failure {
            due_s: scheduled.due.as_secs_f64(),
            took_s: elapsed.as_secs_f64(),
            target: scheduled.target,
            status,
            version: version.clone(),
            flags,
            detail,
        });
        let name = self.version_key(version.as_deref().unwrap_or(NO_VERSION));
        if let (Some(users), Some(user)) = (&mut self.users, scheduled.user)
            && due >= users.since
        {
            *users.counts.entry(user).or_default().entry(name.clone()).or_default() += 1;
        }
        self.finished += 1;
        *self.outcomes.entry(outcome).or_default() += 1;
        let (counts, latency) = self
            .versions
            .entry(name)
            .or_insert_with(|| (VersionSnapshot::new(now), new_histogram()));
        counts.finished += 1;
        counts.last = now;
        latency.saturating_record(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        if let Some(failure) = failure {
            self.failed += 1;
            counts.failed += 1;
            counts.first_failed.get_or_insert(now);
            if self.failures.len() < MAX_FAILURES {
                self.failures.push(failure);
            }
        }
    }

    /// The key to count a version under: [`OTHER`] once [`MAX_VERSIONS`] others are known.
    fn version_key(&self, version: &str) -> String {
        let separate = self.versions.len() < MAX_VERSIONS || self.versions.contains_key(version);
        if separate { version } else { OTHER }.to_owned()
    }

    pub(super) fn snapshot(&self, sent: u64) -> Snapshot {
        let versions =
            self.versions.iter().map(|(name, (counts, _))| (name.clone(), *counts)).collect();
        Snapshot { sent, finished: self.finished, failed: self.failed, versions }
    }

    pub(super) fn failures_from(&self, seen: usize) -> Vec<Failure> {
        self.failures.get(seen..).unwrap_or_default().to_vec()
    }

    pub(super) fn take_users(&mut self, now: Instant) -> HashMap<u64, HashMap<String, u64>> {
        let Some(users) = &mut self.users else {
            return HashMap::new();
        };
        users.since = now;
        std::mem::take(&mut users.counts)
    }

    pub(super) fn report(&mut self, sent: u64, elapsed: Duration) -> LoadReport {
        let finished = self.finished;
        let version = |(counts, latency): &(VersionSnapshot, Histogram<u64>)| VersionReport {
            finished: counts.finished,
            failed: counts.failed,
            share: ratio(counts.finished, finished),
            p50_ms: millis(latency.value_at_quantile(0.5)),
            p90_ms: millis(latency.value_at_quantile(0.9)),
            p99_ms: millis(latency.value_at_quantile(0.99)),
            max_ms: millis(latency.max()),
        };
        LoadReport {
            duration_s: elapsed.as_secs_f64(),
            sent,
            failed: self.failed,
            outcomes: self
                .outcomes
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            versions: self
                .versions
                .iter()
                .map(|(name, stats)| (name.clone(), version(stats)))
                .collect(),
            failures: std::mem::take(&mut self.failures),
        }
    }
}

fn outcome(result: &Result<ResponseInfo, RequestError>) -> &'static str {
    match result {
        Ok(response) => match response.status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        },
        Err(RequestError::TimedOut) => "timeout",
        Err(RequestError::Connection(_)) => "connection error",
        Err(RequestError::NotSent) => "not sent",
    }
}

/// Status, response flags and detail of a failed request.
fn failure(
    result: Result<ResponseInfo, RequestError>,
) -> Option<(Option<u16>, Option<String>, String)> {
    match result {
        Ok(ResponseInfo { status, flags, detail, .. }) => {
            detail.map(|detail| (Some(status), flags, detail))
        }
        Err(RequestError::TimedOut) => Some((None, None, "timeout".to_owned())),
        Err(RequestError::Connection(why)) => Some((None, None, why)),
        Err(RequestError::NotSent) => {
            Some((None, None, "not sent: max_in_flight requests were outstanding".to_owned()))
        }
    }
}

/// Microseconds with three significant digits, up to an hour.
#[expect(clippy::expect_used, reason = "the bounds are valid constants")]
fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("1 < 3.6e9, 3 digits")
}

#[expect(clippy::cast_precision_loss, reason = "display only")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn millis(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELAPSED: Duration = Duration::from_millis(20);

    fn record(
        stats: &mut Stats,
        user: u64,
        due: Instant,
        result: Result<ResponseInfo, RequestError>,
    ) {
        let scheduled =
            ScheduledRequest { due: Duration::from_secs(1), target: 0, user: Some(user) };
        stats.record(&scheduled, due, due + ELAPSED, result);
    }

    fn response(status: u16, version: &str) -> Result<ResponseInfo, RequestError> {
        let detail = (status >= 400).then(|| "because".to_owned());
        Ok(ResponseInfo { status, version: Some(version.to_owned()), flags: None, detail })
    }

    #[test]
    fn a_failure_counts_for_the_version_that_responded_or_for_none() {
        let (mut stats, now) = (Stats::new(false), Instant::now());
        record(&mut stats, 1, now, response(200, "v1"));
        record(&mut stats, 1, now, response(503, "v2"));
        record(&mut stats, 1, now, Err(RequestError::TimedOut));
        record(&mut stats, 1, now, Err(RequestError::NotSent));
        let snapshot = stats.snapshot(4);
        assert_eq!((snapshot.finished, snapshot.failed), (4, 3));
        let failed = |name: &str| snapshot.versions[name].failed;
        assert_eq!((failed("v1"), failed("v2"), failed(NO_VERSION)), (0, 1, 2));
        assert_eq!(snapshot.versions["v2"].first_failed, Some(now + ELAPSED));

        let report = stats.report(4, Duration::from_secs(2));
        assert_eq!(report.outcomes["5xx"], 1);
        assert_eq!(report.outcomes["timeout"], 1);
        assert!((report.versions["v1"].p99_ms - 20.0).abs() < 0.1);
        assert_eq!(
            report.failures.iter().map(|failure| failure.status).collect::<Vec<_>>(),
            [Some(503), None, None]
        );
    }

    #[test]
    fn lists_are_bounded_and_totals_are_not() {
        let (mut stats, now) = (Stats::new(false), Instant::now());
        for number in 0..MAX_FAILURES + 5 {
            record(&mut stats, 1, now, response(500, &format!("version-{number}")));
        }
        let snapshot = stats.snapshot(0);
        assert_eq!(snapshot.failed, MAX_FAILURES as u64 + 5);
        assert_eq!(snapshot.versions.len(), MAX_VERSIONS + 1);
        assert_eq!(snapshot.versions[OTHER].finished, (MAX_FAILURES + 5 - MAX_VERSIONS) as u64);
        assert_eq!(stats.failures_from(MAX_FAILURES - 1).len(), 1);
        assert!(stats.failures_from(MAX_FAILURES + 1).is_empty());
    }

    #[test]
    fn user_counts_hold_only_requests_that_were_due_since_the_last_take() {
        let mut stats = Stats::new(true);
        let boundary = Instant::now() + Duration::from_secs(1);
        stats.take_users(boundary);
        record(&mut stats, 7, boundary - ELAPSED, response(200, "v1"));
        record(&mut stats, 7, boundary, response(200, "v2"));
        let users = stats.take_users(boundary + ELAPSED);
        assert_eq!(users[&7], HashMap::from([("v2".to_owned(), 1)]));
        assert!(stats.take_users(boundary).is_empty());
    }
}
