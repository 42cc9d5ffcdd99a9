//! Whether the sidecars are being heard, and since when: what was counted before a silence says nothing of now.

use std::time::Duration;

use tidegate_delivery::units::Timestamp;

/// How long nobody may be heard: a filter with nothing to count reports every 5 s.
const SILENCE: Duration = Duration::from_secs(6);

/// Since when reports come, and when the last did.
#[derive(Debug, Default)]
pub(super) struct ReportCoverage(Option<Heard>);

#[derive(Debug, Clone, Copy)]
struct Heard {
    since: Timestamp,
    last: Timestamp,
}

impl ReportCoverage {
    /// Notes a report. The first after a silence begins anew: it was made before, or in it.
    pub(super) fn note(&mut self, now: Timestamp) {
        let going_on = self.0.filter(|heard| now.since(heard.last) <= SILENCE);
        self.0 = Some(Heard { since: going_on.map_or(now, |heard| heard.since), last: now });
    }

    /// How long reports have come without a silence.
    pub(super) fn unbroken(&self, now: Timestamp) -> Duration {
        let heard = self.0.filter(|heard| now.since(heard.last) <= SILENCE);
        heard.map_or(Duration::ZERO, |heard| now.since(heard.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_begins_anew_and_heartbeats_are_none() {
        let mut report_coverage = ReportCoverage::default();
        assert_eq!(report_coverage.unbroken(Timestamp(50_000)), Duration::ZERO);
        for second in [50, 55, 60] {
            report_coverage.note(Timestamp(second * 1000));
        }
        assert_eq!(report_coverage.unbroken(Timestamp(62_000)), Duration::from_secs(12));
        // A server that was stopped sees the silence late, and the old report that ends it first.
        assert_eq!(report_coverage.unbroken(Timestamp(70_000)), Duration::ZERO);
        report_coverage.note(Timestamp(70_000));
        assert_eq!(report_coverage.unbroken(Timestamp(71_000)), Duration::from_secs(1));
    }
}
