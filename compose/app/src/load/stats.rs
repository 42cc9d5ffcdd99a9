//! What came back, and from whom: totals are exact, lists and tables are bounded, whatever the other side sends.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::report::{Failure, LoadReport, Snapshot, VersionReport, VersionSnapshot};
use super::schedule::Arrival;

/// Failures kept with their circumstances; the total goes on counting.
const KEPT_FAILURES: usize = 10_000;
/// Versions told apart. A version is a header, and a header can be anything.
const MAX_VERSIONS: usize = 32;
/// The name under which further versions are counted.
const OTHER: &str = "other";
/// The name of the version of an answer that names none: it was Envoy's, or there was no answer.
const NOBODY: &str = "-";

/// An answer that arrived whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) version: Option<String>,
    pub(super) flags: Option<String>,
    /// Kept of an answer that is an error: what it said.
    pub(super) detail: Option<String>,
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum Cause {
    TimedOut,
    Broken(String),
    NotSent,
}

#[derive(Debug)]
pub(super) struct Stats {
    finished: u64,
    failed: u64,
    outcomes: BTreeMap<&'static str, u64>,
    versions: BTreeMap<String, (VersionSnapshot, Histogram<u64>)>,
    failures: Vec<Failure>,
    users: Option<Users>,
}

/// Who was answered by which version, for requests due since a moment.
#[derive(Debug)]
struct Users {
    since: Instant,
    seen: HashMap<u64, HashMap<String, u64>>,
}

impl Stats {
    pub(super) fn new(track_users: bool) -> Self {
        Self {
            finished: 0,
            failed: 0,
            outcomes: BTreeMap::new(),
            versions: BTreeMap::new(),
            failures: Vec::new(),
            users: track_users.then(|| Users { since: Instant::now(), seen: HashMap::new() }),
        }
    }

    pub(super) fn record(
        &mut self,
        arrival: &Arrival,
        due: Instant,
        now: Instant,
        answer: Result<Answer, Cause>,
    ) {
        let took = now.saturating_duration_since(due);
        let version = answer.as_ref().ok().and_then(|answer| answer.version.clone());
        let outcome = outcome(&answer);
        let failure = failure(answer).map(|(status, flags, detail)| Failure {
            due_s: arrival.due.as_secs_f64(),
            took_s: took.as_secs_f64(),
            target: arrival.target,
            status,
            version: version.clone(),
            flags,
            detail,
        });
        let name = self.admit(version.as_deref().unwrap_or(NOBODY));
        if let (Some(users), Some(user)) = (&mut self.users, arrival.user)
            && due >= users.since
        {
            *users.seen.entry(user).or_default().entry(name.clone()).or_default() += 1;
        }
        self.finished += 1;
        *self.outcomes.entry(outcome).or_default() += 1;
        let (counts, latency) = self
            .versions
            .entry(name)
            .or_insert_with(|| (VersionSnapshot::new(now), new_histogram()));
        counts.finished += 1;
        counts.last = now;
        latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if let Some(failure) = failure {
            self.failed += 1;
            counts.failed += 1;
            counts.first_failed.get_or_insert(now);
            if self.failures.len() < KEPT_FAILURES {
                self.failures.push(failure);
            }
        }
    }

    /// The name to count under: its own, as long as there is room for another.
    fn admit(&self, version: &str) -> String {
        let room = self.versions.len() < MAX_VERSIONS || self.versions.contains_key(version);
        if room { version } else { OTHER }.to_owned()
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
        std::mem::take(&mut users.seen)
    }

    pub(super) fn report(&mut self, sent: u64, took: Duration) -> LoadReport {
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
            duration_s: took.as_secs_f64(),
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

fn outcome(answer: &Result<Answer, Cause>) -> &'static str {
    match answer {
        Ok(answer) => match answer.status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        },
        Err(Cause::TimedOut) => "timeout",
        Err(Cause::Broken(_)) => "broken",
        Err(Cause::NotSent) => "not sent",
    }
}

/// Status, flags and words of a request that failed.
fn failure(answer: Result<Answer, Cause>) -> Option<(Option<u16>, Option<String>, String)> {
    match answer {
        Ok(Answer { status, flags, detail, .. }) => {
            detail.map(|detail| (Some(status), flags, detail))
        }
        Err(Cause::TimedOut) => Some((None, None, "no answer in time".to_owned())),
        Err(Cause::Broken(why)) => Some((None, None, why)),
        Err(Cause::NotSent) => {
            Some((None, None, "not sent: too many requests were outstanding".to_owned()))
        }
    }
}

/// Microseconds to three digits, up to an hour.
#[expect(clippy::expect_used, reason = "the bounds are constants, and legal")]
fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("1 < 3.6e9, 3 digits")
}

#[expect(clippy::cast_precision_loss, reason = "for reading, not for reckoning")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn millis(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(20);

    fn record(stats: &mut Stats, user: u64, due: Instant, answer: Result<Answer, Cause>) {
        let arrival = Arrival { due: Duration::from_secs(1), target: 0, user: Some(user) };
        stats.record(&arrival, due, due + TOOK, answer);
    }

    fn answer(status: u16, version: &str) -> Result<Answer, Cause> {
        let detail = (status >= 400).then(|| "because".to_owned());
        Ok(Answer { status, version: Some(version.to_owned()), flags: None, detail })
    }

    #[test]
    fn a_failure_counts_against_the_version_that_answered_or_against_nobody() {
        let (mut stats, now) = (Stats::new(false), Instant::now());
        record(&mut stats, 1, now, answer(200, "v1"));
        record(&mut stats, 1, now, answer(503, "v2"));
        record(&mut stats, 1, now, Err(Cause::TimedOut));
        record(&mut stats, 1, now, Err(Cause::NotSent));
        let snapshot = stats.snapshot(4);
        assert_eq!((snapshot.finished, snapshot.failed), (4, 3));
        let failed = |name: &str| snapshot.versions[name].failed;
        assert_eq!((failed("v1"), failed("v2"), failed(NOBODY)), (0, 1, 2));
        assert_eq!(snapshot.versions["v2"].first_failed, Some(now + TOOK));

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
        for number in 0..KEPT_FAILURES + 5 {
            record(&mut stats, 1, now, answer(500, &format!("version-{number}")));
        }
        let snapshot = stats.snapshot(0);
        assert_eq!(snapshot.failed, KEPT_FAILURES as u64 + 5);
        assert_eq!(snapshot.versions.len(), MAX_VERSIONS + 1);
        assert_eq!(snapshot.versions[OTHER].finished, (KEPT_FAILURES + 5 - MAX_VERSIONS) as u64);
        assert_eq!(stats.failures_from(KEPT_FAILURES - 1).len(), 1);
        assert!(stats.failures_from(KEPT_FAILURES + 1).is_empty());
    }

    #[test]
    fn a_window_of_users_holds_only_requests_that_were_due_in_it() {
        let mut stats = Stats::new(true);
        let boundary = Instant::now() + Duration::from_secs(1);
        stats.take_users(boundary);
        record(&mut stats, 7, boundary - TOOK, answer(200, "v1"));
        record(&mut stats, 7, boundary, answer(200, "v2"));
        let users = stats.take_users(boundary + TOOK);
        assert_eq!(users[&7], HashMap::from([("v2".to_owned(), 1)]));
        assert!(stats.take_users(boundary).is_empty());
    }
}
