//! Report coverage: whether reports arrive, and since when without a gap. Evidence from before a gap does not advance a
//! step.

use std::time::Duration;

use tidegate_delivery::units::Timestamp;

/// Time in which filters report again after a gap: their longest delay between attempts, twice.
const RECONNECTION: Duration = Duration::from_secs(10);

/// The current period without a gap, if any report arrived.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReportCoverage(Option<Covered>);

#[derive(Debug, Clone, Copy)]
struct Covered {
    since: Timestamp,
    last: Timestamp,
    /// A gap begins if no report arrives until then.
    due: Timestamp,
}

impl ReportCoverage {
    /// Records the arrival of a report, after which the next one is `due`. The first one after a gap starts a new period: it
    /// covers the gap or time before it.
    pub(super) fn record(&mut self, now: Timestamp, due: Timestamp) {
        let since = self.current(now).map_or(now, |it| it.since);
        let due = self.0.map_or(due, |it| it.due.max(due));
        self.0 = Some(Covered { since, last: now, due });
    }

    /// Whether there is no gap now.
    pub(super) fn is_covered(&self, now: Timestamp) -> bool {
        self.current(now).is_some()
    }

    /// Time since the last gap; zero during one.
    pub(super) fn time_since_gap(&self, now: Timestamp) -> Duration {
        self.current(now).map_or(Duration::ZERO, |it| now.since(it.since))
    }

    /// Whether reports have gone on without one sender, whose last report came at `last` and whose next one was `due`: others
    /// have reported since then, without a gap, or for long enough after one.
    pub(super) fn went_on_without(&self, last: Timestamp, due: Timestamp, now: Timestamp) -> bool {
        self.0.is_some_and(|it| {
            it.last >= due && (it.since <= last || now.since(it.since) >= RECONNECTION)
        })
    }

    fn current(&self, now: Timestamp) -> Option<Covered> {
        self.0.filter(|it| now <= it.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_starts_a_new_period_and_heartbeats_do_not() {
        let mut report_coverage = ReportCoverage::default();
        assert_eq!(report_coverage.time_since_gap(Timestamp(50_000)), Duration::ZERO);
        let mut record = |second: u64| {
            report_coverage.record(Timestamp(second * 1000), Timestamp(second * 1000 + 6_000));
            report_coverage
        };
        for second in [50, 55, 60] {
            record(second);
        }
        let covered = record(60);
        assert_eq!(covered.time_since_gap(Timestamp(62_000)), Duration::from_secs(12));
        assert!(covered.is_covered(Timestamp(66_000)) && !covered.is_covered(Timestamp(66_001)));
        // A server that was suspended receives a report from before the gap first.
        assert_eq!(covered.time_since_gap(Timestamp(70_000)), Duration::ZERO);
        assert_eq!(record(70).time_since_gap(Timestamp(71_000)), Duration::from_secs(1));
    }

    #[test]
    fn reports_go_on_without_a_sender_if_others_follow() {
        let mut report_coverage = ReportCoverage::default();
        let (last, due) = (Timestamp(1_000), Timestamp(1_750));
        let went_on =
            |coverage: ReportCoverage, now| coverage.went_on_without(last, due, Timestamp(now));
        report_coverage.record(last, due);
        assert!(!went_on(report_coverage, 2_000), "no sidecar reports");
        report_coverage.record(Timestamp(1_750), Timestamp(2_500));
        assert!(went_on(report_coverage, 2_000));
        // After a gap others need time to reconnect.
        report_coverage.record(Timestamp(60_000), Timestamp(60_750));
        assert!(!went_on(report_coverage, 60_000));
        report_coverage.record(Timestamp(60_750), Timestamp(100_000));
        assert!(!went_on(report_coverage, 69_999) && went_on(report_coverage, 70_000));
    }
}
