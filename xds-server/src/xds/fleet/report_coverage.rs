//! Report coverage: whether reports arrive, and since when without a gap. Evidence from before a gap does not advance a
//! step.

use std::time::Duration;

use tidegate_delivery::units::Timestamp;

/// Longest time between two reports without a gap. A filter without requests reports every 5 s.
const MAX_INTERVAL: Duration = Duration::from_secs(6);

/// The current period without a gap, if any report arrived.
#[derive(Debug, Default)]
pub(super) struct ReportCoverage(Option<Covered>);

#[derive(Debug, Clone, Copy)]
struct Covered {
    since: Timestamp,
    last: Timestamp,
}

impl ReportCoverage {
    /// Records the arrival of a report. The first one after a gap starts a new period: it covers the gap or time before it.
    pub(super) fn record(&mut self, now: Timestamp) {
        let current = self.0.filter(|it| now.since(it.last) <= MAX_INTERVAL);
        self.0 = Some(Covered { since: current.map_or(now, |it| it.since), last: now });
    }

    /// Whether there is no gap now.
    pub(super) fn is_covered(&self, now: Timestamp) -> bool {
        self.0.is_some_and(|it| now.since(it.last) <= MAX_INTERVAL)
    }

    /// Time since the last gap; zero during one.
    pub(super) fn time_since_gap(&self, now: Timestamp) -> Duration {
        let current = self.0.filter(|it| now.since(it.last) <= MAX_INTERVAL);
        current.map_or(Duration::ZERO, |it| now.since(it.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_starts_a_new_period_and_heartbeats_do_not() {
        let mut report_coverage = ReportCoverage::default();
        assert_eq!(report_coverage.time_since_gap(Timestamp(50_000)), Duration::ZERO);
        for second in [50, 55, 60] {
            report_coverage.record(Timestamp(second * 1000));
        }
        assert_eq!(report_coverage.time_since_gap(Timestamp(62_000)), Duration::from_secs(12));
        // A server that was suspended receives a report from before the gap first.
        assert_eq!(report_coverage.time_since_gap(Timestamp(70_000)), Duration::ZERO);
        report_coverage.record(Timestamp(70_000));
        assert_eq!(report_coverage.time_since_gap(Timestamp(71_000)), Duration::from_secs(1));
    }
}
